package image

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// docker's registry is reached by way of a proxy that wants a login, and by no other way, because no DNS server knows
// its name. The proxy gets the login for its own HOST:PORT and the registry gets its own.
func TestDistributionThroughProxy(t *testing.T) {
	t.Parallel()
	a := nettest.Named(t, "test")
	private := imagetest.Distribution{TLS: a, Names: []string{"registry.example"}, Login: true}.Start(t)
	copyTo(t, private.Host+"/team/x:1", ociImage(t, 10_000, 2),
		"--dest-cert-dir", a.CertDir(t), "--dest-creds", credentials)
	plain := imagetest.Distribution{}.Start(t)
	copyTo(t, plain.Host+"/team/x:1", ociImage(t, 10_000, 2), "--dest-tls-verify=false")
	names := map[string]string{"registry.example:443": private.Host, "lab.example:5000": plain.Host}
	other := nettest.Named(t, "other") // of the proxies
	wrong := &authn.Basic{Username: imagetest.User, Password: "wrong"}
	for _, c := range []struct {
		name   string
		ref    string
		login  authn.Authenticator // for the proxy
		tls    bool                // the proxy is reached over TLS
		strict bool                // nothing is insecure
		trust  *nettest.Authority
		asked  []string // of the proxy
		fails  string
		cause  Cause
	}{
		{name: "TLS", ref: "registry.example/team/x:1", login: login, asked: []string{"200 CONNECT registry.example:443"}},
		{name: "TLS, by a proxy with TLS", ref: "registry.example/team/x:1", login: login, tls: true, strict: true,
			asked: []string{"200 CONNECT registry.example:443"}},
		{name: "plain HTTP", ref: "lab.example:5000/team/x:1", login: login,
			asked: []string{"200 CONNECT lab.example:5000", "200 GET lab.example:5000"}},
		{name: "TLS, no login", ref: "registry.example/team/x:1", strict: true, fails: "wants a login",
			cause: ProxyDenied, asked: []string{"407 CONNECT registry.example:443"}},
		{name: "TLS, wrong login", ref: "registry.example/team/x:1", login: wrong, strict: true,
			fails: "does not accept the login", cause: ProxyDenied,
			asked: []string{"407 CONNECT registry.example:443"}},
		{name: "plain HTTP, no login", ref: "lab.example:5000/team/x:1", fails: "wants a login", cause: ProxyDenied,
			asked: []string{"407 CONNECT lab.example:5000", "407 GET lab.example:5000"}},
		{name: "not to be reached", ref: "other.example/x", login: login, strict: true, fails: "answers 403 Forbidden",
			cause: NoProxy, asked: []string{"403 CONNECT other.example:443"}},
		{name: "a proxy with TLS that is not trusted", ref: "registry.example/team/x:1", login: login, tls: true,
			strict: true, trust: a, fails: "the certificate of proxy", cause: ProxyIssuer},
		{name: "a proxy with TLS that is not trusted, for an insecure registry", ref: "registry.example/team/x:1",
			login: login, tls: true, trust: a, fails: "the certificate of proxy", cause: ProxyIssuer},
		{name: "an insecure registry by a proxy with TLS", ref: "registry.example/team/x:1", login: login, tls: true,
			trust: other, fails: "registry.example would be asked without verifying its certificate",
			asked: []string{"200 CONNECT registry.example:443"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var over *nettest.Authority
			scheme := "http"
			if c.tls {
				over, scheme = other, "https"
			}
			proxy := imagetest.NewProxy(t, names, over)
			s := fast(t)
			s.Roots = a.Pool()
			s.Roots.AddCert(other.Cert)
			if c.trust != nil {
				s.Roots = c.trust.Pool()
			}
			if !c.strict {
				s.Insecure = Hosts([]string{"lab.example", "registry.example"})
			}
			s.Auth = func(repository string) authn.Authenticator {
				switch repository {
				case proxy.Host:
					return c.login
				case "registry.example/team/x":
					return login
				}
				return nil
			}
			s.transport().(*http.Transport).Proxy = s.through(http.ProxyURL(&url.URL{Scheme: scheme, Host: proxy.Host}))
			got, err := s.Resolve(context.Background(), c.ref)
			if err == nil {
				for _, l := range got.Layers {
					if b, err := readAll(t, l); err != nil || int64(len(b)) != l.Size {
						t.Errorf("%v has %d bytes, %v", l, len(b), err)
					}
				}
			}
			d := Diagnose(err)
			switch {
			case c.fails == "" && err != nil:
				t.Error(err)
			case c.fails != "" && (err == nil || Heals(err) || d.Insecure != "" ||
				!strings.Contains(err.Error(), "proxy") || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("%v (heals: %v, %+v), want a lasting error with %q",
					err, Heals(err), d, c.fails)
			case d.Cause != c.cause || d.Cause != Other && d.Host != proxy.Host:
				t.Errorf("%v has the diagnosis %+v, want cause %v for the proxy", err, d, c.cause)
			case err != nil && (strings.Contains(err.Error(), "wrong") || strings.Contains(err.Error(), imagetest.Password)):
				t.Errorf("%v shows the login", err)
			}
			if asked := proxy.Asked(); !slices.Equal(asked, c.asked) {
				t.Errorf("the proxy was asked %q, want %q", asked, c.asked)
			}
		})
	}
}
