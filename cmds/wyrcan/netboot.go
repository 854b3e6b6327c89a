package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/netboot"
)

// netboot is "wyrcan serve".
func (c *cmd) netboot(ctx context.Context, args []string) error {
	var kernel, initrd, efi, bios string
	var toContainer, toWyrcan list
	o := netboot.Options{Logf: func(format string, args ...any) { fmt.Fprintf(c.stderr, "wyrcan: "+format+"\n", args...) }}
	f := c.flags("serve", "[OPTION...] [IMAGE]", `Offer Wyrcan to the machines of a network, over HTTP and TFTP: kernel, initrd,
the EFI program and a script for iPXE, all of which boot IMAGE. Without IMAGE a
machine boots what its NVRAM names. Give the addresses that are printed to the
DHCP server that is there; or, with -dhcp, let each machine that boots from the
network be told beside it. Addresses are never given out.
`)
	f.StringVar(&o.HTTP, "http", ":80", "serve HTTP at `ADDRESS`")
	f.StringVar(&o.TFTP, "tftp", ":69", "serve TFTP at `ADDRESS`; empty for none")
	f.StringVar(&o.DHCP, "dhcp", "", "tell PXE, iPXE and UEFI HTTP boot clients on `INTERFACE` what to fetch (proxyDHCP)")
	f.StringVar(&bios, "bios", "", "give BIOS machines `FILE`, iPXE's undionly.kpxe or PXELINUX (default where Debian and Fedora keep them)")
	f.StringVar(&kernel, "kernel", "", "offer `FILE` as Wyrcan's kernel (default wyrcan.kernel beside this program)")
	f.StringVar(&initrd, "initrd", "", "offer `FILE` as Wyrcan's initrd (default wyrcan.initrd beside this program)")
	f.StringVar(&efi, "efi", "", "offer `FILE` as Wyrcan's EFI program (default wyrcan.efi beside this program, where it is)")
	f.Var(&toContainer, "arg", "pass `ARG` to the container's kernel; may be repeated")
	f.Var(&toWyrcan, "append", "pass `ARG` to Wyrcan; may be repeated")
	rest, err := f.parse(args, 0, true)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return usage("usage: wyrcan serve [OPTION...] [IMAGE]")
	}
	o.Files = make(map[string]string)
	if o.Files[netboot.KernelName], err = c.artefact(kernel, netboot.KernelName, ""); err != nil {
		return err
	}
	if o.Files[netboot.InitrdName], err = c.artefact(initrd, netboot.InitrdName, ""); err != nil {
		return err
	}
	if program, err := c.artefact(efi, netboot.UKIName, ""); err == nil {
		o.Files[netboot.UKIName] = program
	} else if efi != "" {
		return err
	}
	if o.BIOS, err = addBIOS(o.Files, bios); err != nil {
		return err
	}

	var words []string
	if len(rest) == 1 {
		if local(rest[0]) {
			return usage("serve: %s lies on this machine, and machines of the network fetch from registries: send it to one (wyrcan push)", rest[0])
		}
		words = append(words, cmdline.Arg{Key: "wyr.img", Value: rest[0], HasValue: true}.String())
	}
	for _, a := range toContainer {
		words = append(words, cmdline.Arg{Key: "wyr.arg", Value: a, HasValue: true}.String())
	}
	o.Cmdline = strings.Join(append(words, toWyrcan...), " ")
	return netboot.Serve(ctx, o)
}

// addBIOS adds the boot program for BIOS machines to files, and what it loads, and returns its name: that of given, or of
// one that a distribution's package has installed, or none.
func addBIOS(files map[string]string, given string) (string, error) {
	candidates := []string{"/usr/lib/ipxe/undionly.kpxe", "/usr/share/ipxe/undionly.kpxe", "/usr/lib/PXELINUX/pxelinux.0", "/usr/share/syslinux/pxelinux.0"}
	if given != "" {
		if _, err := os.Stat(given); err != nil {
			return "", err
		}
		candidates = []string{given}
	}
	for _, program := range candidates {
		if _, err := os.Stat(program); err != nil {
			continue
		}
		name := filepath.Base(program)
		files[name] = program
		if !strings.Contains(name, "pxelinux") {
			return name, nil
		}
		// PXELINUX keeps most of itself in a second file.
		const core = "ldlinux.c32"
		for _, dir := range []string{filepath.Dir(program), "/usr/lib/syslinux/modules/bios"} {
			if _, err := os.Stat(filepath.Join(dir, core)); err == nil {
				files[core] = filepath.Join(dir, core)
				return name, nil
			}
		}
		if given != "" {
			return "", fmt.Errorf("%s needs %s, which is neither beside it nor in /usr/lib/syslinux/modules/bios (Debian: syslinux-common)", given, core)
		}
		delete(files, name)
	}
	return "", nil
}
