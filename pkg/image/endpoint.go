package image

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// Hosts returns a function for Source.Insecure that reports whether a host is in list. An entry "HOST:PORT" stands for
// that port only, "HOST" for every port of the host.
func Hosts(list []string) func(host string) bool {
	type entry struct{ name, port string }
	entries := make(map[entry]bool)
	for _, e := range list {
		name, port := splitHost(e)
		entries[entry{name, port}] = true
	}
	return func(host string) bool {
		name, port := splitHost(host)
		return entries[entry{name, port}] || entries[entry{name, ""}]
	}
}

// splitHost returns the name and the port of "HOST[:PORT]". The name is in the form for comparisons: in lower case, an
// IPv6 address without brackets, and docker.io as the name of its registry.
func splitHost(host string) (string, string) {
	u := url.URL{Host: strings.ToLower(host)}
	n, port := u.Hostname(), u.Port()
	if n == "docker.io" || n == "registry-1.docker.io" {
		n = name.DefaultRegistry
	}
	return n, port
}

func loopback(hostname string) bool {
	return strings.EqualFold(hostname, "localhost") || net.ParseIP(hostname).IsLoopback()
}

// insecure reports whether the user has allowed connections to host, "HOST[:PORT]", without verified TLS.
func (s *Source) insecure(host string) bool {
	if s.Insecure != nil && s.Insecure(host) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.allowed[strings.ToLower(host)]
}

// allow has a host be insecure, as s.Registries says.
func (s *Source) allow(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allowed == nil {
		s.allowed = make(map[string]bool)
	}
	s.allowed[strings.ToLower(host)] = true
}

// mayBePlain reports whether host may be asked over plain HTTP. A private address, or a name that ends in .local, is
// not enough: otherwise an attacker who blocks the registry's TLS port could pretend to be the registry.
func (s *Source) mayBePlain(host string) bool {
	n, _ := splitHost(host)
	return loopback(n) || s.insecure(host)
}

// An endpoint is a registry, and the protocol that it was found to speak.
type endpoint struct {
	source   *Source
	registry string // as in a reference: "registry.example:5000"
	scheme   string // "https" or "http"
}

// trusted reports whether nobody else can have sent the endpoint's answers: they come over verified TLS, or from this
// machine.
func (e *endpoint) trusted() bool {
	n, _ := splitHost(e.registry)
	return loopback(n) || e.scheme == "https" && !e.source.isUnverified(e.registry)
}

// has reports whether u is at the endpoint, whatever its scheme: registries behind a proxy that terminates TLS send
// URLs of themselves with the wrong scheme.
func (e *endpoint) has(u *url.URL) bool {
	un, up := splitHost(u.Host)
	en, ep := splitHost(e.registry)
	standard := map[string]string{"https": "443", "http": "80"}[e.scheme]
	return un == en && (up == ep || up == "" && ep == standard || ep == "" && up == standard)
}

// reach finds out which protocol a registry speaks, and which authentication it wants. It tries plain HTTP only if that
// is allowed, and only after the registry gave no answer at all over TLS.
func (s *Source) reach(ctx context.Context, registry string) (*endpoint, []challenge, error) {
	e := &endpoint{source: s, registry: registry, scheme: "https"}
	challenges, err := s.ping(ctx, e)
	if err != nil && s.dateHint(ctx, registry, err) {
		challenges, err = s.ping(ctx, e)
	}
	if err == nil || !s.mayBePlain(registry) || ctx.Err() != nil || !noTLS(err) {
		return e, challenges, explain(ctx, "registry "+registry, registry, err)
	}
	e.scheme = "http"
	challenges, err = s.ping(ctx, e)
	return e, challenges, explain(ctx, "registry "+registry, registry, err)
}

// noTLS reports whether err says that no TLS connection could be made, for any reason but a certificate, the server's
// or this machine's.
func noTLS(err error) bool {
	var verify *tls.CertificateVerificationError
	return errors.As(err, new(*url.Error)) && !errors.As(err, new(*fault)) && !errors.As(err, &verify) &&
		clientFault("", "", err) == nil
}

// ping requests /v2/ of an endpoint, to learn which authentication it wants (distribution specification, "Determining
// Support"). Registries answer with 200 or 401.
func (s *Source) ping(ctx context.Context, e *endpoint) ([]challenge, error) {
	client := &http.Client{Transport: s.wire()}
	got, err := s.ask(ctx, client, http.MethodGet, e.scheme+"://"+e.registry+"/v2/", nil, "")
	if err != nil {
		return nil, err
	}
	defer got.Close()
	switch got.resp.StatusCode {
	case http.StatusOK:
		return nil, nil
	case http.StatusUnauthorized:
		return parseChallenges(got.resp.Header.Values("WWW-Authenticate")), nil
	}
	return nil, refusal("registry "+e.registry, got)
}

// isUnverified reports whether a host has an invalid certificate, which the user has allowed.
func (s *Source) isUnverified(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unverified[strings.ToLower(host)]
}

func (s *Source) setUnverified(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unverified == nil {
		s.unverified = make(map[string]bool)
	}
	s.unverified[strings.ToLower(host)] = true
}

// A wire is the lowest of the transports. Every request passes through it, also those after a redirection and those for
// tokens.
type wire struct{ source *Source }

func (s *Source) wire() http.RoundTripper { return wire{s} }

// withHeaders returns req with the headers that all requests have, and without the one that none has: after a
// redirection the Referer is the URL before, which may hold a signature.
func withHeaders(req *http.Request) *http.Request {
	if req.Header.Get("User-Agent") != "" && req.Header.Get("Referer") == "" {
		return req
	}
	req = req.Clone(req.Context())
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "wyrcan")
	}
	req.Header.Del("Referer")
	return req
}

// RoundTrip sends req over TLS with a verified certificate, or with less protection if that is allowed for its host.
// Otherwise it refuses, so no secret in a header or a body leaves this machine unprotected.
func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Host
	switch {
	case req.URL.Scheme == "http" && !w.source.mayBePlain(host):
		text := printable.Line(host) + " would have to be asked over plain HTTP, which anybody on the way can read and change"
		return nil, &fault{text: text, insecure: host}
	}
	req = withHeaders(req)
	if req.URL.Scheme == "http" {
		return w.source.forwarded(req)
	}
	open := w.source.isUnverified(host)
	t, err := w.source.to(host, open)
	if err != nil {
		return nil, err
	}
	resp, err := w.source.overTLS(t, req)
	var verify *tls.CertificateVerificationError
	if err == nil || open || !w.source.insecure(host) || !errors.As(err, &verify) {
		return resp, err
	}
	w.source.setUnverified(host)
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return nil, err // the next attempt finds the host marked as unverified, and sends the request
		}
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = body
	}
	if t, err = w.source.to(host, true); err != nil {
		return nil, err
	}
	return t.RoundTrip(req)
}
