// Package certificates reads the certificates that a person adds to those of the system: bundles of certificate
// authorities in PEM form, and the directories of containers-certs.d(5), which also have client certificates. It makes
// no connection, and does not decide whom to trust with what.
package certificates

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// Name is the name of the system credential with certificate authorities.
const Name = "wyr.ca"

const (
	maxFile  = 1 << 20 // bytes of one file; Mozilla's list has a quarter of that
	maxFiles = 64      // of one directory
)

// Bundle parses certificates in PEM form. If some of b is wrong, it returns an error, and the other certificates
// besides. The error shows nothing of b, which may hold a private key by mistake.
func Bundle(b []byte) (list []*x509.Certificate, err error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("it has more than %d KiB", maxFile>>10)
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	// Decode skips blocks that are damaged.
	begun := bytes.Count(b, []byte("-----BEGIN "))
	var blocks, keys, other, bad int
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		blocks++
		switch cert, err := x509.ParseCertificate(block.Bytes); {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			keys++
		case block.Type != "CERTIFICATE":
			other++
		case err != nil:
			bad++
		default:
			list = append(list, cert)
		}
	}
	bad += begun - blocks
	switch {
	case keys > 0:
		return list, errors.New("it has a private key, which must not be there: want certificates only")
	case bad > 0:
		return list, fmt.Errorf("%d of its %d certificates cannot be read: they are damaged or cut off", bad, begun)
	case other > 0:
		return list, errors.New("it has more than certificates: want blocks that begin with -----BEGIN CERTIFICATE-----")
	case len(list) == 0 && len(b) > 0 && b[0] == 0x30: // ASN.1's SEQUENCE
		return nil, errors.New("it seems to be in DER form: convert it to PEM (openssl x509 -inform der)")
	case len(list) == 0:
		return nil, errors.New("it has no certificate in PEM form")
	}
	return list, nil
}

// File reads a file of certificates in PEM form, as Bundle does.
func File(root fs.FS, name string) ([]*x509.Certificate, error) {
	b, err := smallfile.Read(root, name, maxFile)
	if err != nil {
		return nil, err
	}
	return Bundle(b)
}

// Extra are the certificates for the connections to one host.
type Extra struct {
	Roots  []*x509.Certificate // authorities besides those of the system
	Client []tls.Certificate   // what this machine shows to the host
}

// A Finder finds certificates in directories as containers-certs.d(5) has them: each has a directory HOST[:PORT].
type Finder struct {
	Root fs.FS
	Dirs []string // below Root; the first one that has a directory for a host counts, the others do not
}

// System returns the Finder of podman and skopeo, for a file system with the root directory root. home is the user's
// home directory below root, or "".
func System(root fs.FS, home string) Finder {
	dirs := []string{"etc/containers/certs.d", "etc/docker/certs.d"}
	if home != "" {
		dirs = append([]string{path.Join(home, ".config/containers/certs.d")}, dirs...)
	}
	return Finder{root, dirs}
}

// For returns the certificates for a host, "HOST[:PORT]".
func (f Finder) For(host string) (Extra, error) {
	for _, dir := range f.Dirs {
		for _, name := range spellings(host) {
			full := path.Join(dir, name)
			info, err := fs.Stat(f.Root, full)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || err == nil && !info.IsDir() {
				continue // containers/image goes on too
			}
			if err != nil {
				return Extra{}, fmt.Errorf("cannot read the certificates in /%s: %w", full, smallfile.Cause(err))
			}
			return ReadDir(f.Root, full, "/"+full)
		}
	}
	return Extra{}, nil
}

// spellings returns the names that the directory for a host may have. The name may come from a server.
func spellings(host string) []string {
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		host = "docker.io"
	}
	// fs.ValidPath has no dots and no empty names. A slash would be another directory.
	if !fs.ValidPath(host) || host == "." || strings.ContainsAny(host, "/\x00") {
		return nil
	}
	names := []string{host}
	if name, ok := strings.CutSuffix(host, ":443"); ok {
		names = append(names, name)
	} else if _, _, err := net.SplitHostPort(host); err != nil {
		names = append(names, host+":443")
	}
	if lower := strings.ToLower(host); lower != host {
		names = append(names, lower)
	}
	return names
}

// ReadDir reads a directory of certificates: *.crt are authorities, *.cert and *.key with the same name are a client
// certificate. shown is the directory's name in messages.
func ReadDir(root fs.FS, dir, shown string) (Extra, error) {
	entries, err := fs.ReadDir(root, dir)
	if err != nil {
		return Extra{}, fmt.Errorf("cannot read the certificates in %s: %w", shown, smallfile.Cause(err))
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		switch path.Ext(e.Name()) {
		case ".crt", ".cert", ".key":
			names = append(names, e.Name())
		}
	}
	if len(names) > maxFiles {
		return Extra{}, fmt.Errorf("%s has more than %d certificates and keys", shown, maxFiles)
	}
	var x Extra
	for _, name := range names {
		base := strings.TrimSuffix(name, path.Ext(name))
		var err error
		switch path.Ext(name) {
		case ".crt":
			err = x.addRoots(root, path.Join(dir, name))
		case ".cert":
			if !slices.Contains(names, base+".key") {
				err = fmt.Errorf("it is a client certificate without its key %s.key; "+
					"the certificate of an authority has the ending .crt", base)
				break
			}
			err = x.addClient(root, path.Join(dir, base))
		case ".key":
			if !slices.Contains(names, base+".cert") {
				err = fmt.Errorf("it is a key without its client certificate %s.cert", base)
			}
		}
		if err != nil {
			return Extra{}, fmt.Errorf("%s: %w", printable.Line(path.Join(shown, name)), err)
		}
	}
	return x, nil
}

func (x *Extra) addRoots(root fs.FS, name string) error {
	list, err := File(root, name)
	x.Roots = append(x.Roots, list...)
	return err
}

func (x *Extra) addClient(root fs.FS, base string) error {
	cert, err := smallfile.Read(root, base+".cert", maxFile)
	if err != nil {
		return err
	}
	key, err := smallfile.Read(root, base+".key", maxFile)
	if err != nil {
		return fmt.Errorf("its key %s.key: %w", path.Base(base), err)
	}
	if block, _ := pem.Decode(key); block != nil &&
		(block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "") {
		return fmt.Errorf("its key %s.key needs a password: store it without one", path.Base(base))
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil { // the error shows nothing of the key
		return fmt.Errorf("it is no client certificate in PEM form that fits its key %s.key: %w", path.Base(base), err)
	}
	x.Client = append(x.Client, pair)
	return nil
}
