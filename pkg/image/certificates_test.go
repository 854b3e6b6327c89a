package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// client returns a client certificate of an authority that ends at some time.
func client(t *testing.T, a *nettest.Authority, name string, until time.Time) tls.Certificate {
	t.Helper()
	return a.Sign(t, x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: until.AddDate(-1, 0, 0), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// A tlsServer serves over TLS, and notes the names in the client certificates that it is shown.
type tlsServer struct {
	host string
	mu   sync.Mutex
	seen map[string]bool
}

func (s *tlsServer) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for n := range s.seen {
		names = append(names, n)
	}
	return strings.Join(names, " ")
}

func serveTLS(t *testing.T, a *nettest.Authority, h http.Handler, ask tls.ClientAuthType) *tlsServer {
	t.Helper()
	s := &tlsServer{seen: make(map[string]bool)}
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{a.Server(t)},
		ClientAuth:   ask, ClientCAs: a.Pool(),
		VerifyConnection: func(c tls.ConnectionState) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, cert := range c.PeerCertificates {
				s.seen[cert.Subject.CommonName] = true
			}
			return nil
		},
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	s.host = strings.TrimPrefix(server.URL, "https://")
	return s
}

// registryWith returns a registry with the image as x:1. It redirects to blobs, unless that is "".
func registryWith(t *testing.T, img v1.Image, blobs func() string) http.Handler {
	t.Helper()
	h := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	plain := httptest.NewServer(h)
	defer plain.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(plain.URL, "http://") + "/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := blobs(); to != "" && strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, to+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func nowhere() string { return "" }

// for1 returns a function for Source.Certificates that has certificates for one host.
func for1(host string, roots []*x509.Certificate, client ...tls.Certificate,
) func(string) ([]*x509.Certificate, []tls.Certificate, error) {
	return func(h string) ([]*x509.Certificate, []tls.Certificate, error) {
		if h == host {
			return roots, client, nil
		}
		return nil, nil, nil
	}
}

// An authority for one host is trusted for that host only, and a client certificate is shown to that host only: not to
// a storage that it redirects to, although that asks for one and has the same address.
func TestCertificates(t *testing.T) {
	t.Parallel()
	ours, theirs := nettest.Named(t, "ours"), nettest.Named(t, "theirs")
	img := randomImage(t, 10_000, 1, amd64)
	storage := serveTLS(t, theirs, registryWith(t, img, nowhere), tls.RequestClientCert)
	registry := serveTLS(t, ours, registryWith(t, img, func() string { return "https://" + storage.host }),
		tls.RequireAndVerifyClientCert)
	me := client(t, ours, "me", time.Now().Add(time.Hour))

	s := fast(t)
	s.Roots = theirs.Pool()
	s.Certificates = for1(registry.host, []*x509.Certificate{ours.Cert}, me)
	got, err := s.Resolve(context.Background(), registry.host+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, got.Layers[0]); err != nil {
		t.Fatal(err)
	}
	if registry.shown() != "me" || storage.shown() != "" {
		t.Errorf("the registry was shown %q, want me; the storage %q, want nothing", registry.shown(), storage.shown())
	}

	// The storage has a certificate of our authority, which is trusted for the registry alone.
	impostor := serveTLS(t, ours, registryWith(t, img, nowhere), tls.RequestClientCert)
	registry = serveTLS(t, ours, registryWith(t, img, func() string { return "https://" + impostor.host }),
		tls.RequireAndVerifyClientCert)
	s = fast(t)
	s.Certificates = for1(registry.host, []*x509.Certificate{ours.Cert}, me)
	_, err = s.Resolve(context.Background(), registry.host+"/x:1")
	if d := Diagnose(err); err == nil || Heals(err) || d.Cause != UnknownIssuer || d.Host != impostor.host ||
		impostor.shown() != "" {
		t.Errorf("Resolve with a redirection to a host that is not trusted = %v (%+v); it was shown %q",
			err, d, impostor.shown())
	}
}

func TestCertificatesRefused(t *testing.T) {
	t.Parallel()
	ours, strange := nettest.Named(t, "ours"), nettest.Named(t, "strange")
	img := randomImage(t, 1000, 1, amd64)
	registry := serveTLS(t, ours, registryWith(t, img, nowhere), tls.RequireAndVerifyClientCert)
	soon := time.Now().Add(time.Hour)
	roots := []*x509.Certificate{ours.Cert}
	malformed := func(string) ([]*x509.Certificate, []tls.Certificate, error) {
		return nil, nil, errors.New("/etc/containers/certs.d/x/ca.crt: it has no certificate in PEM form")
	}
	for name, row := range map[string]struct {
		certificates func(string) ([]*x509.Certificate, []tls.Certificate, error)
		want         string
		cause        Cause
	}{
		"none":          {nil, "not trusted", UnknownIssuer},
		"no client":     {for1(registry.host, roots), "wants a client certificate", WantsCertificate},
		"for a subhost": {for1("x."+registry.host, roots), "not trusted", UnknownIssuer},
		"expired": {for1(registry.host, roots, client(t, ours, "old", time.Now().Add(-time.Hour))),
			"does not accept the client certificate: it has expired", WantsCertificate},
		"of another authority": {for1(registry.host, roots, client(t, strange, "strange", soon)),
			"client certificate", WantsCertificate},
		"malformed": {malformed, "cannot use the certificates for " + registry.host +
			": /etc/containers/certs.d/x/ca.crt: it has", WrongCertificate},
	} {
		s := fast(t)
		s.Certificates = row.certificates
		_, err := s.Resolve(context.Background(), registry.host+"/x:1")
		d := Diagnose(err)
		if err == nil || Heals(err) || !strings.Contains(err.Error(), row.want) || d.Cause != row.cause ||
			d.Host != registry.host {
			t.Errorf("%s: %v (heals: %v, %+v), want %q, cause %v", name, err, Heals(err), d, row.want, row.cause)
		}
	}
	// A host whose certificate nobody verifies still gets the client certificate.
	s := fast(t)
	s.Insecure = Hosts([]string{registry.host})
	s.Certificates = for1(registry.host, nil, client(t, ours, "me", soon))
	if _, err := s.Resolve(context.Background(), registry.host+"/x:1"); err != nil || registry.shown() != "me" {
		t.Errorf("Resolve at an insecure registry = %v; it was shown %q", err, registry.shown())
	}
}

// nginx refuses a client without a certificate inside of HTTP.
func TestClientCertificateOfNginx(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Cause{
		"<html><center>No required SSL certificate was sent</center></html>": WantsCertificate,
		"<html><title>400 The SSL certificate error</title></html>":          WantsCertificate,
		"<html>400 Bad Request</html>":                                       Other,
	} {
		host := newRegistry(t, func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, body)
			})
		})
		_, err := fast(t).Resolve(context.Background(), host+"/x:1")
		if d := Diagnose(err); err == nil || d.Cause != want || Heals(err) {
			t.Errorf("%s: %v, %+v, want cause %v", body, err, d, want)
		}
	}
}

// net/http would show the client certificate to a proxy that is reached over TLS.
func TestClientCertificateAndProxy(t *testing.T) {
	t.Parallel()
	ours := nettest.Named(t, "ours")
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	proxy := serveTLS(t, ours, refuse, tls.RequestClientCert)
	s := fast(t)
	s.Roots = ours.Pool()
	base := s.transport().(*http.Transport)
	base.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: proxy.host})
	s.Certificates = for1("registry.example", nil, client(t, ours, "me", time.Now().Add(time.Hour)))
	_, err := s.Resolve(context.Background(), "registry.example/x:1")
	if err == nil || !strings.Contains(err.Error(), "client certificate") || proxy.shown() != "" {
		t.Errorf("Resolve = %v; the proxy was shown %q", err, proxy.shown())
	}
	// The proxy is used for other hosts.
	if _, err := s.Resolve(context.Background(), "other.example/x:1"); err == nil ||
		strings.Contains(err.Error(), "client certificate") {
		t.Errorf("Resolve of another host = %v", err)
	}
}
