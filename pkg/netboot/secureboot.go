package netboot

import (
	"fmt"
	"path"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/grub"
)

// The names of the files with which an EFI machine boots where Secure Boot is on, all of them signed by others: firmware
// fetches shim, which fetches GRUB from where it came from itself, and MokManager if somebody wants to enrol a key. GRUB
// then fetches its configuration, the kernel and the initrd. Shim and GRUB begin the names over TFTP with slashes.
const (
	ShimName       = "shimx64.efi"
	GRUBName       = "grubx64.efi"
	MokManagerName = "mmx64.efi"
	GRUBConfigName = "grub/grub.cfg" // for any GRUB
)

// grubConfig returns the configuration for GRUB. The kernel and the initrd are where GRUB got the configuration from.
func (s *Site) grubConfig() (string, error) {
	return grub.Entry{Kernel: "/" + KernelName, Initrd: "/" + InitrdName, Cmdline: s.Cmdline}.Config()
}

// checkSecure checks that the signed chain is complete, if there is one, and says what cannot be passed by GRUB.
func (s *Site) checkSecure(logf func(string, ...any)) error {
	_, err := s.grubConfig()
	shim := s.Files[ShimName] != ""
	switch {
	case shim && s.Files[GRUBName] == "":
		return fmt.Errorf("there is %s, but no %s for it to start", ShimName, GRUBName)
	case shim && err != nil:
		return fmt.Errorf("machines with Secure Boot cannot be offered this command line: %w", err)
	case err != nil:
		logf("there is no %s: %v", GRUBConfigName, err)
	}
	return nil
}

// efiProgram returns the name of the program that EFI machines are told to fetch, "" if there is none: shim, which starts
// Wyrcan with and without Secure Boot, or else the unified kernel image.
func (s *Site) efiProgram() string {
	for _, name := range []string{ShimName, UKIName} {
		if s.Files[name] != "" {
			return name
		}
	}
	return ""
}

// proxyShim has the proxy name shim to machines that boot over HTTP. Those that boot by PXE are told the unified kernel
// image all the same: GRUB asks the TFTP server that is in the answer of the DHCP server, and knows of no proxy
// (grub_efi_net_config_real in GRUB 2.06's grub-core/net/drivers/efi/efinet.c).
func (o *Options) proxyShim(p *Proxy, url string) (err error) {
	name := o.Files[ShimName]
	if name == "" {
		return nil
	}
	p.Shim = url + ShimName
	if p.Arch, err = machineOf(name); err != nil {
		return err
	}
	o.Logf("dhcp: machines with Secure Boot that boot by PXE need a DHCP server that names %s as the file and %s as the "+
		"next server; those that boot over HTTP need none", ShimName, p.Server)
	return nil
}

// isGRUBConfig reports whether GRUB asks for its configuration by this name. First it asks for one of its platform:
// grub/x86_64-efi/grub.cfg.
func isGRUBConfig(name string) bool {
	return name == GRUBConfigName || strings.HasPrefix(name, "grub/") && path.Base(name) == path.Base(GRUBConfigName) &&
		strings.Count(name, "/") == 2
}
