package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/netboot"
)

// serve is the command "wyrcan serve".
func (c *cmd) serve(ctx context.Context, args []string) error {
	var kernelFile, initrd, efi, bios, secure string
	var unchecked bool
	var toContainer, toWyrcan list
	o := netboot.Options{Logf: func(format string,
		args ...any) {
		fmt.Fprintf(c.stderr, "wyrcan: "+format+"\n", args...)
	}}
	f := c.flags("serve", "[OPTION...] [IMAGE]",
		`Serve Wyrcan over HTTP and TFTP to machines that boot from the network: the
kernel, the initrd, the EFI program and a script for iPXE. They all boot IMAGE;
without IMAGE a machine boots the image that its NVRAM names. Put the addresses
that are printed into the configuration of your DHCP server. Or use -dhcp: then
this program tells each machine that boots from the network what to fetch. It
never assigns addresses.

IMAGE is a name that the machines can resolve, at a registry that they can
reach. It is looked up first, and its digest and size are printed. A login and
certificates are used for that alone: each machine needs its own, see
docs/registries.md.
`)
	f.StringVar(&o.HTTP, "http", ":80", "serve HTTP at `ADDRESS`")
	f.StringVar(&o.TFTP, "tftp", ":69", "serve TFTP at `ADDRESS`; empty: no TFTP")
	f.StringVar(&o.DHCP, "dhcp", "",
		"tell PXE, iPXE and UEFI HTTP boot clients on `INTERFACE` what to fetch (proxyDHCP)")
	f.StringVar(&bios, "bios", "",
		"serve `FILE` to BIOS machines: iPXE's undionly.kpxe or PXELINUX (default: where Debian and Fedora install "+
			"them)")
	f.StringVar(&kernelFile, "kernel", "",
		"serve `FILE` as Wyrcan's kernel (default wyrcan.kernel beside this program)")
	f.StringVar(&initrd, "initrd", "", "serve `FILE` as Wyrcan's initrd (default wyrcan.initrd beside this program)")
	f.StringVar(&efi, "efi", "",
		"serve `FILE` as Wyrcan's EFI program (default wyrcan.efi beside this program, if it exists)")
	f.StringVar(&secure, "secure", "",
		"serve shim, GRUB and wyrcan.iso of `DIR`, which start Wyrcan where Secure Boot is on, too (default secureboot "+
			"beside this program, which make SECUREBOOT=1 makes, unless -efi or -machines is given or wyrcan.efi is signed)")
	f.StringVar(&o.MachineDir, "machines", "",
		"give a machine that asks for m/UUID/NAME the arguments in `DIR`/UUID.conf, if that exists")
	f.Var(&toContainer, "arg", "pass `ARG` to the container's kernel; may be repeated")
	f.Var(&toWyrcan, "append", "pass `ARG` to Wyrcan; may be repeated")
	f.BoolVar(&unchecked, "no-check", false,
		"serve without looking IMAGE up, if its registry is not up yet or cannot be reached from here")
	f.registry()
	rest, err := f.parse(args, 0, true)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return usage("serve: %q is one argument too many; usage: wyrcan serve [OPTION...] [IMAGE]", rest[1])
	}
	o.Files = make(map[string]string)
	if o.Files[netboot.KernelName], err = c.artefact(kernelFile, netboot.KernelName, ""); err != nil {
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
	if err := c.addSecure(o.Files, secure, efi != "" || o.MachineDir != ""); err != nil {
		return err
	}
	if o.BIOS, err = addBIOS(o.Files, bios); err != nil {
		return err
	}

	var words []string
	if len(rest) == 1 {
		ref := strings.TrimPrefix(rest[0], "docker://")
		words = append(words, cmdline.Arg{Key: "wyr.img", Value: ref, HasValue: true}.String())
		if _, _, ok := registryOf(ref); ok && c.insecure(ref) != nil {
			registry, _, _ := strings.Cut(ref, "/")
			words = append(words, cmdline.Arg{Key: "wyr.insecure", Value: registry, HasValue: true}.String())
		}
	}
	for _, a := range toContainer {
		words = append(words, cmdline.Arg{Key: "wyr.arg", Value: a, HasValue: true}.String())
	}
	o.Cmdline = strings.Join(append(words, toWyrcan...), " ")
	machines, err := archOf(o.Files[netboot.KernelName])
	if err != nil {
		o.Logf("machines can probably not boot it: %v", err)
	}
	lines, err := o.Machines()
	if err != nil {
		return err
	}
	look := func(ref string, insecure []string) error { return c.lookUp(ctx, ref, machines, insecure) }
	if unchecked {
		look = nil
	}
	seen := make(map[string]bool)
	if err := checkImages(o.Cmdline, o.Addresses(), seen, look); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		if err := checkImages(lines[name], o.Addresses(), seen, look); err != nil {
			return fmt.Errorf("%s/%s.conf: %w", o.MachineDir, name, err)
		}
	}
	return netboot.Serve(ctx, o)
}

// checkImages checks the images that a command line of Wyrcan names and that were not seen before: that machines can
// reach them and, if look is not nil, that look finds them.
func checkImages(line string, here []netip.Addr, seen map[string]bool,
	look func(ref string, insecure []string) error) error {
	served := cmdline.Parse(line)
	for _, a := range served {
		if a.Key != "wyr.img" && a.Key != "wyrcan.img" || seen[a.Value] {
			continue
		}
		seen[a.Value] = true
		if err := reachable(a.Value, here); err != nil {
			return err
		}
		if look == nil || strings.Contains(a.Value, "${") { // a different name for each machine
			continue
		}
		if err := look(a.Value, insecureIn(served)); err != nil {
			return err
		}
	}
	return nil
}

// reachable returns an error if ref names an image on this machine in a way that other machines cannot use. The error
// says how other machines can name it, with one of addresses.
func reachable(ref string, addresses []netip.Addr) error {
	if local(ref) {
		return usage("serve: %s is on this machine's disk, but machines fetch from a registry: "+
			"send it to a registry with wyrcan push, and serve its name there", ref)
	}
	host, port, ok := registryOf(ref)
	if !ok || !loopback(host) {
		return nil
	}
	var names []string
	for _, a := range addresses {
		names = append(names, replaceHost(ref, loopback, a.String()))
	}
	if len(names) == 0 {
		return usage("serve: on each machine %s means that machine itself: name the address at which they reach this "+
			"one, %s",
			host, replaceHost(ref, loopback, "ADDRESS"))
	}
	where := "its port"
	if port != "" {
		where = "port " + port
	}
	return usage("serve: on each machine %s means that machine itself: serve %s, "+
		"and have the registry listen at %s of that address, not of %s alone",
		host, strings.Join(names, " or "), where, host)
}

// archOf returns the architecture of a kernel. If the file does not say it, archOf returns this machine's architecture
// and an error.
func archOf(file string) (string, error) {
	arch, err := kernelArch(file)
	if err != nil {
		return here.name(), err
	}
	return arch, nil
}

// insecureIn returns the registries for which a command line of Wyrcan allows connections without verified TLS.
func insecureIn(line []cmdline.Arg) []string {
	var hosts []string
	for _, a := range line {
		if a.Key == "wyr.insecure" || a.Key == "wyrcan.insecure" {
			hosts = append(hosts, a.Value)
		}
	}
	return hosts
}

// lookUp resolves and prints an image as a machine of an architecture will resolve it. Connections to the registries in
// insecure need no verified TLS.
func (c *cmd) lookUp(ctx context.Context, ref, arch string, insecure []string) error {
	source := c.source(ref, v1.Platform{OS: "linux", Architecture: arch})
	source.Insecure = image.Hosts(insecure)
	img, err := source.Resolve(ctx, ref)
	d := image.Diagnose(err)
	switch {
	case ctx.Err() != nil:
		return err
	case d.Insecure != "" || d.Cause.Access():
		return fmt.Errorf("cannot get %s: %w, here and on the machines", ref, advise(err))
	case image.Heals(err):
		return fmt.Errorf("cannot get %s: %w; or serve anyway with -no-check: machines retry until it works",
			ref, advise(err))
	case err != nil:
		return fmt.Errorf("cannot get %s: %w; correct the name, or serve anyway with -no-check", ref, err)
	}
	c.tellImage(img)
	return nil
}

// addBIOS adds the boot program for BIOS machines and the file that it loads to files. It returns the program's name.
// The program is given or, if given is empty, one from a distribution's package; the name is empty if there is none.
func addBIOS(files map[string]string, given string) (string, error) {
	candidates := []string{"/usr/lib/ipxe/undionly.kpxe", "/usr/share/ipxe/undionly.kpxe",
		"/usr/lib/PXELINUX/pxelinux.0", "/usr/share/syslinux/pxelinux.0"}
	if given != "" {
		if _, err := os.Stat(given); err != nil {
			return "", fmt.Errorf("cannot find the boot program for BIOS machines: %w", err)
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
		// PXELINUX needs a second file with most of its code.
		const core = "ldlinux.c32"
		for _, dir := range []string{filepath.Dir(program), "/usr/lib/syslinux/modules/bios"} {
			if _, err := os.Stat(filepath.Join(dir, core)); err == nil {
				files[core] = filepath.Join(dir, core)
				return name, nil
			}
		}
		if given != "" {
			return "",
				fmt.Errorf("%s needs %s, which is neither beside it nor in /usr/lib/syslinux/modules/bios: install "+
					"it (Debian: syslinux-common)", given, core)
		}
		delete(files, name)
	}
	return "", nil
}
