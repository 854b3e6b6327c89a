package image

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/wyrcan/wyrcan/integration/hostile"
)

// The secrets that must not leak.
const (
	password = "s3cret-password"
	identity = "s3cret-identity-token"
)

var basic = base64.StdEncoding.EncodeToString([]byte("user:" + password))

// asking returns a source with a login, whose requests go to the servers of w.
func asking(t *testing.T, w *hostile.World, login authn.AuthConfig, insecure ...string) *Source {
	s := fast(t)
	s.Stall, s.Wait, s.Tries = time.Second, time.Second, 2
	if login != (authn.AuthConfig{}) {
		s.Auth = func(string) authn.Authenticator { return authn.FromConfig(login) }
	}
	s.Insecure = Hosts(insecure)
	s.Transport = w.Transport()
	return s
}

// shown returns the servers of w that received a login, without repeats.
func shown(w *hostile.World) []string {
	var origins []string
	for _, secret := range []string{password, identity, basic, url.QueryEscape(basic)} {
		for _, origin := range w.Told(secret) {
			if !slices.Contains(origins, origin) {
				origins = append(origins, origin)
			}
		}
	}
	return origins
}

// filled returns a registry that holds img as x:1. It serves requests with the Authorization header wants, and answers
// others with challenge. If wants is "", it serves all requests.
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

// tokens is a token server. It returns the token "good" for the right login.
func tokens(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	if r.PostFormValue("refresh_token") == identity || r.Header.Get("Authorization") == "Basic "+basic {
		io.WriteString(w, `{"access_token":"good"}`)
		return
	}
	w.WriteHeader(http.StatusUnauthorized)
}

// Logins are sent only to servers that may have them.
func TestWhoGetsLogins(t *testing.T) {
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
		world    func(w *hostile.World)
		seen     []string // the servers that get the login
		fails    string   // "" for success
		host     string   // the result of InsecureHost
	}{
		{name: "TLS is blocked at a private address", ref: "10.0.0.1/x:1", login: named, world: func(w *hostile.World) {
			w.HTTP("10.0.0.1:80", bearer("https://attacker.example:8443/token"))
			w.HTTPS("attacker.example:8443", thief)
		}, fails: "cannot reach registry 10.0.0.1"},
		{name: "TLS is blocked for a .local name", ref: "registry.local/x:1", login: named, world: func(w *hostile.World) {
			w.HTTP("registry.local:80", withBasic)
		}, fails: "cannot reach registry registry.local"},
		{name: "plain HTTP on the TLS port", ref: "10.0.0.1:5000/x:1", login: named, world: func(w *hostile.World) {
			w.HTTP("10.0.0.1:5000", withBasic)
		}, fails: "plain HTTP", host: "10.0.0.1:5000"},
		{name: "plain HTTP with an identity token", ref: "192.168.0.1:5000/x:1",
			login: authn.AuthConfig{IdentityToken: identity}, world: func(w *hostile.World) {
				w.HTTP("192.168.0.1:5000", bearer("http://192.168.0.1:5000/token"))
			}, fails: "plain HTTP", host: "192.168.0.1:5000"},
		{name: "without a login either", ref: "10.0.0.1:5000/x:1", world: func(w *hostile.World) {
			w.HTTP("10.0.0.1:5000", filled(t, img, "", ""))
		}, fails: "plain HTTP", host: "10.0.0.1:5000"},
		{name: "another certificate", ref: "registry.lab/x:1", login: named, world: func(w *hostile.World) {
			w.HTTPS("registry.lab:443", withBasic, "nobody.example")
		}, fails: "not trusted", host: "registry.lab"},

		{name: "declared, plain HTTP, a password", ref: "10.0.0.1:5000/x:1", login: named,
			insecure: []string{"10.0.0.1:5000"}, world: func(w *hostile.World) {
				w.HTTP("10.0.0.1:5000", withBasic)
			}, seen: []string{"http://10.0.0.1:5000"}},
		{name: "declared by name alone", ref: "Registry.Lab:5000/x:1", login: named, insecure: []string{"registry.lab"},
			world: func(w *hostile.World) {
				w.HTTP("Registry.Lab:5000", withBasic)
			}, seen: []string{"http://Registry.Lab:5000"}},
		{name: "another port is declared", ref: "10.0.0.1:5000/x:1", login: named, insecure: []string{"10.0.0.1:5001"},
			world: func(w *hostile.World) {
				w.HTTP("10.0.0.1:5000", withBasic)
			}, fails: "plain HTTP", host: "10.0.0.1:5000"},
		{name: "declared, another certificate", ref: "registry.lab/x:1", login: named,
			insecure: []string{"registry.lab"}, world: func(w *hostile.World) {
				w.HTTPS("registry.lab:443", withBasic, "nobody.example")
			}, seen: []string{"https://registry.lab:443"}},
		{name: "declared, with its own token server", ref: "10.0.0.1:5000/x:1", login: named,
			insecure: []string{"10.0.0.1:5000"}, world: func(w *hostile.World) {
				w.HTTP("10.0.0.1:5000", bearer("https://10.0.0.1:5001/token"))
				w.HTTPS("10.0.0.1:5001", http.HandlerFunc(tokens))
			}, seen: []string{"https://10.0.0.1:5001"}},
		{name: "declared, the challenge is forged", ref: "10.0.0.1:5000/x:1", login: named,
			insecure: []string{"10.0.0.1:5000"}, world: func(w *hostile.World) {
				w.HTTP("10.0.0.1:5000", bearer("https://attacker.example/token"))
				w.HTTPS("attacker.example:443", thief)
			}, fails: "it is not sent", host: "attacker.example"},
		{name: "declared, the challenge behind another certificate is forged", ref: "registry.lab/x:1",
			login:    authn.AuthConfig{IdentityToken: identity},
			insecure: []string{"registry.lab"}, world: func(w *hostile.World) {
				w.HTTPS("registry.lab:443", bearer("https://attacker.example/token"), "nobody.example")
				w.HTTPS("attacker.example:443", thief)
			}, fails: "it is not sent", host: "attacker.example"},
		{name: "declared, and so is the token server", ref: "10.0.0.1:5000/x:1",
			login:    authn.AuthConfig{IdentityToken: identity},
			insecure: []string{"10.0.0.1:5000", "tokens.lab"}, world: func(w *hostile.World) {
				w.HTTP("10.0.0.1:5000", bearer("http://tokens.lab/token"))
				w.HTTP("tokens.lab:80", http.HandlerFunc(tokens))
			}, seen: []string{"http://tokens.lab:80"}},
		{name: "declared, but it has a good certificate", ref: "registry.lab/x:1", login: named,
			insecure: []string{"registry.lab"}, world: func(w *hostile.World) {
				w.HTTPS("registry.lab:443", bearer("https://tokens.example/token"))
				w.HTTPS("tokens.example:443", http.HandlerFunc(tokens))
			}, seen: []string{"https://tokens.example:443"}},

		{name: "a token server on another private address", ref: "10.0.0.1/x:1", login: named, world: func(w *hostile.World) {
			w.HTTPS("10.0.0.1:443", bearer("https://10.0.0.2:8443/token?x=y"))
			w.HTTPS("10.0.0.2:8443", http.HandlerFunc(tokens))
		}, seen: []string{"https://10.0.0.2:8443"}},
		{name: "a token server on another port", ref: "192.168.0.1:5050/x:1",
			login: authn.AuthConfig{IdentityToken: identity}, world: func(w *hostile.World) {
				w.HTTPS("192.168.0.1:5050", bearer("https://192.168.0.1/jwt/auth"))
				w.HTTPS("192.168.0.1:443", http.HandlerFunc(tokens))
			}, seen: []string{"https://192.168.0.1:443"}},
		{name: "a token server over plain HTTP", ref: "registry.lab/x:1", login: named, world: func(w *hostile.World) {
			w.HTTPS("registry.lab:443", bearer("http://10.0.0.2/token"))
			w.HTTP("10.0.0.2:80", thief)
		}, fails: "over plain HTTP", host: "10.0.0.2"},
		{name: "a token server that redirects to plain HTTP", ref: "registry.lab/x:1", login: named,
			world: func(w *hostile.World) {
				w.HTTPS("registry.lab:443", bearer("https://tokens.lab/token"))
				w.HTTPS("tokens.lab:443", http.RedirectHandler("http://tokens.lab/token", http.StatusTemporaryRedirect))
				w.HTTP("tokens.lab:80", thief)
			}, seen: []string{"https://tokens.lab:443"}, fails: "plain HTTP", host: "tokens.lab"},
		{name: "a token server that redirects to another port", ref: "registry.lab/x:1", login: named,
			world: func(w *hostile.World) {
				w.HTTPS("registry.lab:443", bearer("https://tokens.lab/token"))
				w.HTTPS("tokens.lab:443", http.RedirectHandler("https://tokens.lab:8443/token", http.StatusTemporaryRedirect))
				w.HTTPS("tokens.lab:8443", thief)
			}, seen: []string{"https://tokens.lab:443"}},
		{name: "a token server that redirects an identity token", ref: "registry.lab/x:1",
			login: authn.AuthConfig{IdentityToken: identity}, world: func(w *hostile.World) {
				w.HTTPS("registry.lab:443", bearer("https://tokens.lab/token"))
				w.HTTPS("tokens.lab:443", http.RedirectHandler("https://attacker.example/token", http.StatusTemporaryRedirect))
				w.HTTPS("attacker.example:443", thief)
			}, seen: []string{"https://tokens.lab:443"}, fails: "answers 307"},
		{name: "a token server that knows no identity tokens", ref: "registry.lab/x:1",
			login: authn.AuthConfig{Username: "user", Password: password,
				IdentityToken: identity}, world: func(w *hostile.World) {
				w.HTTPS("registry.lab:443", bearer("https://tokens.lab/token"))
				w.HTTPS("tokens.lab:443", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						w.WriteHeader(http.StatusMethodNotAllowed)
						return
					}
					tokens(w, r)
				}))
			}, seen: []string{"https://tokens.lab:443"}},
		{name: "a login that is a token already", ref: "registry.lab/x:1",
			login: authn.AuthConfig{RegistryToken: "good"}, world: func(w *hostile.World) {
				w.HTTPS("registry.lab:443", bearer("https://tokens.lab/token"))
			}},
		{name: "several challenges", ref: "registry.lab/x:1", login: named, world: func(w *hostile.World) {
			w.HTTPS("registry.lab:443", filled(t, img, "Basic "+basic,
				`Negotiate, Digest realm="x", nonce="a,b", Basic realm="\"y\""`))
		}, seen: []string{"https://registry.lab:443"}},
		{name: "the registry redirects to plain HTTP", ref: "registry.lab/x:1", login: named, world: func(w *hostile.World) {
			w.HTTPS("registry.lab:443", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/manifests/") {
					http.Redirect(w, r, "http://registry.lab"+r.URL.Path, http.StatusFound)
				}
			}))
			w.HTTP("registry.lab:80", filled(t, img, "", ""))
		}, fails: "the certificate"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := hostile.NewWorld(t)
			row.world(w)
			var logged strings.Builder
			s := asking(t, w, row.login, row.insecure...)
			s.Logf = func(format string, args ...any) { fmt.Fprintf(&logged, format+"\n", args...) }
			got, err := s.Resolve(t.Context(), row.ref)
			if row.name == "the registry redirects to plain HTTP" {
				// This is the registry's own address with the wrong scheme: the request goes to the TLS port again, in a circle.
				if err == nil || slices.Contains(w.Told(""), "http://registry.lab:80") {
					t.Errorf("Resolve = %v, after %q: want no plain HTTP", err, w.Told(""))
				}
				return
			}
			if row.fails == "" {
				if err != nil {
					t.Fatalf("Resolve = %v, after %q", err, w.Told(""))
				}
				if _, err := readAll(t, got.Layers[0]); err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.Contains(err.Error(), row.fails) {
				t.Errorf("Resolve = %v, want an error with %q", err, row.fails)
			}
			if got := Diagnose(err).Insecure; got != row.host {
				t.Errorf("Diagnose(%v).Insecure = %q, want %q", err, got, row.host)
			}
			if seen := shown(w); !slices.Equal(seen, row.seen) {
				t.Errorf("the login was shown to %q, want %q", seen, row.seen)
			}
			for _, a := range w.Told("") {
				if host, plain := strings.CutPrefix(a, "http://"); plain && !Hosts(row.insecure)(host) {
					t.Errorf("%q was asked, which was not allowed", a)
				}
			}
			if loud := strings.Contains(logged.String(), "as was allowed"); loud != (row.insecure != nil &&
				row.fails != "plain HTTP" && !strings.Contains(row.name, "good certificate")) {
				t.Errorf("a warning about what was allowed: %v\n%s", loud, logged.String())
			}
			for _, secret := range []string{password, identity, basic} {
				if strings.Contains(logged.String()+fmt.Sprint(err), secret) {
					t.Errorf("a secret was shown: %v\n%s", err, logged.String())
				}
			}
		})
	}
}

// A push follows the same rules as a pull.
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
		{"plain HTTP, declared", []string{"10.0.0.1:5000"}, false, []string{"http://10.0.0.1:5000"}, ""},
		{"TLS", nil, true, []string{"https://10.0.0.1:5000"}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := hostile.NewWorld(t)
			serve := w.HTTP
			if row.tls {
				serve = func(host string, h http.Handler) { w.HTTPS(host, h) }
			}
			serve("10.0.0.1:5000", filled(t, img, "Basic "+basic, `Basic realm="x"`))
			s := asking(t, w, named, row.insecure...)
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
			if seen := shown(w); !slices.Equal(seen, row.seen) {
				t.Errorf("the login was shown to %q, want %q", seen, row.seen)
			}
		})
	}
}

// Errors show untrusted text as one line without control characters, and never show the text of token servers.
func TestForeignTexts(t *testing.T) {
	const evil = "\x1b[2J\x1b]0;owned\x07\r\nwyrboot: all is well\u009b2J"
	img := randomImage(t, 1000, 1, amd64)
	for name, prepare := range map[string]func(w *hostile.World){
		"an error's text": func(w *hostile.World) {
			w.HTTPS("registry.lab:443", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, evil, evil)
			}))
		},
		"a token server's answer": func(w *hostile.World) {
			w.HTTPS("registry.lab:443", filled(t, img, "Bearer good", `Bearer realm="https://registry.lab:444/token"`))
			w.HTTPS("registry.lab:444", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, `{"refresh_token":"`+identity+`","error":%q}`, evil)
			}))
		},
		"a malformed token": func(w *hostile.World) {
			w.HTTPS("registry.lab:443", filled(t, img, "Bearer good", `Bearer realm="https://registry.lab:444/token"`))
			w.HTTPS("registry.lab:444", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, `{"token":%q}`, identity+evil)
			}))
		},
		"a token server's error": func(w *hostile.World) {
			w.HTTPS("registry.lab:443", filled(t, img, "Bearer good", `Bearer realm="https://registry.lab:444/token"`))
			w.HTTPS("registry.lab:444", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusTeapot)
				fmt.Fprintf(w, `{"errors":[{"code":"X","message":"%s"}]}`, identity)
			}))
		},
		"a realm": func(w *hostile.World) {
			w.HTTPS("registry.lab:443", filled(t, img, "Bearer good", `Bearer realm="ftp://a%1b[2J/"`))
		},
		"a certificate's names": func(w *hostile.World) {
			w.HTTPS("registry.lab:443", http.NotFoundHandler(), "other\x1b[2J\nname")
		},
		"a redirection": func(w *hostile.World) {
			w.HTTPS("registry.lab:443", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "https://\u009b2J.example/")
				w.WriteHeader(http.StatusFound)
			}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := hostile.NewWorld(t)
			prepare(w)
			s := asking(t, w, authn.AuthConfig{})
			s.Logf = func(string, ...any) {}
			_, err := s.Resolve(t.Context(), "registry.lab/x:1")
			if err == nil {
				t.Fatal("Resolve succeeds")
			}
			if text := err.Error(); strings.ContainsFunc(text,
				func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) || strings.Contains(text, identity) {
				t.Errorf("Resolve = %q", text)
			}
		})
	}
}

// A connection with 1 kB/s is slow, not broken.
func TestSlowLine(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	img := randomImage(t, 1500, 1, amd64)
	w := hostile.NewWorld(t)
	store := filled(t, img, "", "")
	w.HTTPS("registry.lab:443", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
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
	s := asking(t, w, authn.AuthConfig{})
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
		"registry.lab:5000":        true,
		"REGISTRY.lab:5000":        true,
		"registry.lab":             false,
		"registry.lab:50":          false,
		"x.registry.lab:5000":      false,
		"10.0.0.1":                 true,
		"10.0.0.1:80":              true,
		"10.0.0.11":                false,
		"[2001:db8::1]:5000":       true,
		"[2001:db8::1]":            false,
		"[2001:db8::2]:5000":       false,
		"index.docker.io":          true,
		"registry-1.docker.io:443": true,
		"":                         false,
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
