// Package config finds out what to boot and how. It reads the kernel's command line or, if that names no image, the
// configuration that wyr.efi=write has stored in NVRAM. The arguments, the JSON format in NVRAM, and which of the two
// counts, are as the README says and as in Wyrcan 2.1.
//
// The package does not check image references or the keys of network files. It makes no system call: it reaches NVRAM
// through a Store.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// Config is what to boot and how.
type Config struct {
	Image   string         // wyr.img
	Args    []string       // wyr.arg, in order, none of them empty
	Network []netconf.File // wyr.net.*: files and sections in order of first mention, one entry for each value of a key
	EFI     EFI            // wyr.efi; never stored
	Root    string         // wyr.root: "" or "initramfs"
	Debug   string         // wyr.debug: "" or "shell"; never stored, because a shell is for this boot only
	NetKeep bool           // wyr.net.keep=yes

	Fail     string        // wyr.fail: "", "reboot", "poweroff", "halt" or "shell"; "shell" is never stored, as Debug
	Deadline time.Duration // wyr.deadline; 0: none

	// NoRecord is wyr.record=no: the booted system gets no record of this boot. It is stored with the image.
	NoRecord bool

	// Insecure is wyr.insecure: registries and token servers, each HOST[:PORT], that may be asked over plain HTTP, or over
	// TLS without verifying the certificate. They are stored with the image.
	Insecure []string
	// Mirrors is wyr.mirror: [HOST=]MIRROR[,MIRROR...], places to ask before the registry HOST, or without HOST before
	// that of the image. See SplitMirror.
	Mirrors []string
	// Proxy is wyr.proxy, a URL without a login; NoProxy is wyr.noproxy, what is asked without it. NTP is wyr.ntp, time
	// servers that count before those of the network. All are stored with the image.
	Proxy   string
	NoProxy []string
	NTP     []string
}

// kept returns the part of c that is stored.
func (c Config) kept() Config {
	c.EFI, c.Debug = "", ""
	if c.Fail == "shell" {
		c.Fail = ""
	}
	return c
}

// EFI says what to do with the configuration in NVRAM; "" means nothing.
type EFI string

// The values of wyr.efi.
const (
	EFIWrite EFI = "write"
	EFIClear EFI = "clear"
)

// Store keeps one configuration across reboots: in the EFI variable, or in a map in tests.
type Store interface {
	// Load returns what is stored. The error is fs.ErrNotExist if nothing is stored. It is also errors.ErrUnsupported if
	// this machine cannot store anything.
	Load() ([]byte, error)
	// Save replaces what is stored. It returns nil only after it has read the new data back and compared it.
	Save([]byte) error
	// Clear removes what is stored; Load then returns fs.ErrNotExist. Clear returns nil if nothing was stored.
	Clear() error
}

// ErrNoImage is returned if no source names an image. The caller then shows Help.
var ErrNoImage = errors.New("no container image is named (wyr.img=IMAGE)")

// Load returns the configuration of the first source that names an image: the arguments, then store, which may be nil.
// Image, Args and Network come from that source only and are never mixed: a stored network belongs to the stored image.
// The other values concern this boot, so the arguments always count, and the source sets only the rest.
//
// The strings are warnings, one sentence each, about what was ignored and why. If no source names an image, or store
// holds no valid configuration, the error is ErrNoImage with the cause. The Config then still holds the values of the
// arguments: wyr.efi=clear needs no image.
func Load(args []cmdline.Arg, store Store) (Config, []string, error) {
	line := parse(args)
	sources := []struct {
		name string
		load func() (Config, error)
	}{
		{"the command line", func() (Config, error) { return line.Config, nil }},
		{"NVRAM", func() (Config, error) { return stored(store) }},
	}
	var failed []error
	for i, source := range sources {
		c, err := source.load()
		if err != nil {
			failed = append(failed, fmt.Errorf("cannot use the configuration in %s: %w", source.name, err))
			continue
		}
		if c.Image == "" {
			continue
		}
		warnings := line.warnings
		for _, err := range failed {
			warnings = append(warnings, err.Error())
		}
		if i > 0 && len(line.Args)+len(line.Network) > 0 {
			warnings = append(warnings, fmt.Sprintf(
				"wyr.arg and wyr.net on the command line are ignored: it names no image, so they come from %s with %s",
				source.name, c.Image))
		}
		return line.over(c), warnings, nil
	}
	if cause := errors.Join(failed...); cause != nil {
		return line.Config, line.warnings, fmt.Errorf("%w: %w", ErrNoImage, cause)
	}
	return line.Config, line.warnings, ErrNoImage
}

// stored returns the configuration in s, or an empty one if s holds none.
func stored(s Store) (Config, error) {
	if s == nil {
		return Config{}, nil
	}
	data, err := s.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Config{}, nil
	case err != nil:
		return Config{}, err
	}
	return Unmarshal(data)
}
