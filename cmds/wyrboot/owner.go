package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"gitlab.com/wyrcan/wyrcan/pkg/certificates"
	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
)

// page is the document about logins and certificates.
const page = "docs/registries.md"

// systemCredentials reads what the machine's owner gave to the boot environment through the firmware or a hypervisor.
// It needs the drivers to be loaded: fw_cfg has one.
func (c *cmd) systemCredentials(ctx context.Context) (syscred.Set, []error) {
	if _, err := fs.Stat(c.root, "sys/firmware/dmi/entries"); errors.Is(err, fs.ErrNotExist) && c.loader != nil {
		// No device asks for this driver. A machine without SMBIOS refuses it, and has nothing to read.
		_ = c.loader.Add(ctx, "dmi-sysfs")
	}
	set, errs := syscred.Read(c.root)
	for _, err := range errs {
		c.sayf("%v; see %s", err, page)
	}
	return set, errs
}

// registryLogins returns the logins for registries, and says where they come from.
func (c *cmd) registryLogins() credentials.Credentials {
	logins, said, wrong := credentials.Gather(c.root, c.system)
	for _, line := range wrong {
		c.sayf("%s; see %s", line, page)
	}
	for _, line := range said {
		c.sayf("%s", line)
	}
	return logins
}

// roots returns the certificate authorities to trust: those compiled in, those in /etc/ssl/certs, and those of system
// credentials, of which it says where they come from.
func (c *cmd) roots() *x509.CertPool {
	pool := image.BootRoots()
	for _, err := range unusable(c.root) {
		c.sayf("%v; see %s", err, page)
	}
	for _, cred := range c.system.Named(certificates.Name) {
		from := fmt.Sprintf("credential %s of %s", cred.Name, cred.From)
		list, err := certificates.Bundle(cred.Data)
		if err != nil {
			c.sayf("%s: %v; see %s", from, err, page)
		}
		for _, cert := range list {
			pool.AddCert(cert)
		}
		if len(list) > 0 {
			c.sayf("certificate authorities: %d from %s", len(list), from)
		}
	}
	return pool
}

// unusable returns an error for each file in /etc/ssl/certs that is meant to be a certificate and is none. crypto/x509
// leaves such files out without a word.
func unusable(root fs.FS) (errs []error) {
	const dir, most = "etc/ssl/certs", 1000
	entries, err := fs.ReadDir(root, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []error{err}
	}
	for _, e := range entries[:min(len(entries), most)] {
		switch path.Ext(e.Name()) {
		case ".pem", ".crt", ".cer", ".der":
			if _, err := certificates.File(root, path.Join(dir, e.Name())); err != nil {
				errs = append(errs, fmt.Errorf("certificate /%s/%s: %w", dir, e.Name(), err))
			}
		}
	}
	return errs
}

// hostCertificates returns the certificates that an initrd brought for one host.
func (c *cmd) hostCertificates(host string) ([]*x509.Certificate, []tls.Certificate, error) {
	x, err := certificates.System(c.root, "").For(host)
	return x.Roots, x.Client, err
}

// loginFor returns where the login for host comes from, if there is one: for the image, if host is its registry, else
// for the whole of a mirror or a proxy.
func (c *cmd) loginFor(host string) string {
	what := host
	ref, err := name.ParseReference(c.config.Image)
	if err == nil && strings.EqualFold(ref.Context().RegistryStr(), host) {
		what = ref.Context().Name()
	}
	key, ok := c.logins.Find(what)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s for %s", c.logins[key].From, key)
}
