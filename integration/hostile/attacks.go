package hostile

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Ref is the image that the client requests, unless an attack needs another name.
const Ref = "registry.example/x:1"

// An Attack is one way in which a registry, its token server or somebody on the network path attacks the client.
type Attack struct {
	Name string
	Ref  string // "" is Ref
	By   string // "DIGEST": request by digest instead of tag

	Identity bool     // the client has an identity token instead of a password
	Mends    bool     // a client that retries or repairs the answer can get the image
	Fails    bool     // no client may get the image, even if it is the right one
	Login    []string // the servers that may receive the login; nil is the token server

	Site  func(*Site)
	World func(*World, *Site) // adds or replaces servers of the world
}

// Start creates the world of the attack with its registry. It returns the reference of the image in that registry, and
// the login of the client.
func (a Attack) Start(t testing.TB) (w *World, site *Site, ref string, login authn.AuthConfig) {
	t.Helper()
	w, site = NewWorld(t), NewSite(t)
	site.Realm = "https://token.example/token"
	if a.Site != nil {
		site.Answer, site.Around = make(map[What]http.HandlerFunc), make(map[What]func(http.Handler) http.Handler)
		a.Site(site)
	}
	w.HTTPS("registry.example", site)
	w.HTTPS("token.example", site.TokenServer())
	w.HTTP("token.example", http.HandlerFunc(thief))
	w.HTTPS("elsewhere.example", http.HandlerFunc(thief))
	w.HTTP("elsewhere.example", http.HandlerFunc(thief))
	w.HTTP("registry.example", http.HandlerFunc(onTheWay))
	if a.World != nil {
		a.World(w, site)
	}
	ref = Ref
	if a.Ref != "" {
		ref = a.Ref
	}
	ref += strings.Replace(a.By, "DIGEST", "@"+site.Digest.String(), 1)
	if a.Identity {
		return w, site, ref, authn.AuthConfig{IdentityToken: Identity}
	}
	return w, site, ref, authn.AuthConfig{Username: User, Password: Password}
}

// MayHear returns the servers that may receive the login.
func (a Attack) MayHear() []string {
	if a.Login == nil {
		return []string{"https://token.example"}
	}
	return a.Login
}

// thief answers every request as the real server would, to make the client send more.
func thief(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, `{"token":"stolen","access_token":"stolen"}`)
}

// onTheWay answers over plain HTTP instead of the registry, and asks for the login.
func onTheWay(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="https://elsewhere.example/token",service="registry.example"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// reset closes every connection before TLS begins. An attacker does so to make the client try plain HTTP.
func reset(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

// shout is a text that an attacker would like to have on a console.
const shout = "\x1b[2J\x1b]0;owned\x07\u009b31m\rwyrboot: starts kernel\n\u202e\u2028" + "\x00\x7f"

// jsonShout is shout in a JSON string.
const jsonShout = `\u001b[2J\u001b]0;owned\u0007\u009b31m\rwyrboot: starts kernel\n\u202e\u2028\u0000\u007f`

// Attacks returns all attacks.
func Attacks() []Attack {
	return slices.Concat(delays(), lies(), shouts(), redirects(), logins(), resumes())
}

// delays are attacks that take the client's time.
func delays() []Attack {
	var list []Attack
	add := func(name string, what What, h http.HandlerFunc) {
		list = append(list, Attack{Name: fmt.Sprintf("%s, %s", what, name), Site: func(s *Site) { s.Answer[what] = h }})
	}
	for _, what := range []What{Ping, Login, Manifest, Config, Layer} {
		add("silence", what, Silence)
		for _, code := range []int{200, 401, 404} {
			if code == 401 && what != Ping && what != Login {
				continue
			}
			add(fmt.Sprintf("stall with %d", code), what, challenged(what, code, Stall(code)))
			add(fmt.Sprintf("drip with %d", code), what, challenged(what, code, Drip(code, 20*time.Millisecond)))
			add(fmt.Sprintf("endless with %d", code), what, challenged(what, code, Endless(code)))
		}
		for _, wait := range []string{"2147483647", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"} {
			add("come back in "+wait, what, Refuse(429, wait, "{}"))
		}
		add("down for good", what, Refuse(503, "", "{}"))
		add("gone away", what, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		add("a bomb", what, Bomb)
	}
	return append(list,
		Attack{Name: "TLS that never begins", World: func(w *World, _ *Site) {
			w.Raw("registry.example:443", func(c net.Conn) { c.Read(make([]byte, 1)); time.Sleep(time.Minute) })
		}},
		Attack{Name: "no end of a header", Site: func(s *Site) {
			s.Answer[Manifest] = Verbatim("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 4<<20))
		}},
		Attack{Name: "a header that drips", Site: func(s *Site) {
			s.Answer[Manifest] = func(w http.ResponseWriter, r *http.Request) { trickle(w, "HTTP/1.1 200 OK\r\nX: ") }
		}},
		Attack{Name: "chunks that drip", Site: func(s *Site) {
			s.Answer[Manifest] = func(w http.ResponseWriter, r *http.Request) {
				trickle(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
			}
		}},
		Attack{Name: "a trailer without end", Site: func(s *Site) {
			s.Answer[Manifest] = Verbatim("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " +
				strings.Repeat("x", 8<<20))
		}},
		Attack{Name: "two lengths", Site: func(s *Site) {
			s.Answer[Manifest] = Verbatim("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 500\r\n\r\n{}   ")
		}},
		Attack{Name: "a length below zero", Site: func(s *Site) {
			s.Answer[Layer] = Verbatim("HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\nx")
		}},
		Attack{Name: "a length of exabytes", Site: func(s *Site) {
			s.Answer[Manifest] = Verbatim("HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\n{}")
		}},
		// A real connection may be slow: the answer comes at a low rate, but completely.
		Attack{Name: "a slow line", Mends: true, Site: func(s *Site) {
			for _, what := range []What{Ping, Login, Manifest, Config, Layer} {
				s.Around[what] = Slow(256<<10, 64)
			}
		}},
		Attack{Name: "a thousand early answers", Site: func(s *Site) {
			s.Answer[Manifest] = Verbatim(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", 1000))
		}},
	)
}

// trickle takes over the connection, sends the beginning of an answer, and then a byte now and then.
func trickle(w http.ResponseWriter, begin string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer c.Close()
	for _, err = c.Write([]byte(begin)); err == nil; _, err = c.Write([]byte("x")) {
		time.Sleep(20 * time.Millisecond)
	}
}

// challenged adds a challenge with the token server to a ping that is denied, as a real registry does.
func challenged(what What, code int, h http.HandlerFunc) http.HandlerFunc {
	if what != Ping || code != 401 {
		return h
	}
	return func(w http.ResponseWriter, r *http.Request) {
		(&Site{Realm: "https://token.example/token"}).Challenge(w)
		h(w, r)
	}
}

// lies are attacks that send wrong content.
func lies() []Attack {
	var list []Attack
	for _, what := range []What{Manifest, Config, Layer} {
		for name, lie := range map[string]func([]byte) []byte{
			"a bit":     func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b },
			"too short": func(b []byte) []byte { return b[:len(b)-1] },
			"too long":  func(b []byte) []byte { return append(bytes.Clone(b), ' ') },
			"nothing":   func([]byte) []byte { return nil },
			"a list":    func([]byte) []byte { return []byte("[]") },
			"deep":      func([]byte) []byte { return []byte(strings.Repeat(`[`, 1<<20)) },
		} {
			list = append(list, Attack{Name: fmt.Sprintf("%s, %s", what, name), By: "DIGEST", Site: func(s *Site) {
				s.Answer[what] = Say(string(lie(s.content[what])))
			}})
		}
	}
	slices.SortFunc(list, func(a, b Attack) int { return strings.Compare(a.Name, b.Name) })
	return append(list,
		Attack{Name: "sizes of exabytes", Site: func(s *Site) {
			s.Answer[Manifest] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", s.mediaOf[Manifest])
				w.Write(bytes.ReplaceAll(s.content[Manifest], []byte(`"size":`), []byte(`"size":9000000000000`)))
			}
		}},
		Attack{Name: "sizes below zero", Site: func(s *Site) {
			s.Answer[Manifest] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", s.mediaOf[Manifest])
				w.Write(bytes.ReplaceAll(s.content[Manifest], []byte(`"size":`), []byte(`"size":-`)))
			}
		}},
		Attack{Name: "an index of a hundred thousand", Site: func(s *Site) {
			s.Answer[Manifest] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
				entry := fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":9,`+
					`"digest":%q,"platform":{"os":"linux","architecture":"s390x"}}`, s.Digest)
				fmt.Fprintf(w, `{"schemaVersion":2,"manifests":[%s]}`, strings.Repeat(entry+",", 20_000)+entry)
			}
		}},
		Attack{Name: "a hundred thousand layers", Site: func(s *Site) {
			s.Answer[Manifest] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", s.mediaOf[Manifest])
				head, tail, _ := strings.Cut(string(s.content[Manifest]), `"layers":[`)
				layer, tail, _ := strings.Cut(tail, "]")
				fmt.Fprint(w, head+`"layers":[`+strings.Repeat(layer+",", 20_000)+layer+"]"+tail)
			}
		}},
		Attack{Name: "a token of a megabyte",
			Site: func(s *Site) { s.Answer[Login] = Say(`{"token":"` + strings.Repeat("x", 1<<20) + `"}`) }},
		Attack{Name: "a token that is deep",
			Site: func(s *Site) { s.Answer[Login] = Say(strings.Repeat(`{"token":`, 10_000)) }},
		Attack{Name: "a token that is a list", Site: func(s *Site) { s.Answer[Login] = Say(`{"token":["x"]}`) }},
		Attack{Name: "an index of itself", Site: func(s *Site) {
			s.Answer[Manifest] = func(w http.ResponseWriter, r *http.Request) {
				const index = "application/vnd.oci.image.index.v1+json"
				w.Header().Set("Content-Type", index)
				fmt.Fprintf(w,
					`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%[1]q,"size":100,"digest":%q}]}`,
					index, s.Digest)
			}
		}},
	)
}

// shouts are attacks on the terminal of the person who reads the error.
func shouts() []Attack {
	var list []Attack
	refusal := `{"errors":[{"code":"DENIED` + jsonShout + `","message":"` + jsonShout +
		strings.Repeat(" very much", 4000) + `"}]}`
	for _, what := range []What{Ping, Login, Manifest, Config, Layer} {
		list = append(list,
			Attack{Name: fmt.Sprintf("%s, a refusal that shouts", what),
				Site: func(s *Site) { s.Answer[what] = Refuse(403, "", refusal) }},
			Attack{Name: fmt.Sprintf("%s, a refusal that is no JSON", what),
				Site: func(s *Site) { s.Answer[what] = Refuse(400, "", shout) }},
			Attack{Name: fmt.Sprintf("%s, a status that shouts", what), Site: func(s *Site) {
				s.Answer[what] = Verbatim("HTTP/1.1 418 " + strings.ReplaceAll(shout, "\n", " ") +
					"\r\nContent-Length: 0\r\n\r\n")
			}},
			Attack{Name: fmt.Sprintf("%s, no HTTP at all", what),
				Site: func(s *Site) { s.Answer[what] = Verbatim(shout) }},
			Attack{Name: fmt.Sprintf("%s, a place that shouts", what), Site: func(s *Site) {
				s.Answer[what] = Redirect(307, "https://elsewhere.example/"+
					strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(shout))
			}},
			Attack{Name: fmt.Sprintf("%s, an encoding that shouts", what), Site: func(s *Site) {
				s.Answer[what] = func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Encoding", "\x1b[2J\u009b")
					w.Write([]byte(shout))
				}
			}},
		)
	}
	return append(list,
		Attack{Name: "a manifest that shouts", Site: func(s *Site) {
			s.Answer[Manifest] = Say(`{"schemaVersion":2,"mediaType":"` + jsonShout + `","config":{"mediaType":"` +
				jsonShout + `"},"layers":[]}`)
		}},
		Attack{Name: "platforms that shout", Site: func(s *Site) {
			s.Answer[Manifest] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
				fmt.Fprintf(w,
					`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
						`"size":9,"digest":%q,`+
						`"platform":{"os":"%s","architecture":"%[2]s","variant":"%[2]s"}}]}`, s.Digest, jsonShout)
			}
		}},
		Attack{Name: "a digest that shouts", Site: func(s *Site) {
			s.Answer[Manifest] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", s.mediaOf[Manifest])
				w.Write(bytes.ReplaceAll(s.content[Manifest], []byte(`"sha256:`), []byte(`"`+jsonShout+`:`)))
			}
		}},
		Attack{Name: "no token but secrets", Site: func(s *Site) {
			s.Answer[Login] = Say(`{"refresh_token":"` + Refresh + `","error":"` + jsonShout + `"}`)
		}},
		Attack{Name: "a token server that refuses with secrets", Site: func(s *Site) {
			s.Answer[Login] = Refuse(401, "", `{"refresh_token":"`+Refresh+`","errors":[{"code":"`+Refresh+
				`","message":"`+Password+`"}]}`)
		}},
		Attack{Name: "a token of two lines", Site: func(s *Site) {
			s.Answer[Login] = Say(`{"token":"a\r\nX-Injected: ` + jsonShout + `"}`)
		}},
		Attack{Name: "a certificate that shouts", World: func(w *World, s *Site) {
			w.HTTPS("registry.example", s, "other.example", "\x1b[2Jwyrboot: starts kernel\n.example")
		}},
		Attack{Name: "a certificate of many names", World: func(w *World, s *Site) {
			var names []string
			for i := range 2000 {
				names = append(names, fmt.Sprintf("host%d.example", i))
			}
			w.HTTPS("registry.example", s, names...)
		}},
	)
}
