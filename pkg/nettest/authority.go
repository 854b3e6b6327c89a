// Package nettest has what tests of several packages need of a network: authorities that sign certificates, servers on
// loopback that answer datagrams, HTTP requests, and logs to wait for.
package nettest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An Authority signs certificates. Its own can be that of a server too.
type Authority struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority returns an authority with the certificate c. Without other dates that was valid an hour ago and is for a
// day.
func NewAuthority(t testing.TB, c x509.Certificate) *Authority {
	t.Helper()
	c.IsCA, c.BasicConstraintsValid = true, true
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	a := new(Authority)
	a.Cert, a.key = create(t, c, a)
	return a
}

// Named is NewAuthority with nothing but a name.
func Named(t testing.TB, name string) *Authority {
	t.Helper()
	return NewAuthority(t, x509.Certificate{Subject: pkix.Name{CommonName: name}})
}

// Sign returns the certificate c, with such dates, and a new key for it.
func (a *Authority) Sign(t testing.TB, c x509.Certificate) tls.Certificate {
	t.Helper()
	cert, key := create(t, c, a)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// guestView is this host as a machine in QEMU's user network sees it.
const guestView = "10.0.2.2"

// Server returns a certificate for a server that is valid today. It is for 127.0.0.1, for what machines in QEMU's user
// network call this host, and for names.
func (a *Authority) Server(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	return a.Sign(t, x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(guestView)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// create makes a certificate. An authority without a certificate signs its own.
func create(t testing.TB, c x509.Certificate, by *Authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		t.Fatal(err)
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = time.Now().Add(-time.Hour)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(24 * time.Hour)
	}
	parent, signs := by.Cert, by.key
	if parent == nil {
		parent, signs = &c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, parent, key.Public(), signs)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// Pool returns the authority as those that a client trusts.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	return pool
}

// TLS returns the authority's own certificate, for a server.
func (a *Authority) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{a.Cert.Raw}, PrivateKey: a.key}
}

// PEM returns the authority's own certificate and its key in PEM form.
func (a *Authority) PEM(t testing.TB) (cert, key []byte) {
	t.Helper()
	return PEM(t, a.TLS())
}

// PEM returns a certificate and its key in PEM form.
func PEM(t testing.TB, pair tls.Certificate) (cert, key []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// CertDir returns a directory with the authority's certificate, in the form of containers-certs.d(5).
func (a *Authority) CertDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	cert, _ := a.PEM(t)
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), cert, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
