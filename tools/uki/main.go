// uki combines a kernel, an initrd and a command line into one EFI program, a unified kernel image.
//
// Synopsis:
//
//	uki -stub FILE -kernel FILE -initrd FILE [-cmdline LINE] [-name TEXT] [-profiles LIST] -o FILE
//
// Description:
//
//	The stub is systemd's linuxx64.efi.stub or linuxaa64.efi.stub, or another
//	stub that reads the same sections. Kernel and stub must be for the same
//	architecture. The same input gives the same bytes.
//
//	With profiles, systemd-boot shows a menu entry for each, and the load option
//	@N starts the one with that number. Number 0 has the command line as it is.
//	Profiles need systemd 257: with an older stub uki leaves them out and says so.
//
// Options:
//
//	-stub:     the EFI program that will start the kernel
//	-kernel:   the kernel
//	-initrd:   its initrd
//	-cmdline:  its command line, if the firmware or boot loader passes none
//	-name:     the name that boot loaders show in their menu
//	-profiles: further profiles, separated by blanks: clear, shell, nokeep
//	-o:        the file to write
package main

import (
	"bytes"
	"debug/pe"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/uki"
)

// profiles are the profiles that an image of Wyrcan can have. The first one is always there if there are others.
var profiles = []uki.Profile{
	{ID: "main", Title: "Boot"},
	{ID: "clear", Title: "Clear NVRAM", Args: "wyr.efi=clear"},
	// Without a deadline a registry that cannot be reached is no failure: the machine would wait for it, without a shell.
	{ID: "shell", Title: "Boot, with a debug shell if that fails", Args: "wyr.debug=shell wyr.deadline=5min"},
	{ID: "nokeep", Title: "Boot without network keep", Args: "wyr.net.keep=no"},
}

type cmd struct {
	stub, kernel, initrd  string
	cmdline, name, output string
	profiles              string
}

func command(args []string) (*cmd, error) {
	c := &cmd{}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&c.stub, "stub", "", "the EFI program `file` that will start the kernel")
	f.StringVar(&c.kernel, "kernel", "", "the kernel's `file`")
	f.StringVar(&c.initrd, "initrd", "", "the initrd's `file`")
	f.StringVar(&c.cmdline, "cmdline", "", "the kernel's command `line`")
	f.StringVar(&c.name, "name", "Wyrcan ~ The Container Bootloader", "the `text` that boot loaders show")
	f.StringVar(&c.profiles, "profiles", "", "further `profiles`: clear, shell, nokeep")
	f.StringVar(&c.output, "o", "", "the `file` to write")
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if c.stub == "" || c.kernel == "" || c.initrd == "" || c.output == "" || f.NArg() > 0 {
		return nil, errors.New("usage: uki -stub FILE -kernel FILE -initrd FILE [-cmdline LINE] [-name TEXT] " +
			"[-profiles LIST] -o FILE")
	}
	return c, nil
}

func (c *cmd) run() error {
	img := uki.Image{Release: fmt.Sprintf("ID=wyrcan\nPRETTY_NAME=%q\n", c.name), Cmdline: c.cmdline}
	for name, content := range map[string]*[]byte{c.stub: &img.Stub, c.kernel: &img.Kernel, c.initrd: &img.Initrd} {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		*content = b
	}
	k, err := kernel.Parse(bytes.NewReader(img.Kernel), int64(len(img.Kernel)))
	if err != nil {
		return fmt.Errorf("%s: %w", c.kernel, err)
	}
	if arch := machine(img.Stub); arch != k.Arch {
		return fmt.Errorf("%s is for %q, but %s is for %q", c.stub, arch, c.kernel, k.Arch)
	}
	img.Version = k.Version
	if img.Profiles, err = chosen(c.profiles); err != nil {
		return err
	}
	b, err := img.Marshal()
	if errors.Is(err, uki.ErrProfiles) {
		log.Printf("uki: %s gets no menu: the stub %s is of systemd %d; %v", c.output, c.stub,
			uki.StubVersion(img.Stub), err)
		img.Profiles = nil
		b, err = img.Marshal()
	}
	if err != nil {
		return err
	}
	return os.WriteFile(c.output, b, 0o644)
}

// chosen returns the profiles with these IDs, in the order of the menu, behind the first one.
func chosen(names string) ([]uki.Profile, error) {
	words := strings.Fields(strings.ReplaceAll(names, ",", " "))
	if len(words) == 0 {
		return nil, nil
	}
	list := slices.DeleteFunc(slices.Clone(profiles[1:]), func(p uki.Profile) bool {
		return !slices.Contains(words, p.ID)
	})
	for _, w := range words {
		if !slices.ContainsFunc(list, func(p uki.Profile) bool { return p.ID == w }) {
			return nil, fmt.Errorf("there is no profile %q; there are clear, shell and nokeep", w)
		}
	}
	return append(profiles[:1:1], list...), nil
}

// machine returns the architecture of an EFI program as GOARCH names it, or "" if it is unknown.
func machine(program []byte) string {
	f, err := pe.NewFile(bytes.NewReader(program))
	if err != nil {
		return ""
	}
	return map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_ARM64: "arm64"}[f.Machine]
}

func main() {
	log.SetFlags(0)
	c, err := command(os.Args)
	if err == nil {
		err = c.run()
	}
	if err != nil {
		log.Fatalf("uki: %v", err)
	}
}
