package image

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// docker's registry takes the tokens of a token server. Each login asks it once, for this image and for pulling, and no
// login is shown to the registry.
func TestDistributionWithTokens(t *testing.T) {
	t.Parallel()
	a := nettest.Named(t, "test")
	tokens := imagetest.NewTokenServer(t, a)
	registry := imagetest.NewFront(t, imagetest.Distribution{Tokens: tokens}.Start(t).Host, a)
	img := ociImage(t, 10_000, 2)
	for _, repo := range []string{"public/x", "team/x"} {
		copyTo(t, registry.Host+"/"+repo+":1", img, "--dest-cert-dir", a.CertDir(t), "--dest-creds", credentials)
	}
	for _, c := range []struct {
		name, repo string
		login      *authn.AuthConfig
		by         []string // the requests for tokens
		fails      string
	}{
		{name: "nobody", repo: "public/x", by: []string{"nobody"}},
		{name: "nobody, of what is not public", repo: "team/x", fails: "needs credentials",
			by: []string{"nobody", "nobody"}}, // the second one because the registry refuses the first token
		{name: "password", repo: "team/x", by: []string{"password"},
			login: &authn.AuthConfig{Username: imagetest.User, Password: imagetest.Password}},
		{name: "wrong password", repo: "team/x", by: []string{"wrong login"}, fails: "needs other credentials",
			login: &authn.AuthConfig{Username: imagetest.User, Password: "wrong"}},
		{name: "identity token", repo: "team/x", by: []string{"identity token"},
			login: &authn.AuthConfig{IdentityToken: imagetest.Identity}},
		{name: "identity token as docker login writes it", repo: "team/x", by: []string{"identity token"},
			login: &authn.AuthConfig{Username: "<token>", IdentityToken: imagetest.Identity}},
		{name: "wrong identity token", repo: "team/x", by: []string{"wrong login"}, fails: "needs other credentials",
			login: &authn.AuthConfig{IdentityToken: "wrong"}},
	} {
		registry.Forget()
		before := len(tokens.Asked())
		s := fast(t)
		s.Roots = a.Pool()
		if c.login != nil {
			s.Auth = func(string) authn.Authenticator { return authn.FromConfig(*c.login) }
		}
		got, err := s.Resolve(context.Background(), registry.Host+"/"+c.repo+":1")
		if err == nil {
			for _, l := range got.Layers {
				if _, err := readAll(t, l); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
		}
		d := Diagnose(err)
		switch {
		case c.fails == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.fails != "" && (err == nil || Heals(err) || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.fails)
		case c.fails != "" && (d.Cause != Denied || d.Host != registry.Host):
			t.Errorf("%s: %v has the diagnosis %+v, want that %s denies access", c.name, err, d, registry.Host)
		}
		var want []imagetest.TokenRequest
		for _, by := range c.by {
			scope := "repository:" + c.repo + ":pull"
			want = append(want, imagetest.TokenRequest{By: by, Service: imagetest.TokenService, Scope: scope})
		}
		if asked := tokens.Asked()[before:]; !slices.Equal(asked, want) {
			t.Errorf("%s: the token server was asked %+v, want %+v", c.name, asked, want)
		}
		for _, r := range registry.Asked() {
			if r.Authorization != "" && !strings.HasPrefix(r.Authorization, "Bearer ") {
				t.Errorf("%s: the registry was shown %.6s… for %s", c.name, r.Authorization, r.Path)
			}
		}
	}
}

// A token server that redirects gets the login, and where it redirects to does not.
func TestDistributionWithTokensElsewhere(t *testing.T) {
	t.Parallel()
	a := nettest.Named(t, "test")
	tokens := imagetest.NewTokenServer(t, a)
	named := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			if user, password, _ := r.BasicAuth(); user != imagetest.User || password != imagetest.Password {
				t.Errorf("the token server that the registry names was asked by %q", user)
			}
		}
		http.Redirect(w, r, tokens.Realm+"?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
	}))
	named.Config.ErrorLog = log.New(io.Discard, "", 0)
	named.TLS = &tls.Config{Certificates: []tls.Certificate{a.Server(t)}}
	named.StartTLS()
	t.Cleanup(named.Close)

	direct := imagetest.Distribution{Tokens: tokens}.Start(t)
	img := ociImage(t, 10_000, 1)
	for _, repo := range []string{"public/x", "team/x"} {
		ref := direct.Host + "/" + repo + ":1"
		copyTo(t, ref, img, "--dest-tls-verify=false", "--dest-creds", credentials)
	}
	direct.Stop()
	host := imagetest.Distribution{Tokens: tokens, Realm: named.URL + "/token", Data: direct.Data}.Start(t).Host
	for _, c := range []struct {
		login authn.AuthConfig
		repo  string
		asked int // requests where it redirects to
	}{
		{authn.AuthConfig{Username: imagetest.User, Password: imagetest.Password}, "public/x", 1},
		{authn.AuthConfig{Username: imagetest.User, Password: imagetest.Password}, "team/x", 2},
		{authn.AuthConfig{IdentityToken: imagetest.Identity}, "public/x", 0},
	} {
		before := len(tokens.Asked())
		s := fast(t)
		s.Roots = a.Pool()
		s.Auth = func(string) authn.Authenticator { return authn.FromConfig(c.login) }
		_, err := s.Resolve(context.Background(), host+"/"+c.repo+":1")
		if works := c.repo == "public/x" && c.asked > 0; works != (err == nil) {
			t.Errorf("Resolve of %s = %v", c.repo, err)
		}
		asked := tokens.Asked()[before:]
		if len(asked) != c.asked {
			t.Errorf("where the token server redirects to was asked %+v, want %d requests", asked, c.asked)
		}
		for _, r := range asked {
			if r.By != "nobody" {
				t.Errorf("where the token server redirects to was shown a login: %+v", r)
			}
		}
	}
}

// A token expires in the middle of a large layer. The requests that are refused get a new one, and what has arrived is
// not requested again.
func TestDistributionWithShortTokens(t *testing.T) {
	t.Parallel()
	const size = largeBlob + 2<<20
	a := nettest.Named(t, "test")
	tokens := imagetest.NewTokenServer(t, a)
	registry := imagetest.NewFront(t, imagetest.Distribution{Tokens: tokens}.Start(t).Host, a)
	ref := registry.Host + "/team/x:1"
	copyTo(t, ref, ociImage(t, size, 1), "--dest-cert-dir", a.CertDir(t), "--dest-creds", credentials)
	tokens.Live(3 * time.Second)

	wire, bytesRead := counted()
	wire.TLSClientConfig = &tls.Config{RootCAs: a.Pool()}
	s := fast(t)
	s.Transport = wire
	s.Auth = func(string) authn.Authenticator { return login }
	got, err := s.Resolve(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := got.Layers[0].Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	var begin bytes.Buffer
	if _, err := io.CopyN(&begin, layer, 1<<20); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(tokens.Until()) + 200*time.Millisecond)
	before := len(tokens.Asked())
	registry.Forget()
	if n, err := io.Copy(io.Discard, layer); err != nil || n+1<<20 != got.Layers[0].Size {
		t.Errorf("the rest has %d bytes, %v", n, err)
	}
	refused := 0
	for _, r := range registry.Asked() {
		if r.Status == http.StatusUnauthorized && strings.Contains(r.Path, "/blobs/") {
			refused++
		}
	}
	if asked := len(tokens.Asked()) - before; refused == 0 || asked == 0 || asked > refused {
		t.Errorf("%d requests for blobs were refused, and %d tokens asked for", refused, asked)
	}
	if n := bytesRead.Load(); n > got.Layers[0].Size+1<<20 {
		t.Errorf("%d bytes came for a layer of %d", n, got.Layers[0].Size)
	}
}
