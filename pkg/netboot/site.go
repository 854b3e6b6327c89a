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
	// MachineDir is a directory with files NAME.conf, in which the machine of that name has arguments of its own. It
	// gets them if it asks for m/NAME/FILE instead of FILE. NAME is a UUID or a hardware address. Empty: none.
	MachineDir string

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
	// Shim starts GRUB, which asks for one configuration on all machines, so it would boot what all boot.
	if s.MachineDir != "" && (s.Files[ShimName] != "" || s.Files[MediumName] != "") {
		return fmt.Errorf("machines that boot by %s cannot have the command lines in %s: leave out one of the two, "+
			"for example with -efi FILE, which offers that program alone", ShimName, s.MachineDir)
	}
	for _, name := range s.names() {
		f, err := s.open(name)
		if err != nil {
			return err
		}
		f.Close()
		if f.signed && s.MachineDir != "" {
			return fmt.Errorf("%s is signed, so it cannot have the command lines of the machines in %s", name, s.MachineDir)
		}
		if f.signed {
			logf("%s is signed: it keeps the command line that it was built with", name)
		}
	}
	lines, err := s.Machines()
	if s.MachineDir != "" && err == nil {
		logf("machines with a file of their own in %s: %d", s.MachineDir, len(lines))
	}
	return err
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
	image  []byte    // of a unified kernel image, its bytes
	note   string    // for the log, behind the name; may be empty
}

// open opens the file with the name that a machine asked for. The error wraps fs.ErrNotExist if there is no such file.
func (s *Site) open(name string) (*file, error) {
	machine, name, err := cutMachine(name)
	if err != nil {
		return nil, err
	}
	line, own, err := s.cmdline(machine)
	if err != nil {
		return nil, err
	}
	f, err := s.openFor(name, line, own)
	if err == nil && machine != "" && s.MachineDir != "" && !own {
		f.note = fmt.Sprintf(", as all machines do: there is no %s/%s.conf", s.MachineDir, machine)
	}
	return f, err
}

// openFor opens a file for machines with a command line. own means that it is not that of all machines.
func (s *Site) openFor(name, line string, own bool) (*file, error) {
	switch name {
	case ScriptName:
		return text(script(line)), nil
	case PXELINUXName:
		return text(pxelinux(line)), nil
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
	all, err := s.uki.load(f, info.ModTime(), s.Cmdline)
	if err == nil && own {
		return all.with(line)
	}
	return all, err
}

// load returns the unified kernel image in f, which was written at this time, with a command line.
func (p *ukiCache) load(f *os.File, written time.Time, line string) (*file, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes == nil || !p.time.Equal(written) {
		b, err := io.ReadAll(f)
		if err != nil {
			return nil, err
		}
		err = uki.SetCmdline(b, line)
		if err != nil && !errors.Is(err, uki.ErrSigned) {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		p.bytes, p.time, p.signed = b, written, err != nil
	}
	return &file{ReadSeeker: bytes.NewReader(p.bytes), Closer: io.NopCloser(nil), time: p.time, signed: p.signed,
		image: p.bytes}, nil
}

// with returns the unified kernel image f with another command line. It shares f's bytes.
func (f *file) with(line string) (*file, error) {
	edits, err := uki.EditCmdline(f.image, line)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", UKIName, err)
	}
	r := io.NewSectionReader(edited{bytes.NewReader(f.image), edits}, 0, int64(len(f.image)))
	return &file{ReadSeeker: r, Closer: f.Closer}, nil
}

func text(s string) *file { return &file{ReadSeeker: strings.NewReader(s), Closer: io.NopCloser(nil)} }

// clean returns a name in the form that the Site uses. Machines may put a slash in front, or use backslashes.
func clean(name string) string {
	return strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(name, `\`, "/")), "/")
}

// script returns the script for iPXE, which resolves names relative to the script's URL. On EFI the kernel finds its
// initrd by initrd=; on BIOS that does no harm. If a command fails, the machine continues with its own boot order.
func script(cmdline string) string {
	return "#!ipxe\n" +
		"kernel " + line(KernelName, "initrd="+InitrdName, cmdline) +
		"initrd " + InitrdName + "\n" +
		"boot\n"
}

// pxelinux returns the configuration for PXELINUX, which resolves names relative to its own location.
func pxelinux(cmdline string) string {
	return "DEFAULT wyrcan\nLABEL wyrcan\n" +
		"  KERNEL " + KernelName + "\n" +
		"  INITRD " + InitrdName + "\n" +
		"  " + line("APPEND", cmdline)
}

func line(words ...string) string { return strings.TrimSpace(strings.Join(words, " ")) + "\n" }
