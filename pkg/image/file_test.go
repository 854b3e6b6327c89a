package image

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/hostile"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// TestFile gets small files from servers that are right and from some that are not.
func TestFile(t *testing.T) {
	const limit = 1000
	w := hostile.NewWorld(t)
	says := func(status int, text string) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(status)
			io.WriteString(rw, text)
		})
	}
	leads := func(to string) http.Handler { return http.RedirectHandler(to, http.StatusFound) }
	w.HTTPS("good.lab", says(200, "good"))
	w.HTTP("plain.lab", says(200, "plain"))
	w.HTTPS("full.lab", says(200, strings.Repeat("x", limit)))
	w.HTTPS("giant.lab", says(200, strings.Repeat("x", limit+1)))
	w.HTTPS("endless.lab", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := rw.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	}))
	w.HTTPS("stalls.lab", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", "10")
		io.WriteString(rw, "x")
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	w.HTTPS("cut.lab", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", "10")
		io.WriteString(rw, "x")
	}))
	w.Raw("noise.lab:80", func(c net.Conn) { io.WriteString(c, strings.Repeat("\x1b[2J", 1<<10)) })
	w.HTTPS("away.lab", leads("https://good.lab/"))
	w.HTTP("safer.lab", leads("https://good.lab/"))
	w.HTTPS("down.lab", leads("http://plain.lab/"))
	w.HTTPS("twice.lab", leads("https://down.lab/"))
	w.HTTPS("round.lab", leads("https://round.lab/"))
	w.HTTPS("local.lab", leads("file:///etc/passwd"))
	w.HTTPS("absent.lab", says(404, "x"))
	w.HTTPS("closed.lab", says(401, "x"))
	w.HTTPS("busy.lab", says(503, "x"))
	w.HTTPS("nothing.lab", says(204, ""))
	w.HTTPS("other.lab", says(200, "x"), "good.lab")
	for url, want := range map[string]struct {
		text, err string
		heals     bool
	}{
		"https://good.lab/x":   {text: "good"},
		"http://plain.lab/x":   {text: "plain"},
		"https://full.lab/":    {text: strings.Repeat("x", limit)},
		"https://away.lab/":    {text: "good"},
		"http://safer.lab/":    {text: "good"},
		"https://giant.lab/":   {err: "giant.lab answers with more than 1.0 kB"},
		"https://endless.lab/": {err: "endless.lab answers with more than 1.0 kB"},
		"https://stalls.lab/":  {err: "stalls.lab gave no byte for 1 s", heals: true},
		"https://cut.lab/":     {err: "the connection to cut.lab broke", heals: true},
		"http://noise.lab/":    {err: "cannot reach server noise.lab", heals: true},
		"https://down.lab/":    {err: "down.lab redirects to http://plain.lab, which is not over TLS"},
		"https://twice.lab/":   {err: "twice.lab redirects to http://plain.lab, which is not over TLS"},
		"https://round.lab/":   {err: "round.lab redirects more than 5 times"},
		"https://local.lab/":   {err: "local.lab redirects to file://, which is not over TLS"},
		"https://absent.lab/":  {err: "server absent.lab does not have it"},
		"https://closed.lab/":  {err: "server closed.lab denies access to the file"},
		"https://busy.lab/":    {err: "busy.lab answers 503", heals: true},
		"https://nothing.lab/": {err: "server nothing.lab answers 204"},
		"https://other.lab/":   {err: "the certificate of server other.lab is not trusted: it is for good.lab"},
		"https://nobody.lab/":  {err: "cannot reach server nobody.lab", heals: true},
	} {
		s := fast(t)
		s.Stall, s.Transport = time.Second, w.Transport()
		// It is about images. A file that comes over https is verified all the same.
		s.Insecure = func(string) bool { return true }
		b, err := s.File(t.Context(), url, limit)
		if string(b) != want.text || (err != nil) != (want.err != "") {
			t.Errorf("%s: %.20q, %v, want %.20q, %q", url, b, err, want.text, want.err)
		}
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), want.err) || Heals(err) != want.heals || Diagnose(err).Insecure != "" ||
			strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%s: %v (heals: %v, insecure: %q), want %q (%v)", url, err, Heals(err), Diagnose(err).Insecure, want.err,
				want.heals)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fast(t).File(ctx, "https://good.lab/", limit); err != context.Canceled {
		t.Errorf("a context that has ended: %v", err)
	}
}

// What is told of a proxy, and to whom a redirection leads, is as for images.
func TestFileOnTheWay(t *testing.T) {
	t.Parallel()
	var referers []string
	end := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		referers = append(referers, r.Referer())
	}))
	t.Cleanup(end.Close)
	begin := httptest.NewServer(http.RedirectHandler(end.URL, http.StatusFound))
	t.Cleanup(begin.Close)
	if _, err := fast(t).File(t.Context(), begin.URL+"/x?signature=secret", 10); err != nil {
		t.Fatal(err)
	}
	if want := []string{""}; !slices.Equal(referers, want) {
		t.Errorf("the server behind a redirection is told that it comes from %q", referers)
	}

	other := nettest.Named(t, "other")
	for _, row := range []struct {
		url   string
		tls   *nettest.Authority
		cause Cause
	}{
		{"http://lab.example:5000/x", nil, ProxyDenied},
		{"https://lab.example/x", nil, ProxyDenied},
		{"https://lab.example/x", other, ProxyIssuer},
		{"http://lab.example:5000/x", other, ProxyIssuer},
	} {
		proxy := imagetest.NewProxy(t, nil, row.tls)
		scheme := "http"
		if row.tls != nil {
			scheme = "https"
		}
		s := fast(t)
		s.transport().(*http.Transport).Proxy = s.through(http.ProxyURL(&url.URL{Scheme: scheme, Host: proxy.Host}))
		_, err := s.File(t.Context(), row.url, 10)
		if d := Diagnose(err); d.Cause != row.cause || d.Host != proxy.Host || Heals(err) {
			t.Errorf("%s by way of %s: %v (%+v, heals: %v), want cause %v", row.url, scheme, err, d, Heals(err), row.cause)
		}
	}
}
