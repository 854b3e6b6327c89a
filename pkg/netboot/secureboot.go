package netboot

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/grub"
	"gitlab.com/wyrcan/wyrcan/pkg/uki"
)

// The names of the files with which an EFI machine boots where Secure Boot is on, all of them signed by others. By PXE
// firmware fetches shim, which fetches GRUB from where it came from itself, and MokManager if somebody wants to enrol a
// key. GRUB then fetches its configuration, the kernel and the initrd. Shim and GRUB begin the names with slashes. Over
// HTTP firmware fetches a medium that has all of these, because Debian's signed GRUB has no HTTP.
const (
	ShimName       = "shimx64.efi"
	GRUBName       = "grubx64.efi"
	MokManagerName = "mmx64.efi"
	MediumName     = "wyrcan.iso"
	GRUBConfigName = "grub/grub.cfg" // for any GRUB
)

// entry returns what GRUB starts, by these paths where it found its configuration.
func (s *Site) entry(kernel, initrd string) grub.Entry {
	return grub.Entry{Kernel: "/" + kernel, Initrd: "/" + initrd, Cmdline: s.Cmdline}
}

// grubConfig returns the configuration for GRUB.
func (s *Site) grubConfig() (string, error) { return s.entry(KernelName, InitrdName).Config() }

// checkSecure checks that the signed chain is complete, if there is one, and says what cannot be passed by GRUB.
func (s *Site) checkSecure(logf func(string, ...any)) error {
	_, err := s.grubConfig()
	shim := s.Files[ShimName] != ""
	switch {
	case shim && s.Files[GRUBName] == "":
		return fmt.Errorf("there is %s, but no %s for it to start", ShimName, GRUBName)
	case (shim || s.Files[MediumName] != "") && err != nil:
		return fmt.Errorf("machines with Secure Boot cannot be offered this command line: %w", err)
	case err != nil:
		logf("there is no %s: %v", GRUBConfigName, err)
	}
	return nil
}

// medium returns the medium in a file with the site's command line in place of its own.
func (s *Site) medium(f *os.File, info fs.FileInfo) (*file, error) {
	text, err := s.entry("kernel", "initrd").Padded() // as tools/iso has them
	if err != nil {
		return nil, err
	}
	at, err := grub.Find(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	whole := io.NewSectionReader(edited{f, []uki.Edit{{Offset: at, Bytes: []byte(text)}}}, 0, info.Size())
	return &file{ReadSeeker: whole, Closer: f, time: info.ModTime()}, nil
}

// programs returns the names of what EFI machines are told to fetch by PXE and over HTTP, "" where there is nothing:
// the signed chain, which starts Wyrcan with and without Secure Boot, or else the unified kernel image.
func (s *Site) programs() (pxe, web string) {
	first := func(names ...string) string {
		for _, name := range names {
			if s.Files[name] != "" {
				return name
			}
		}
		return ""
	}
	return first(ShimName, UKIName), first(MediumName, UKIName)
}

// proxyMedium has the proxy name the medium to machines that boot over HTTP. Those that boot by PXE are told the
// unified kernel image: GRUB asks the TFTP server that is in the answer of the DHCP server, and knows of no proxy
// (grub_efi_net_config_real in GRUB 2.06's grub-core/net/drivers/efi/efinet.c).
func (o *Options) proxyMedium(p *Proxy, url string) {
	if o.Files[MediumName] != "" {
		p.Medium = url + MediumName
	}
	if o.Files[ShimName] != "" {
		o.Logf("dhcp: machines with Secure Boot that boot by PXE need a DHCP server that names %s as the file and %s as "+
			"the next server; those that boot over HTTP need none", ShimName, p.Server)
	}
}

// isGRUBConfig reports whether GRUB asks for its configuration by this name. First it asks for one of its platform:
// grub/x86_64-efi/grub.cfg.
func isGRUBConfig(name string) bool {
	return name == GRUBConfigName || strings.HasPrefix(name, "grub/") && path.Base(name) == path.Base(GRUBConfigName) &&
		strings.Count(name, "/") == 2
}
