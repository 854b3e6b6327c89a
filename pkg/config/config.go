// Package config finds out what to boot and how: from the kernel's command line, else from what wyr.efi=write left in
// NVRAM. The arguments, the JSON form in NVRAM and the rules between the two are those of the README and of Wyrcan 2.1.
//
// It does not look inside an image reference or a network file's keys, and it makes no system call: NVRAM is a Store.
package config

import (
	"errors"
	"fmt"
	"io/fs"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// Config is what to boot and how.
type Config struct {
	Image   string         // wyr.img
	Args    []string       // wyr.arg, in order and none of them empty
	Network []netconf.File // wyr.net.*, files and sections in order of first mention, a repeated key as a further entry
	EFI     EFI            // wyr.efi; never stored
	Root    string         // wyr.root: "" or "initramfs"
	Debug   string         // wyr.debug: "" or "shell"; never stored, a shell is for the boot that asks for it
	NetKeep bool           // wyr.net.keep=yes

	// Insecure is wyr.insecure, each of them HOST[:PORT]: registries and token servers that may be asked over plain HTTP,
	// or over TLS with a certificate that is not verified. They are stored with the image.
	Insecure []string
}

// EFI is what to do with the configuration in NVRAM before or after booting: "" is nothing.
type EFI string

// The values of wyr.efi.
const (
	EFIWrite EFI = "write"
	EFIClear EFI = "clear"
)

// Store keeps one configuration over reboots: the EFI variable, or a map in tests.
type Store interface {
	// Load returns what is stored. An error that is fs.ErrNotExist means that nothing is; one that is
	// errors.ErrUnsupported as well, that nothing could be: this machine has no such place.
	Load() ([]byte, error)
	// Save replaces what is stored, and returns nil only when it has been read back unharmed.
	Save([]byte) error
	// Clear makes Load return fs.ErrNotExist. It returns nil where nothing was stored.
	Clear() error
}

// ErrNoImage is returned when no source names an image: the answer is to show Help.
var ErrNoImage = errors.New("no container image is named (wyr.img=IMAGE)")

// Load returns the configuration of the first source that names an image: the arguments, then store, which may be
// nil. Image, Args and Network all come from that one source and are never mixed: a stored network belongs to the
// stored image. The other values are about the boot at hand, so those that are among the arguments always count and
// the rest come with the image.
//
// The strings are warnings, one sentence each, about what was ignored and why. When no source names an image, or its
// content is no configuration, the error is ErrNoImage with the cause, and the Config still holds what the arguments
// ask for: wyr.efi=clear needs no image.
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
				"wyr.arg and wyr.net on the command line are ignored: it names no image, so they come from %s with %s", source.name, c.Image))
		}
		return line.over(c), warnings, nil
	}
	if cause := errors.Join(failed...); cause != nil {
		return line.Config, line.warnings, fmt.Errorf("%w: %w", ErrNoImage, cause)
	}
	return line.Config, line.warnings, ErrNoImage
}

// stored returns the configuration in s, empty where there is none.
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
