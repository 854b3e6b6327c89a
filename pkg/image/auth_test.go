package image

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// guarded serves h to clients with the user name "user" and the password "secret" (HTTP's Basic scheme). It stores the
// last Authorization header in shown.
func guarded(h http.Handler, shown *atomic.Pointer[string]) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); a != "" && shown != nil {
			shown.Store(&a)
		}
		if u, p, ok := r.BasicAuth(); !ok || u != "user" || p != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func TestCredentials(t *testing.T) {
	img := randomImage(t, 10_000, 1, amd64)
	blob := stored(t, img, 0)
	var leaked atomic.Pointer[string]
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); a != "" {
			leaked.Store(&a)
		}
		w.Write(blob)
	}))
	defer storage.Close()

	layers, _ := img.Layers()
	digest, _ := layers[0].Digest()
	var open atomic.Bool
	open.Store(true)
	host := newRegistry(t, func(h http.Handler) http.Handler {
		redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, digest.String()) && r.Method == http.MethodGet {
				// 127.0.0.1 with another port counts as another host.
				http.Redirect(w, r, storage.URL+"/blob?signature=hidden", http.StatusTemporaryRedirect)
				return
			}
			h.ServeHTTP(w, r)
		})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if open.Load() {
				h.ServeHTTP(w, r)
				return
			}
			guarded(redirect, nil).ServeHTTP(w, r)
		})
	})
	push(t, host+"/x:1", img)
	open.Store(false)

	_, err := fast(t).Resolve(context.Background(), host+"/x:1")
	if err == nil || Heals(err) || !strings.Contains(err.Error(), "needs credentials") {
		t.Errorf("Resolve without credentials = %v, want a permanent error that says so", err)
	}
	s := fast(t)
	s.Auth = func(repository string) authn.Authenticator {
		if repository != host+"/x" {
			t.Errorf("credentials were asked for %q", repository)
		}
		return &authn.Basic{Username: "user", Password: "secret"}
	}
	got, err := s.Resolve(context.Background(), host+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := readAll(t, got.Layers[0]); err != nil || !bytes.Equal(b, blob) {
		t.Errorf("reading from where the registry redirects to: %v", err)
	}
	if leaked.Load() != nil {
		t.Errorf("the storage behind the registry was shown %q", *leaked.Load())
	}
	// The URL of the storage gives access to the blob, so the error must not show it if the storage is down.
	storage.Close()
	if _, err := readAll(t, got.Layers[0]); err == nil || strings.Contains(err.Error(), "hidden") || !Heals(err) {
		t.Errorf("reading with the storage down = %v, want one that heals and does not show the signature", err)
	}
}

// The token server (the Bearer scheme) gets the credentials, the registry gets the token.
func TestToken(t *testing.T) {
	img := randomImage(t, 1000, 1, amd64)
	var open atomic.Bool
	open.Store(true)
	var tokens atomic.Int32
	var host string
	host = newRegistry(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				if r.FormValue("scope") != "repository:x:pull" || r.FormValue("service") != "here" {
					t.Errorf("the token was asked for with %q", r.URL.RawQuery)
				}
				fmt.Fprintf(w, `{"token":"t%d","expires_in":60}`, tokens.Add(1))
				return
			}
			// The first token is valid for the manifest, and the second one for blobs.
			valid := "Bearer t1"
			if strings.Contains(r.URL.Path, "/blobs/") {
				valid = "Bearer t2"
			}
			if !open.Load() && r.Header.Get("Authorization") != valid {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="here",`+
					`scope="repository:x:pull"`, host))
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, host+"/x:1", img)
	open.Store(false)
	got, err := fast(t).Resolve(context.Background(), host+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, got.Layers[0]); err != nil {
		t.Error(err)
	}
	if tokens.Load() != 2 {
		t.Errorf("%d tokens were asked for, want 2: the second after the first had expired", tokens.Load())
	}
}

func TestTLS(t *testing.T) {
	h := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	r, _ := name.ParseReference(host + "/x:1")
	if err := remote.Write(r, randomImage(t, 1000, 1, amd64),
		remote.WithTransport(server.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	_, err := fast(t).Resolve(context.Background(), host+"/x:1")
	if err == nil || Heals(err) || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("Resolve = %v (heals: %v), want a permanent error about trust", err, Heals(err))
	}
	s := fast(t)
	s.Roots = addRoots(x509.NewCertPool())
	s.Roots.AddCert(server.Certificate())
	got, err := s.Resolve(context.Background(), host+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, got.Layers[0]); err != nil {
		t.Error(err)
	}
	// The same certificate, a century later.
	tls := s.transport().(*http.Transport).Clone()
	tls.TLSClientConfig.Time = func() time.Time { return time.Now().AddDate(100, 0, 0) }
	late := fast(t)
	late.Transport = tls
	if _, err = late.Resolve(context.Background(), host+"/x:1"); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("Resolve = %v, want an error that mentions the clock", err)
	}
}

func TestCompiledRoots(t *testing.T) {
	//lint:ignore SA1019 Subjects leaves out the system's certificates, and this pool has none of them
	if n := len(addRoots(x509.NewCertPool()).Subjects()); n < 100 {
		t.Errorf("%d certificate authorities are compiled in, want Mozilla's 100 and more", n)
	}
}
