// Package config finds out what to boot and how. It asks the places where a machine may have its configuration, one
// after the other: the kernel's command line, the configuration that wyr.efi=write has stored in NVRAM, system
// credentials, coreboot's VPD, and what DHCP servers say. The arguments, and the JSON format in NVRAM, are as the
// README says and as in Wyrcan 2.1.
//
// The package does not check the keys of network files. It makes no system call: it reaches NVRAM through a Store, and
// gets the content of the other places as values.
package config

import (
	"errors"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// Config is what to boot and how.
type Config struct {
	Image   string         // wyr.img
	Args    []string       // wyr.arg, in order, none of them empty
	File    string         // wyr.config: the URL of a text with the image and its arguments; "" if Image is not ""
	Network []netconf.File // wyr.net.*: files and sections in order of first mention, one entry for each value of a key
	EFI     EFI            // wyr.efi; never stored
	EFIYes  bool           // wyr.efi=write,yes or clear,yes: nobody is asked; never stored
	Root    string         // wyr.root: "", one of Roots; "" means auto
	Verity  string         // wyr.verity: "", "yes" or "no"
	Debug   string         // wyr.debug: "" or "shell"; never stored, because a shell is for this boot only
	NetKeep bool           // wyr.net.keep=yes

	// Kernel is wyr.kernel: a path in the image, the name of an image that brings the kernel, or that its file stays (see
	// KernelPath, KernelImage and KeepsKernel). Init is wyr.init, the path of the init. Overlays is wyr.overlay, the names
	// of images to lay on the image, the last one on top. All are stored with the image.
	Kernel   string
	Init     string
	Overlays []string

	Fail     string        // wyr.fail: "", "reboot", "poweroff", "halt" or "shell"; "shell" is never stored, as Debug
	Deadline time.Duration // wyr.deadline; 0: none

	// NoMicrocode is wyr.microcode=no: the processor gets no microcode from the image. It is stored with the image.
	NoMicrocode bool
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
	c.EFI, c.EFIYes, c.Debug = "", false, ""
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

// Named reports whether c says what to boot: it names an image, or a file that does.
func (c Config) Named() bool { return c.Image != "" || c.File != "" }

// ErrNoImage is returned if no source names an image. The caller then shows Help.
var ErrNoImage = errors.New("no container image is named (wyr.img=IMAGE)")
