// Package netboot offers Wyrcan to machines that boot from the network: its files over HTTP and TFTP (RFC 1350, 2347 to
// 2349), and, where asked, a word to each PXE and UEFI HTTP boot client about which of them to take, beside the DHCP server
// that is there already (proxyDHCP: the PXE specification 2.1 of Intel, RFC 4578; UEFI 2.10, 24.7). It gives no machine an
// address, and knows IPv4 only.
package netboot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/uki"
)

// The names under which machines find what a Site has.
const (
	KernelName   = "wyrcan.kernel"
	InitrdName   = "wyrcan.initrd"
	UKIName      = "wyrcan.efi"
	ScriptName   = "boot.ipxe"            // for iPXE
	PXELINUXName = "pxelinux.cfg/default" // for PXELINUX
)

// Site is what a network offers. Files are opened when a machine asks, so that what make builds anew is served anew.
type Site struct {
	// Files are paths on this machine by the names that the network sees. The kernel and the initrd must be among them;
	// the unified kernel image, and boot programs for BIOS machines, may be.
	Files map[string]string
	// Cmdline is the kernel's command line for every machine: in the scripts, and in the unified kernel image.
	Cmdline string

	program *program
}

// A program is the unified kernel image with the site's command line, made once for all machines that ask at a time.
type program struct {
	mu     sync.Mutex
	bytes  []byte
	time   time.Time // of the file that bytes were made of
	signed bool
}

// check opens all there is once. It comes before all else.
func (s *Site) check(logf func(string, ...any)) error {
	s.program = new(program)
	for _, name := range []string{KernelName, InitrdName} {
		if s.Files[name] == "" {
			return fmt.Errorf("there is no %s to offer", name)
		}
	}
	for _, name := range s.names() {
		f, err := s.open(name)
		if err != nil {
			return err
		}
		f.Close()
		if f.signed {
			logf("%s is signed: it keeps the command line that it was built with", name)
		}
	}
	return nil
}

// names are those of all files, in order.
func (s *Site) names() []string {
	names := append(slices.Collect(maps.Keys(s.Files)), ScriptName, PXELINUXName)
	slices.Sort(names)
	return names
}

// A file is one that a machine fetches.
type file struct {
	io.ReadSeeker
	io.Closer
	time   time.Time // zero: made now
	signed bool      // its command line is its own
}

// open returns a file by the name that a machine asked for. An error wraps fs.ErrNotExist if there is none of that name.
func (s *Site) open(name string) (*file, error) {
	switch name {
	case ScriptName:
		return text(s.script()), nil
	case PXELINUXName:
		return text(s.pxelinux()), nil
	}
	from := s.Files[name]
	if from == "" {
		return nil, fmt.Errorf("%q: %w", name, fs.ErrNotExist)
	}
	f, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if name != UKIName {
		return &file{ReadSeeker: f, Closer: f, time: info.ModTime()}, nil
	}
	defer f.Close()
	p := s.program
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes == nil || !p.time.Equal(info.ModTime()) {
		b, err := io.ReadAll(f)
		if err != nil {
			return nil, err
		}
		err = uki.SetCmdline(b, s.Cmdline)
		if err != nil && !errors.Is(err, uki.ErrSigned) {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		p.bytes, p.time, p.signed = b, info.ModTime(), err != nil
	}
	return &file{ReadSeeker: bytes.NewReader(p.bytes), Closer: io.NopCloser(nil), time: p.time, signed: p.signed}, nil
}

func text(s string) *file { return &file{ReadSeeker: strings.NewReader(s), Closer: io.NopCloser(nil)} }

// clean returns a name as the Site knows it. Machines write it with a slash in front, or with backslashes.
func clean(name string) string {
	return strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(name, `\`, "/")), "/")
}

// script is for iPXE, which takes its names relative to where the script came from. On EFI the kernel finds its initrd by
// initrd=; elsewhere that does no harm. Whatever fails, the machine's own boot order goes on.
func (s *Site) script() string {
	return "#!ipxe\n" +
		"kernel " + line(KernelName, "initrd="+InitrdName, s.Cmdline) +
		"initrd " + InitrdName + "\n" +
		"boot\n"
}

// pxelinux is for PXELINUX, which takes its names relative to where it came from itself.
func (s *Site) pxelinux() string {
	return "DEFAULT wyrcan\nLABEL wyrcan\n" +
		"  KERNEL " + KernelName + "\n" +
		"  INITRD " + InitrdName + "\n" +
		"  " + line("APPEND", s.Cmdline)
}

func line(words ...string) string { return strings.TrimSpace(strings.Join(words, " ")) + "\n" }
