package hostile

import (
	"fmt"
	"net"
	"net/http"
	"strings"
)

// redirects are attacks that redirect the client to wrong servers or to servers without TLS.
func redirects() []Attack {
	var list []Attack
	for _, what := range []What{Ping, Login, Manifest, Config, Layer} {
		for name, to := range map[string]string{
			"to somebody else":    "https://elsewhere.example/v2/x/there",
			"to plain HTTP":       "http://registry.example/v2/x/there",
			"to plain HTTP there": "http://elsewhere.example/v2/x/there",
			"in a circle":         "",
			"to a file":           "file:///etc/passwd",
			"to nowhere":          "https://nowhere.example:1/",
			"to no address":       "https://[::1/%zz",
			"with a name":         "https://" + User + ":" + "x@elsewhere.example/",
		} {
			list = append(list,
				Attack{Name: fmt.Sprintf("%s, redirected %s", what, name), By: "DIGEST", Site: func(s *Site) {
					s.Answer[what] = func(w http.ResponseWriter, r *http.Request) {
						if to == "" {
							Redirect(307, r.URL.String())(w, r)
							return
						}
						Redirect(307, to)(w, r)
					}
				}})
		}
	}
	// Following a redirection to elsewhere.example is no error in itself; a ping may even succeed there.
	for i := range list {
		list[i].Identity = i%2 == 1
	}
	return list
}

// logins are attacks that try to get the client's login.
func logins() []Attack {
	realm := func(realm string) func(*Site) { return func(s *Site) { s.Realm = realm } }
	// If the registry is authentic, it may name a token server on any host with TLS. On private networks the token
	// server is often on another port or at a private address.
	elsewhere := func(host string) Attack {
		return Attack{Name: "a token server at " + host, Mends: true, Login: []string{"https://" + host},
			Site:  realm("https://" + host + "/token"),
			World: func(w *World, s *Site) { w.HTTPS(host, s.TokenServer()) }}
	}
	list := []Attack{
		elsewhere("registry.example:5001"), elsewhere("auth.other.example"), elsewhere("10.2.3.4"),
		elsewhere("192.168.7.7:8443"),
		{Name: "TLS blocked, plain HTTP wants the login", Fails: true,
			World: func(w *World, _ *Site) { w.Raw("registry.example:443", reset) }},
		{Name: "nobody at TLS, plain HTTP wants the login", Fails: true, Ref: "10.1.2.3/x:1",
			World: func(w *World, _ *Site) {
				w.HTTP("10.1.2.3", http.HandlerFunc(onTheWay))
			}},
		{Name: "plain HTTP at TLS's port wants the login", Fails: true, Ref: "10.1.2.3:5000/x:1",
			World: func(w *World, _ *Site) {
				w.HTTP("10.1.2.3:5000", http.HandlerFunc(onTheWay))
			}},
		{Name: "a certificate of nobody's", Fails: true, Ref: "10.1.2.3/x:1", World: func(w *World, s *Site) {
			w.HTTPS("10.1.2.3", s, "other.example")
			w.HTTP("10.1.2.3", http.HandlerFunc(onTheWay))
		}},
		{Name: "plain HTTP wants the password itself", Fails: true, Ref: "192.168.1.1/x:1",
			World: func(w *World, _ *Site) {
				w.HTTP("192.168.1.1", basic(nil))
			}},
		{Name: "plain HTTP has the image", Fails: true, Ref: "registry.local/x:1", World: func(w *World, s *Site) {
			open := *s
			open.Realm = ""
			w.HTTP("registry.local", &open)
		}},
		{Name: "the password itself over TLS", Mends: true, Login: []string{"https://registry.example"},
			World: func(w *World, s *Site) {
				open := *s
				open.Realm = ""
				w.HTTPS("registry.example", basic(&open))
			}},
		{Name: "two challenges", Fails: true, Site: func(s *Site) {
			s.Answer[Ping] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Add("WWW-Authenticate", `Negotiate`)
				w.Header().Add("WWW-Authenticate", `Bearer realm="http://elsewhere.example/token"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		}},
		{Name: "a token that serves nowhere", Fails: true,
			Site: func(s *Site) { s.Answer[Login] = Say(`{"token":"other"}`) }},
	}
	for _, r := range []string{
		"http://elsewhere.example/token", "http://token.example/token", "http://registry.example/token",
		"http://10.9.9.9/token", "file:///etc/passwd", "/token", "", "https://", "https://[::1",
		"https://nowhere.example/token", "ftp://token.example/", "https://token.example@elsewhere.example:1/token",
		strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace("https://nowhere.example/" + shout),
	} {
		list = append(list, Attack{Name: fmt.Sprintf("realm %q", r), Fails: true, Site: func(s *Site) {
			s.Answer[Ping] = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="`+r+`",service="registry.example"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		}})
	}
	// The same with an identity token, which the client sends in the body of a POST.
	for _, a := range list {
		a.Name, a.Identity = a.Name+", identity token", true
		if a.Mends && a.Login[0] == "https://registry.example" {
			continue // an identity token is only for token servers
		}
		list = append(list, a)
	}
	return append(list,
		Attack{Name: "a token server behind a broken wire", Fails: true,
			World: func(w *World, _ *Site) { w.Raw("token.example:443", reset) }},
		Attack{Name: "a token server that stalls over TLS", Fails: true, World: func(w *World, _ *Site) {
			w.Raw("token.example:443", func(c net.Conn) { c.Read(make([]byte, 100000)); c.Read(make([]byte, 1)) })
		}},
	)
}

// basic requires a name and a password for next.
func basic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, password, ok := r.BasicAuth(); !ok || name != User || password != Password || next == nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// resumes are attacks that interrupt a download and do not send its rest, or send answers in another encoding. A client
// that starts again, or decodes the answer, gets the image.
func resumes() []Attack {
	rest := func(name string, do func(*Site) http.HandlerFunc) Attack {
		return Attack{Name: "the rest, " + name, Mends: true,
			Site: func(s *Site) { s.Around[Layer] = BreakThen(do(s)) }}
	}
	refuse := func(code int) Attack {
		return rest(fmt.Sprintf("refused with %d", code),
			func(*Site) http.HandlerFunc { return Refuse(code, "", shout) })
	}
	packed := func(what What) Attack {
		return Attack{Name: fmt.Sprintf("%s, gzipped unasked", what), Mends: true,
			Site: func(s *Site) { s.Around[what] = Gzipped }}
	}
	return []Attack{
		refuse(416), refuse(403), refuse(400),
		rest("without Content-Range", func(s *Site) http.HandlerFunc { return Rest(s.content[Layer], "") }),
		rest("with another Content-Range",
			func(s *Site) http.HandlerFunc { return Rest(s.content[Layer], "bytes 0-9/10") }),
		rest("with a Content-Range that shouts",
			func(s *Site) http.HandlerFunc { return Rest(s.content[Layer], "bytes \x1b[2J") }),
		rest("as the whole", func(s *Site) http.HandlerFunc { return Say(string(s.content[Layer])) }),
		packed(Manifest), packed(Config), packed(Layer), packed(Login),
	}
}
