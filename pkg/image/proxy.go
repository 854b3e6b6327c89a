package image

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// A chooser says which proxy a request goes by way of, if any: http.Transport.Proxy.
type chooser = func(*http.Request) (*url.URL, error)

// through returns a chooser of the same proxy as which, with the login that s.Auth has for the proxy's HOST:PORT.
func (s *Source) through(which chooser) chooser {
	return func(req *http.Request) (*url.URL, error) {
		u, err := which(req)
		if err != nil || u == nil || u.User != nil || s.Auth == nil {
			return u, err
		}
		auth := s.Auth(u.Host)
		if auth == nil {
			return u, nil
		}
		login, err := authn.Authorization(req.Context(), auth)
		if err != nil || login.Username == "" {
			return u, nil
		}
		with := *u
		with.User = url.UserPassword(login.Username, login.Password)
		return &with, nil
	}
}

// proxyOf returns the proxy that req goes by way of, or nil.
func (s *Source) proxyOf(req *http.Request) *url.URL {
	t, ok := s.transport().(*http.Transport)
	if !ok || t.Proxy == nil {
		return nil
	}
	u, err := t.Proxy(req)
	if err != nil {
		return nil
	}
	return u
}

// only returns a chooser of proxies that are not themselves reached over TLS: net/http uses the configuration of a
// host's TLS for that of the proxy too. why is what must not happen to the proxy.
func only(which chooser, why string) chooser {
	if which == nil {
		return nil
	}
	return func(req *http.Request) (*url.URL, error) {
		u, err := which(req)
		if err == nil && u != nil && u.Scheme == "https" {
			return nil, permanent("%s %s through a proxy that is reached over TLS: "+
				"name a proxy with http:// or none for this host", printable.Line(req.URL.Host), why)
		}
		return u, err
	}
}

// What only says.
const (
	unverifiable = "would be asked without verifying its certificate, which cannot be done"
	unshowable   = "has a client certificate, which cannot be used"
)

// A proxyRefusal is the answer of a proxy that does not do what it was asked for.
type proxyRefusal struct {
	proxy  *url.URL
	status int
}

func (p *proxyRefusal) Error() string {
	host := "proxy " + printable.Line(p.proxy.Host)
	switch {
	case p.status != http.StatusProxyAuthRequired:
		return fmt.Sprintf("%s answers %d %s", host, p.status, http.StatusText(p.status))
	case p.proxy.User != nil:
		return host + " does not accept the login"
	}
	return host + " wants a login"
}

// cause returns the cause of the refusal.
func (p *proxyRefusal) cause() Cause {
	if p.status == http.StatusProxyAuthRequired {
		return ProxyDenied
	}
	return NoProxy
}

// fault returns the error for a request to who.
func (p *proxyRefusal) fault(who string) *fault {
	return &fault{text: "cannot reach " + who, cause: p, heals: statusHeals(p.status), host: p.proxy.Host}
}

// proxyAnswer is for http.Transport.OnProxyConnectResponse. Of a proxy that refuses, net/http's own error has nothing
// but the proxy's words.
func proxyAnswer(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &proxyRefusal{proxy, resp.StatusCode}
	}
	return nil
}

// forwarded returns the answer to req over plain HTTP, or an error if that is a proxy which wants a login.
func (s *Source) forwarded(req *http.Request) (*http.Response, error) {
	resp, err := s.transport().RoundTrip(req)
	if f := s.proxyFault(req, err); f != nil {
		return nil, f
	}
	if err == nil && resp.StatusCode == http.StatusProxyAuthRequired {
		if proxy := s.proxyOf(req); proxy != nil {
			resp.Body.Close()
			return nil, &proxyRefusal{proxy, resp.StatusCode}
		}
	}
	return resp, err
}

// overTLS sends req by a transport of s.to. What is wrong with the proxy on the way is told as that.
func (s *Source) overTLS(t http.RoundTripper, req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTrip(req)
	if f := s.proxyFault(req, err); f != nil {
		return nil, f
	}
	return resp, err
}

// proxyFault returns the fault if err, which may be nil, says that the certificate of the proxy for req cannot be
// verified, else nil. Nothing loosens that, because the proxy gets a login and sees where all requests go.
func (s *Source) proxyFault(req *http.Request, err error) error {
	var op *net.OpError
	var verify *tls.CertificateVerificationError
	if !errors.As(err, &op) || op.Op != "proxyconnect" || !errors.As(err, &verify) {
		return nil
	}
	proxy := s.proxyOf(req)
	if proxy == nil {
		return nil
	}
	f := certificateFault("proxy "+printable.Line(proxy.Host), proxy.Host, verify)
	_, kind := reason(f)
	switch kind {
	case UnknownIssuer:
		kind = ProxyIssuer // what is trusted for a registry alone does not help
	case WrongName:
		kind = WrongCertificate // the name of an image does not have the proxy's
	}
	return &fault{text: f.Error(), kind: kind, host: proxy.Host}
}
