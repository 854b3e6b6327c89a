package image

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// The secrets that must not get about.
const (
	password = "s3cret-password"
	identity = "s3cret-identity-token"
)

var basic = base64.StdEncoding.EncodeToString([]byte("user:" + password))

// A world is a network with names and ports of its own. Who is asked there, and who sees a secret, is written down.
type world struct {
	t     *testing.T
	ca    *authority
	bad   *authority // which nobody trusts
	mu    sync.Mutex
	hosts map[string]string // "registry.lab:443" → where the server really listens
	asked []string          // "https registry.lab/v2/"
	seen  []string          // hosts that were shown a secret
}

func newWorld(t *testing.T) *world {
	return &world{t: t, ca: newAuthority(t), bad: newAuthority(t), hosts: make(map[string]string)}
}

// serve puts h at address, "HOST:PORT", behind TLS unless from is nil.
func (w *world) serve(address string, from *authority, h http.Handler) {
	host, _, _ := net.SplitHostPort(address)
	scheme := "https"
	if from == nil {
		scheme = "http"
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		shown := fmt.Sprint(r.Header, r.URL, string(body))
		w.mu.Lock()
		w.asked = append(w.asked, scheme+" "+r.Host+r.URL.Path)
		for _, secret := range []string{password, identity, basic, url.QueryEscape(basic)} {
			if strings.Contains(shown, secret) && !slices.Contains(w.seen, scheme+" "+address) {
				w.seen = append(w.seen, scheme+" "+address)
			}
		}
		w.mu.Unlock()
		h.ServeHTTP(rw, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if from != nil {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{from.certificate(w.t, host)}}
		s.StartTLS()
	} else {
		s.Start()
	}
	w.t.Cleanup(s.Close)
	w.hosts[address] = s.Listener.Addr().String()
}

// source asks in the world, as user, with what login holds beside.
func (w *world) source(login authn.AuthConfig, insecure ...string) *Source {
	s := fast(w.t)
	s.Stall, s.Wait, s.Tries = time.Second, time.Second, 2
	if login != (authn.AuthConfig{}) {
		s.Auth = func(string) authn.Authenticator { return authn.FromConfig(login) }
	}
	s.Insecure = Hosts(insecure)
	s.Transport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.ca.pool},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			real := w.hosts[address]
			if real == "" {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}
			return new(net.Dialer).DialContext(ctx, network, real)
		},
	}
	return s
}

// An authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := new(authority)
	var der []byte
	der, a.key = issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true})
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool = x509.NewCertPool()
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) certificate(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "test server"}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, key := issue(t, a, template)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// issue signs a certificate by a, or by itself.
func issue(t *testing.T, a *authority, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// filled is a registry that holds img as x:1, for those who show what wants is, or for all.
func filled(t *testing.T, img v1.Image, wants string, challenge string) http.Handler {
	t.Helper()
	store := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(store)
	defer s.Close()
	push(t, strings.TrimPrefix(s.URL, "http://")+"/x:1", img)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wants != "" && r.Header.Get("Authorization") != wants {
			w.Header().Add("WWW-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		store.ServeHTTP(w, r)
	})
}

// tokens is a token server that gives "good" to who shows the right login.
func tokens(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	if r.PostFormValue("refresh_token") == identity || r.Header.Get("Authorization") == "Basic "+basic {
		io.WriteString(w, `{"access_token":"good"}`)
		return
	}
	w.WriteHeader(http.StatusUnauthorized)
}

// Who is shown a login, and who is not.
func TestLoginsStayHome(t *testing.T) {
	img := randomImage(t, 1000, 1, amd64)
	named := authn.AuthConfig{Username: "user", Password: password}
	bearer := func(realm string) http.Handler {
		return filled(t, img, "Bearer good", `Bearer realm="`+realm+`",service="s"`)
	}
	withBasic := filled(t, img, "Basic "+basic, `Basic realm="x"`)
	thief := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"token":"good"}`) })

	for _, row := range []struct {
		name     string
		ref      string
		login    authn.AuthConfig
		insecure []string
		world    func(w *world)
		seen     []string // who may see the login
		fails    string   // "" for success
		host     string   // what InsecureHost names
	}{
		{name: "TLS is blocked at a private address", ref: "10.0.0.1/x:1", login: named, world: func(w *world) {
			w.serve("10.0.0.1:80", nil, bearer("https://attacker.example:8443/token"))
			w.serve("attacker.example:8443", w.ca, thief)
		}, fails: "cannot reach registry 10.0.0.1"},
		{name: "TLS is blocked for a .local name", ref: "registry.local/x:1", login: named, world: func(w *world) {
			w.serve("registry.local:80", nil, withBasic)
		}, fails: "cannot reach registry registry.local"},
		{name: "plain HTTP on the TLS port", ref: "10.0.0.1:5000/x:1", login: named, world: func(w *world) {
			w.serve("10.0.0.1:5000", nil, withBasic)
		}, fails: "plain HTTP", host: "10.0.0.1:5000"},
		{name: "plain HTTP with an identity token", ref: "192.168.0.1:5000/x:1", login: authn.AuthConfig{IdentityToken: identity}, world: func(w *world) {
			w.serve("192.168.0.1:5000", nil, bearer("http://192.168.0.1:5000/token"))
		}, fails: "plain HTTP", host: "192.168.0.1:5000"},
		{name: "without a login either", ref: "10.0.0.1:5000/x:1", world: func(w *world) {
			w.serve("10.0.0.1:5000", nil, filled(t, img, "", ""))
		}, fails: "plain HTTP", host: "10.0.0.1:5000"},
		{name: "another certificate", ref: "registry.lab/x:1", login: named, world: func(w *world) {
			w.serve("registry.lab:443", w.bad, withBasic)
		}, fails: "not trusted", host: "registry.lab"},

		{name: "declared, plain HTTP, a password", ref: "10.0.0.1:5000/x:1", login: named, insecure: []string{"10.0.0.1:5000"}, world: func(w *world) {
			w.serve("10.0.0.1:5000", nil, withBasic)
		}, seen: []string{"http 10.0.0.1:5000"}},
		{name: "declared by name alone", ref: "Registry.Lab:5000/x:1", login: named, insecure: []string{"registry.lab"}, world: func(w *world) {
			w.serve("Registry.Lab:5000", nil, withBasic)
		}, seen: []string{"http Registry.Lab:5000"}},
		{name: "another port is declared", ref: "10.0.0.1:5000/x:1", login: named, insecure: []string{"10.0.0.1:5001"}, world: func(w *world) {
			w.serve("10.0.0.1:5000", nil, withBasic)
		}, fails: "plain HTTP", host: "10.0.0.1:5000"},
		{name: "declared, another certificate", ref: "registry.lab/x:1", login: named, insecure: []string{"registry.lab"}, world: func(w *world) {
			w.serve("registry.lab:443", w.bad, withBasic)
		}, seen: []string{"https registry.lab:443"}},
		{name: "declared, with its own token server", ref: "10.0.0.1:5000/x:1", login: named, insecure: []string{"10.0.0.1:5000"}, world: func(w *world) {
			w.serve("10.0.0.1:5000", nil, bearer("https://10.0.0.1:5001/token"))
			w.serve("10.0.0.1:5001", w.ca, http.HandlerFunc(tokens))
		}, seen: []string{"https 10.0.0.1:5001"}},
		{name: "declared, the challenge is forged", ref: "10.0.0.1:5000/x:1", login: named, insecure: []string{"10.0.0.1:5000"}, world: func(w *world) {
			w.serve("10.0.0.1:5000", nil, bearer("https://attacker.example/token"))
			w.serve("attacker.example:443", w.ca, thief)
		}, fails: "it is not sent", host: "attacker.example"},
		{name: "declared, the challenge behind another certificate is forged", ref: "registry.lab/x:1", login: authn.AuthConfig{IdentityToken: identity},
			insecure: []string{"registry.lab"}, world: func(w *world) {
				w.serve("registry.lab:443", w.bad, bearer("https://attacker.example/token"))
				w.serve("attacker.example:443", w.ca, thief)
			}, fails: "it is not sent", host: "attacker.example"},
		{name: "declared, and so is the token server", ref: "10.0.0.1:5000/x:1", login: authn.AuthConfig{IdentityToken: identity},
			insecure: []string{"10.0.0.1:5000", "tokens.lab"}, world: func(w *world) {
				w.serve("10.0.0.1:5000", nil, bearer("http://tokens.lab/token"))
				w.serve("tokens.lab:80", nil, http.HandlerFunc(tokens))
			}, seen: []string{"http tokens.lab:80"}},
		{name: "declared, but it has a good certificate", ref: "registry.lab/x:1", login: named, insecure: []string{"registry.lab"}, world: func(w *world) {
			w.serve("registry.lab:443", w.ca, bearer("https://tokens.example/token"))
			w.serve("tokens.example:443", w.ca, http.HandlerFunc(tokens))
		}, seen: []string{"https tokens.example:443"}},

		{name: "a token server on another private address", ref: "10.0.0.1/x:1", login: named, world: func(w *world) {
			w.serve("10.0.0.1:443", w.ca, bearer("https://10.0.0.2:8443/token?x=y"))
			w.serve("10.0.0.2:8443", w.ca, http.HandlerFunc(tokens))
		}, seen: []string{"https 10.0.0.2:8443"}},
		{name: "a token server on another port", ref: "192.168.0.1:5050/x:1", login: authn.AuthConfig{IdentityToken: identity}, world: func(w *world) {
			w.serve("192.168.0.1:5050", w.ca, bearer("https://192.168.0.1/jwt/auth"))
			w.serve("192.168.0.1:443", w.ca, http.HandlerFunc(tokens))
		}, seen: []string{"https 192.168.0.1:443"}},
		{name: "a token server over plain HTTP", ref: "registry.lab/x:1", login: named, world: func(w *world) {
			w.serve("registry.lab:443", w.ca, bearer("http://10.0.0.2/token"))
			w.serve("10.0.0.2:80", nil, thief)
		}, fails: "over plain HTTP", host: "10.0.0.2"},
		{name: "a token server that redirects to plain HTTP", ref: "registry.lab/x:1", login: named, world: func(w *world) {
			w.serve("registry.lab:443", w.ca, bearer("https://tokens.lab/token"))
			w.serve("tokens.lab:443", w.ca, http.RedirectHandler("http://tokens.lab/token", 307))
			w.serve("tokens.lab:80", nil, thief)
		}, seen: []string{"https tokens.lab:443"}, fails: "plain HTTP", host: "tokens.lab"},
		{name: "a token server that redirects to another port", ref: "registry.lab/x:1", login: named, world: func(w *world) {
			w.serve("registry.lab:443", w.ca, bearer("https://tokens.lab/token"))
			w.serve("tokens.lab:443", w.ca, http.RedirectHandler("https://tokens.lab:8443/token", 307))
			w.serve("tokens.lab:8443", w.ca, thief)
		}, seen: []string{"https tokens.lab:443"}},
		{name: "a token server that redirects an identity token", ref: "registry.lab/x:1", login: authn.AuthConfig{IdentityToken: identity}, world: func(w *world) {
			w.serve("registry.lab:443", w.ca, bearer("https://tokens.lab/token"))
			w.serve("tokens.lab:443", w.ca, http.RedirectHandler("https://attacker.example/token", 307))
			w.serve("attacker.example:443", w.ca, thief)
		}, seen: []string{"https tokens.lab:443"}, fails: "answers 307"},
		{name: "a token server that knows no identity tokens", ref: "registry.lab/x:1",
			login: authn.AuthConfig{Username: "user", Password: password, IdentityToken: identity}, world: func(w *world) {
				w.serve("registry.lab:443", w.ca, bearer("https://tokens.lab/token"))
				w.serve("tokens.lab:443", w.ca, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						w.WriteHeader(http.StatusMethodNotAllowed)
						return
					}
					tokens(w, r)
				}))
			}, seen: []string{"https tokens.lab:443"}},
		{name: "a login that is a token already", ref: "registry.lab/x:1", login: authn.AuthConfig{RegistryToken: "good"}, world: func(w *world) {
			w.serve("registry.lab:443", w.ca, bearer("https://tokens.lab/token"))
		}},
		{name: "several challenges", ref: "registry.lab/x:1", login: named, world: func(w *world) {
			w.serve("registry.lab:443", w.ca, filled(t, img, "Basic "+basic, `Negotiate, Digest realm="x", nonce="a,b", Basic realm="\"y\""`))
		}, seen: []string{"https registry.lab:443"}},
		{name: "the registry redirects to plain HTTP", ref: "registry.lab/x:1", login: named, world: func(w *world) {
			w.serve("registry.lab:443", w.ca, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/manifests/") {
					http.Redirect(w, r, "http://registry.lab"+r.URL.Path, http.StatusFound)
				}
			}))
			w.serve("registry.lab:80", nil, filled(t, img, "", ""))
		}, fails: "the certificate"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			row.world(w)
			var said strings.Builder
			s := w.source(row.login, row.insecure...)
			s.Logf = func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
			got, err := s.Resolve(t.Context(), row.ref)
			if row.name == "the registry redirects to plain HTTP" {
				// Its own address with the wrong scheme: it goes back to where TLS is, and in a circle.
				if err == nil || slices.Contains(w.asked, "http registry.lab/v2/x/manifests/1") {
					t.Errorf("Resolve = %v, after %q: want no plain HTTP", err, w.asked)
				}
				return
			}
			if row.fails == "" {
				if err != nil {
					t.Fatalf("Resolve = %v, after %q", err, w.asked)
				}
				if _, err := readAll(t, got.Layers[0]); err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.Contains(err.Error(), row.fails) {
				t.Errorf("Resolve = %v, want an error with %q", err, row.fails)
			}
			if got := InsecureHost(err); got != row.host {
				t.Errorf("InsecureHost(%v) = %q, want %q", err, got, row.host)
			}
			if !slices.Equal(w.seen, row.seen) {
				t.Errorf("the login was shown to %q, want %q", w.seen, row.seen)
			}
			for _, a := range w.asked {
				if host, _, _ := strings.Cut(strings.TrimPrefix(a, "http "), "/"); strings.HasPrefix(a, "http ") && !Hosts(row.insecure)(host) {
					t.Errorf("%q was asked, which nobody allowed", a)
				}
			}
			if loud := strings.Contains(said.String(), "as was allowed"); loud != (row.insecure != nil && row.fails != "plain HTTP" && !strings.Contains(row.name, "good certificate")) {
				t.Errorf("what was allowed was said: %v\n%s", loud, said.String())
			}
			for _, secret := range []string{password, identity, basic} {
				if strings.Contains(said.String()+fmt.Sprint(err), secret) {
					t.Errorf("a secret was said: %v\n%s", err, said.String())
				}
			}
		})
	}
}

// A push goes the same way as a pull.
func TestPush(t *testing.T) {
	img := randomImage(t, 1000, 2, amd64)
	named := authn.AuthConfig{Username: "user", Password: password}
	for _, row := range []struct {
		name     string
		insecure []string
		tls      bool
		seen     []string
		fails    string
	}{
		{"plain HTTP", nil, false, nil, "plain HTTP"},
		{"plain HTTP, declared", []string{"10.0.0.1:5000"}, false, []string{"http 10.0.0.1:5000"}, ""},
		{"TLS", nil, true, []string{"https 10.0.0.1:5000"}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			var from *authority
			if row.tls {
				from = w.ca
			}
			w.serve("10.0.0.1:5000", from, filled(t, img, "Basic "+basic, `Basic realm="x"`))
			s := w.source(named, row.insecure...)
			ref, err := name.ParseReference("10.0.0.1:5000/y/z:2")
			if err != nil {
				t.Fatal(err)
			}
			transport, err := s.TransportFor(t.Context(), ref.Context(), true)
			if err == nil {
				err = remote.Write(ref, randomImage(t, 5000, 2, amd64), remote.WithTransport(transport))
			}
			if (err == nil) != (row.fails == "") || err != nil && !strings.Contains(err.Error(), row.fails) {
				t.Errorf("push = %v, want an error with %q", err, row.fails)
			}
			if err == nil {
				if _, err := s.Resolve(t.Context(), ref.Name()); err != nil {
					t.Error(err)
				}
			}
			if !slices.Equal(w.seen, row.seen) {
				t.Errorf("the login was shown to %q, want %q", w.seen, row.seen)
			}
		})
	}
}

// Texts of strangers are one line without control characters, and those of token servers are not shown at all.
func TestForeignTexts(t *testing.T) {
	const evil = "\x1b[2J\x1b]0;owned\x07\r\nwyrboot: all is well\u009b2J"
	img := randomImage(t, 1000, 1, amd64)
	for name, prepare := range map[string]func(w *world){
		"an error's text": func(w *world) {
			w.serve("registry.lab:443", w.ca, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, evil, evil)
			}))
		},
		"a token server's answer": func(w *world) {
			w.serve("registry.lab:443", w.ca, filled(t, img, "Bearer good", `Bearer realm="https://registry.lab:444/token"`))
			w.serve("registry.lab:444", w.ca, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, `{"refresh_token":"`+identity+`","error":%q}`, evil)
			}))
		},
		"a token that is none": func(w *world) {
			w.serve("registry.lab:443", w.ca, filled(t, img, "Bearer good", `Bearer realm="https://registry.lab:444/token"`))
			w.serve("registry.lab:444", w.ca, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, `{"token":%q}`, identity+evil)
			}))
		},
		"a token server's error": func(w *world) {
			w.serve("registry.lab:443", w.ca, filled(t, img, "Bearer good", `Bearer realm="https://registry.lab:444/token"`))
			w.serve("registry.lab:444", w.ca, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusTeapot)
				fmt.Fprintf(w, `{"errors":[{"code":"X","message":"%s"}]}`, identity)
			}))
		},
		"a realm": func(w *world) {
			w.serve("registry.lab:443", w.ca, filled(t, img, "Bearer good", `Bearer realm="ftp://a%1b[2J/"`))
		},
		"a certificate's names": func(w *world) {
			w.serve("registry.lab:443", w.ca, http.NotFoundHandler())
			w.serve("other\x1b[2J\nname:1", w.ca, http.NotFoundHandler())
			w.hosts["registry.lab:443"] = w.hosts["other\x1b[2J\nname:1"]
		},
		"a redirection": func(w *world) {
			w.serve("registry.lab:443", w.ca, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "https://\u009b2J.example/")
				w.WriteHeader(http.StatusFound)
			}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			prepare(w)
			s := w.source(authn.AuthConfig{})
			s.Logf = func(string, ...any) {}
			_, err := s.Resolve(t.Context(), "registry.lab/x:1")
			if err == nil {
				t.Fatal("Resolve succeeds")
			}
			if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) || strings.Contains(text, identity) {
				t.Errorf("Resolve = %q", text)
			}
		})
	}
}

// A line of 1 kB/s is slow, not broken.
func TestSlowLine(t *testing.T) {
	img := randomImage(t, 3000, 1, amd64)
	w := newWorld(t)
	store := filled(t, img, "", "")
	w.serve("registry.lab:443", w.ca, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		store.ServeHTTP(rec, r)
		for k, v := range rec.Header() {
			rw.Header()[k] = v
		}
		rw.WriteHeader(rec.Code)
		for b := rec.Body.Bytes(); len(b) > 0; {
			n := min(100, len(b))
			rw.Write(b[:n])
			rw.(http.Flusher).Flush()
			b = b[n:]
			time.Sleep(100 * time.Millisecond)
		}
	}))
	s := w.source(authn.AuthConfig{})
	s.Stall, s.Tries = 600*time.Millisecond, 1
	got, err := s.Resolve(t.Context(), "registry.lab/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, got.Layers[0]); err != nil {
		t.Error(err)
	}
}

func TestHosts(t *testing.T) {
	is := Hosts([]string{"registry.lab:5000", "10.0.0.1", "[2001:db8::1]:5000", "docker.io"})
	for host, want := range map[string]bool{
		"registry.lab:5000": true, "REGISTRY.lab:5000": true, "registry.lab": false, "registry.lab:50": false, "x.registry.lab:5000": false,
		"10.0.0.1": true, "10.0.0.1:80": true, "10.0.0.11": false, "[2001:db8::1]:5000": true, "[2001:db8::1]": false, "[2001:db8::2]:5000": false,
		"index.docker.io": true, "registry-1.docker.io:443": true, "": false,
	} {
		if is(host) != want {
			t.Errorf("Hosts(…)(%q) = %v, want %v", host, !want, want)
		}
	}
}

func TestParseChallenges(t *testing.T) {
	for header, want := range map[string]string{
		``:                  ``,
		`Basic`:             `basic map[]`,
		`Basic realm="a b"`: `basic map[realm:a b]`,
		`Bearer realm="x",scope="repository:a:pull,push"`:     `bearer map[realm:x scope:repository:a:pull,push]`,
		`BEARER Realm = "x" , SERVICE=y`:                      `bearer map[realm:x service:y]`,
		`Negotiate, Basic realm=x`:                            `negotiate map[] basic map[realm:x]`,
		`Negotiate abc==, Basic realm=x`:                      `negotiate map[abc:=] basic map[realm:x]`,
		`Bearer realm="a\"b\\c"`:                              `bearer map[realm:a"b\c]`,
		`Bearer realm="open`:                                  `bearer map[]`,
		`Bearer realm="a",realm="b"`:                          `bearer map[realm:a]`,
		`realm="x"`:                                           ``,
		`, ,Basic,`:                                           `basic map[]`,
		`Bearer realm=https://tokens.lab/token?a=b,service=x`: `bearer map[realm:https://tokens.lab/token?a=b service:x]`,
	} {
		var got []string
		for _, c := range parseChallenges([]string{header}) {
			got = append(got, fmt.Sprint(c.scheme, " ", c.params))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("parseChallenges(%q) = %q, want %q", header, got, want)
		}
	}
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://tokens.lab/token",service="s",scope="repository:x:pull", Basic realm=x`)
	f.Add(`a=b c="d\`)
	f.Fuzz(func(t *testing.T, header string) {
		for _, c := range parseChallenges([]string{header}) {
			if c.scheme == "" || c.params == nil {
				t.Errorf("parseChallenges(%q) gives %+v", header, c)
			}
		}
	})
}
