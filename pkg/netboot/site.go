// Package netboot serves Wyrcan to machines that boot from the network. It serves the files over HTTP and TFTP (RFC
// 1350, 2347 to 2349). If asked to, it also tells PXE and UEFI HTTP boot clients which file to fetch, as a proxyDHCP
// server beside the network's DHCP server (PXE specification 2.1 of Intel, RFC 4578; UEFI 2.10, 24.7). It assigns no
// addresses and supports only IPv4.
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

// The names under which machines find the files of a Site.
const (
	KernelName   = "wyrcan.kernel"
	InitrdName   = "wyrcan.initrd"
	UKIName      = "wyrcan.efi"
	ScriptName   = "boot.ipxe"            // for iPXE
	PXELINUXName = "pxelinux.cfg/default" // for PXELINUX
)

// Site has the files that machines can fetch. A file is opened for each request, so a new build is served at once.
type Site struct {
	// Files maps the names that clients use to paths on this machine. The kernel and the initrd are required. The
	// unified kernel image and boot programs for BIOS machines are optional.
	Files map[string]string
	// Cmdline is the kernel's command line for every machine: in the scripts, and in the unified kernel image.
	Cmdline string

	uki *ukiCache
}

// ukiCache keeps the unified kernel image with the site's command line, so that concurrent requests share one copy.
type ukiCache struct {
	mu     sync.Mutex
	bytes  []byte
	time   time.Time // of the file that bytes was made from
	signed bool
}

// check opens every file once. It must be called first.
func (s *Site) check(logf func(string, ...any)) error {
	s.uki = new(ukiCache)
	for _, name := range []string{KernelName, InitrdName} {
		if s.Files[name] == "" {
			return fmt.Errorf("there is no %s to offer", name)
		}
	}
	if err := s.checkSecure(logf); err != nil {
		return err
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

// names returns the names of all files, sorted.
func (s *Site) names() []string {
	names := append(slices.Collect(maps.Keys(s.Files)), ScriptName, PXELINUXName)
	if _, err := s.grubConfig(); err == nil {
		names = append(names, GRUBConfigName)
	}
	slices.Sort(names)
	return names
}

// A file is a file that a machine fetches.
type file struct {
	io.ReadSeeker
	io.Closer
	time   time.Time // zero: made now
	signed bool      // a signed unified kernel image, which keeps its own command line
}

// open opens the file with the name that a machine asked for. The error wraps fs.ErrNotExist if there is no such file.
func (s *Site) open(name string) (*file, error) {
	switch name {
	case ScriptName:
		return text(s.script()), nil
	case PXELINUXName:
		return text(s.pxelinux()), nil
	}
	if isGRUBConfig(name) {
		if menu, err := s.grubConfig(); err == nil {
			return text(menu), nil
		}
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
	if name == MediumName {
		medium, err := s.medium(f, info)
		if err != nil {
			f.Close()
		}
		return medium, err
	}
	if name != UKIName {
		return &file{ReadSeeker: f, Closer: f, time: info.ModTime()}, nil
	}
	defer f.Close()
	p := s.uki
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

// clean returns a name in the form that the Site uses. Machines may put a slash in front, or use backslashes.
func clean(name string) string {
	return strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(name, `\`, "/")), "/")
}

// script returns the script for iPXE, which resolves names relative to the script's URL. On EFI the kernel finds its
// initrd by initrd=; on BIOS that does no harm. If a command fails, the machine continues with its own boot order.
func (s *Site) script() string {
	return "#!ipxe\n" +
		"kernel " + line(KernelName, "initrd="+InitrdName, s.Cmdline) +
		"initrd " + InitrdName + "\n" +
		"boot\n"
}

// pxelinux returns the configuration for PXELINUX, which resolves names relative to its own location.
func (s *Site) pxelinux() string {
	return "DEFAULT wyrcan\nLABEL wyrcan\n" +
		"  KERNEL " + KernelName + "\n" +
		"  INITRD " + InitrdName + "\n" +
		"  " + line("APPEND", s.Cmdline)
}

func line(words ...string) string { return strings.TrimSpace(strings.Join(words, " ")) + "\n" }
