// Seeker is the /init of a test container. It searches the whole system that it finds itself in for texts, and powers
// the machine off.
//
// Description:
//
//	The word seek=TEXT,TEXT… of the kernel's command line has the texts, each written backwards, so that the word
//	itself is not found. Seeker reads every file of every file system in memory, the kernel's log, the kernel's command
//	line, and the command lines and environments of all processes. It also reads the firmware's tables in
//	/sys/firmware, which the kernel shows anew in each system. It prints where it has found which text, by its number.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/guest"
)

func main() { guest.Main("seeker", run) }

func run() error {
	words, err := guest.Words()
	if err != nil {
		return err
	}
	s := &seeker{}
	for _, word := range words {
		if list, ok := strings.CutPrefix(word, "seek="); ok {
			for _, text := range strings.Split(list, ",") {
				b := []byte(text)
				slices.Reverse(b)
				s.texts = append(s.texts, b)
			}
		}
	}
	if len(s.texts) == 0 {
		return errors.New("there is nothing to seek")
	}
	if err := s.tree("/", func(path string) bool { return path == "/proc" || path == "/sys" }); err != nil {
		return err
	}
	if err := s.kernelLog(); err != nil {
		return err
	}
	processes, err := filepath.Glob("/proc/[0-9]*/[ce][mn][dv]*") // cmdline, environ
	if err != nil {
		return err
	}
	for _, name := range append(processes, "/proc/cmdline", "/proc/bootconfig") {
		s.file(name)
	}
	root := s.bytes
	if err := s.tree("/sys/firmware", func(string) bool { return false }); err != nil {
		return err
	}
	fmt.Printf("seeker: has read %d files, %d bytes without the firmware's\n", s.files, root)
	return nil
}

type seeker struct {
	texts [][]byte
	files int
	bytes int64
}

// tree searches the files below a directory, but for directories that skip reports.
func (s *seeker) tree(dir string, skip func(path string) bool) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skip(path):
			return fs.SkipDir
		case d.Type().IsRegular():
			s.file(path)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			s.look(path, []byte(target))
		}
		s.look(path, []byte(path))
		return nil
	})
}

// file searches a file. Some files of the kernel cannot be read.
func (s *seeker) file(name string) {
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	s.files++
	most := 0
	for _, t := range s.texts {
		most = max(most, len(t))
	}
	buf := make([]byte, 1<<20)
	kept := 0 // bytes of the piece before, in which a text may begin
	for {
		n, err := f.Read(buf[kept:])
		s.bytes += int64(n)
		s.look(name, buf[:kept+n])
		if err != nil || n == 0 {
			return
		}
		end := kept + n
		kept = copy(buf, buf[max(0, end-most):end])
	}
}

// kernelLog searches the kernel's log, in which each read gives one record.
func (s *seeker) kernelLog() error {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("cannot read the kernel's log: %w", err)
	}
	defer unix.Close(fd)
	var all bytes.Buffer
	for b := make([]byte, 16<<10); ; {
		n, err := unix.Read(fd, b)
		if errors.Is(err, unix.EPIPE) { // records were overwritten meanwhile
			continue
		}
		if errors.Is(err, unix.EAGAIN) || n <= 0 && err == nil {
			break
		}
		if err != nil {
			return fmt.Errorf("cannot read the kernel's log: %w", err)
		}
		all.Write(b[:n])
	}
	if all.Len() == 0 {
		return io.ErrUnexpectedEOF
	}
	s.bytes += int64(all.Len())
	s.look("/dev/kmsg", all.Bytes())
	return nil
}

func (s *seeker) look(place string, b []byte) {
	for i, t := range s.texts {
		if bytes.Contains(b, t) {
			fmt.Printf("seeker: text %d is in %s\n", i, place)
		}
	}
}
