package image

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// A connection is what makes the requests to a host that has certificates of its own, or none that is verified.
type connection struct {
	host string // "HOST[:PORT]" in lower case; "" stands for every host without certificates of its own
	open bool   // any certificate is accepted
}

// to returns the transport for requests to a host. If open is set, it accepts any certificate of the host.
func (s *Source) to(host string, open bool) (http.RoundTripper, error) {
	roots, client, err := s.certificates(host)
	if err != nil {
		return nil, &fault{
			text:  "cannot use the certificates for " + printable.Line(host),
			cause: err, kind: WrongCertificate, host: host,
		}
	}
	key := connection{open: open}
	if len(roots)+len(client) > 0 {
		key.host = strings.ToLower(host)
	}
	base := s.transport()
	t, ok := base.(*http.Transport)
	if !ok || key == (connection{}) {
		return base, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if made := s.connections[key]; made != nil {
		return made, nil
	}
	t = t.Clone()
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = new(tls.Config)
	}
	config := t.TLSClientConfig
	config.InsecureSkipVerify = open
	config.Certificates = client
	if len(roots) > 0 {
		config.RootCAs = s.roots().Clone()
		for _, cert := range roots {
			config.RootCAs.AddCert(cert)
		}
	}
	switch {
	case open:
		t.Proxy = only(t.Proxy, unverifiable)
	case len(client) > 0:
		t.Proxy = only(t.Proxy, unshowable)
	}
	if s.connections == nil {
		s.connections = make(map[connection]*http.Transport)
	}
	s.connections[key] = t
	return t, nil
}

// certificates returns what s.Certificates has for a host. It is asked once.
func (s *Source) certificates(host string) ([]*x509.Certificate, []tls.Certificate, error) {
	if s.Certificates == nil {
		return nil, nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.extra[host]; ok {
		return known.roots, known.client, known.err
	}
	var x extra
	x.roots, x.client, x.err = s.Certificates(host)
	if s.extra == nil {
		s.extra = make(map[string]extra)
	}
	s.extra[host] = x
	return x.roots, x.client, x.err
}

// extra is an answer of Source.Certificates.
type extra struct {
	roots  []*x509.Certificate
	client []tls.Certificate
	err    error
}
