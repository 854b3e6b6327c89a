// uki combines a kernel, an initrd and a command line into one EFI program, a unified kernel image.
//
// Synopsis:
//
//	uki -stub FILE -kernel FILE -initrd FILE [-cmdline LINE] [-name TEXT] -o FILE
//
// Description:
//
//	The stub is systemd's linuxx64.efi.stub or linuxaa64.efi.stub, or another
//	stub that reads the same sections. Kernel and stub must be for the same
//	architecture. The same input gives the same bytes.
//
// Options:
//
//	-stub:    the EFI program that will start the kernel
//	-kernel:  the kernel
//	-initrd:  its initrd
//	-cmdline: its command line, if the firmware or boot loader passes none
//	-name:    the name that boot loaders show in their menu
//	-o:       the file to write
package main

import (
	"bytes"
	"debug/pe"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/uki"
)

type cmd struct {
	stub, kernel, initrd  string
	cmdline, name, output string
}

func command(args []string) (*cmd, error) {
	c := &cmd{}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&c.stub, "stub", "", "the EFI program `file` that will start the kernel")
	f.StringVar(&c.kernel, "kernel", "", "the kernel's `file`")
	f.StringVar(&c.initrd, "initrd", "", "the initrd's `file`")
	f.StringVar(&c.cmdline, "cmdline", "", "the kernel's command `line`")
	f.StringVar(&c.name, "name", "Wyrcan ~ The Container Bootloader", "the `text` that boot loaders show")
	f.StringVar(&c.output, "o", "", "the `file` to write")
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if c.stub == "" || c.kernel == "" || c.initrd == "" || c.output == "" || f.NArg() > 0 {
		return nil, errors.New("usage: uki -stub FILE -kernel FILE -initrd FILE [-cmdline LINE] [-name TEXT] -o FILE")
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
	b, err := img.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(c.output, b, 0o644)
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
