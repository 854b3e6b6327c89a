//go:build amd64 || arm64

package kexec

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// load tries kexec_load first, unless it is forbidden. If both calls fail, the error is that of kexec_file_load: only
// that call checks signatures, so it knows more.
func load(kernel, initrd *os.File, cmdline string) (Result, error) {
	if !segmentsAllowed() {
		if err := loadFiles(kernel, initrd, cmdline); !errors.Is(err, unix.ENOSYS) {
			return Result{Method: Files}, err
		}
	}
	why := loadSegments(kernel, initrd, nil, cmdline)
	if why == nil {
		return Result{Method: Segments}, nil
	}
	if err := loadFiles(kernel, initrd, cmdline); !errors.Is(err, unix.ENOSYS) {
		return Result{Method: Files, Why: why}, err
	}
	return Result{}, neither(why)
}

// segmentsAllowed reports whether kexec_load may be used. It calls it with a flag that does not exist: the kernel
// checks permissions and lockdown before the flags (kernel/kexec.c, kexec_load_check).
func segmentsAllowed() bool {
	const unknownFlag = 1 << 15
	_, _, errno := unix.Syscall6(unix.SYS_KEXEC_LOAD, 0, 0, 0, unknownFlag, 0, 0)
	return errno == unix.EINVAL
}

// loadSegments loads with kexec_load(2). It tells the next kernel the same about the machine as kexec_file_load does.
// But the initrd is not held in memory one more time, and nobody computes its SHA-256: kexec_file_load has that done
// twice on amd64, while it loads and between the two kernels, in code that uses no SHA instructions.
//
// image is nil if there is none.
func loadSegments(kernel, initrd, image *os.File, cmdline string) error {
	n := next{cmdline: cmdline}
	for _, m := range []struct {
		from *os.File
		to   *[]byte
	}{{kernel, &n.kernel}, {initrd, &n.initrd}, {image, &n.image}} {
		if m.from == nil {
			continue
		}
		content, err := mapped(m.from)
		if err != nil {
			return err
		}
		defer unix.Munmap(content)
		*m.to = content
	}
	entry, segments, err := lay(n)
	if err != nil {
		return err
	}
	if image != nil {
		if err := half(segments, meminfo); err != nil {
			return err
		}
	}
	return submit(entry, segments)
}

const meminfo = "/proc/meminfo"

// half returns an error if segments need more than half of the memory, for kexec takes no more: kernel/kexec_core.c,
// sanity_check_segment_list.
func half(segments kexec.Segments, file string) error {
	m, err := memory.Read(file)
	if err != nil {
		return err
	}
	var size int64
	for _, s := range segments {
		size += int64(s.Phys.Size)
	}
	if size > m.Total/2 {
		return fmt.Errorf("the container's kernel, its initrd and its file system image need %s, and kexec takes no "+
			"more than half of the %s of memory; use a smaller image or add memory", units.MiB(size), units.MiB(m.Total))
	}
	return nil
}

// loadImage leaves image in memory. Only kexec_load can, because it is told what is where in memory; kexec_file_load
// finds out itself.
func loadImage(kernel, initrd, image *os.File, cmdline string) error {
	if err := canLeaveImage(); err != nil {
		return err
	}
	return loadSegments(kernel, initrd, image, cmdline)
}

func canLeaveImage() error {
	if runtime.GOARCH != "amd64" {
		return errors.New("only on amd64 can a file system image be left in memory for the next kernel")
	}
	if !segmentsAllowed() {
		return errors.New("this kernel is locked down, as under Secure Boot, or has no kexec_load: so no file system " +
			"image can be left in memory for the next kernel")
	}
	return nil
}

// rawSegment is struct kexec_segment of include/uapi/linux/kexec.h.
type rawSegment struct {
	content       *byte
	size          uint
	address, room uintptr
}

// submit calls kexec_load(2). u-root's kexec.Load would sort the segments and copy each one: see the package's comment.
func submit(entry uintptr, segments kexec.Segments) error {
	if !segments.PhysContains(entry) {
		return fmt.Errorf("the entry %#x is in none of the segments", entry)
	}
	raw := make([]rawSegment, len(segments))
	for i, s := range segments {
		raw[i] = rawSegment{unsafe.SliceData(s.Buf), uint(len(s.Buf)), s.Phys.Start, uintptr(s.Phys.Size)}
	}
	_, _, errno := unix.Syscall6(unix.SYS_KEXEC_LOAD,
		entry, uintptr(len(raw)), uintptr(unsafe.Pointer(&raw[0])), 0, 0, 0)
	runtime.KeepAlive(raw)
	if errno != 0 {
		return &Error{Method: Segments, Errno: errno, Entry: entry, Segments: described(segments)}
	}
	return nil
}

// mapped returns a file's content as the page cache has it: no copy is made.
func mapped(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return b, nil
}
