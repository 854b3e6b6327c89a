package image

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// A signer redirects to URLs of a storage that are signed for one request each, and is that storage. Like the object
// stores, the storage refuses a request that has an Authorization header too.
type signer struct {
	files http.Handler
	to    string // the storage's URL

	mu      sync.Mutex
	valid   map[string]bool // signatures that have not been used
	last    int
	served  int // bodies of blobs
	refused []string
	down    bool
}

func (s *signer) redirect(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if r.Header.Get("Authorization") != "" {
		s.refused = append(s.refused, "what redirects to it is shown an Authorization header")
	}
	s.last++
	signature := "hidden-" + strconv.Itoa(s.last)
	s.valid[signature] = true
	s.mu.Unlock()
	http.Redirect(w, r, s.to+r.URL.Path+"?signature="+signature, http.StatusTemporaryRedirect)
}

// state returns how many blobs, or parts of them, the storage has sent, and why it has refused requests.
func (s *signer) state() (served int, refused []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served, slices.Clone(s.refused)
}

func (s *signer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	signature := r.FormValue("signature")
	s.mu.Lock()
	switch {
	case !s.valid[signature]:
		s.refused = append(s.refused, "the signature is "+signature+", which is not valid")
	case r.Header.Get("Authorization") != "":
		s.refused = append(s.refused, "there is an Authorization header")
	case r.Header.Get("Referer") != "":
		s.refused = append(s.refused, "the Referer is "+r.Header.Get("Referer"))
	case s.down:
	default:
		delete(s.valid, signature)
		if r.Method == http.MethodGet {
			s.served++
		}
		s.mu.Unlock()
		s.files.ServeHTTP(w, r)
		return
	}
	s.mu.Unlock()
	w.WriteHeader(http.StatusForbidden)
}

// docker's registry, which wants a login, redirects to a storage, and this once more, to a signed URL. Each part of a
// large layer comes by a URL of its own. No login is sent to the storage, and no signature to anybody else.
func TestDistributionWithRedirects(t *testing.T) {
	t.Parallel()
	a := nettest.Named(t, "test")
	data := t.TempDir()
	s := &signer{files: http.FileServer(http.Dir(data)), valid: make(map[string]bool)}
	store := httptest.NewServer(s)
	t.Cleanup(store.Close)
	s.to = store.URL
	redirects := httptest.NewServer(http.HandlerFunc(s.redirect))
	t.Cleanup(redirects.Close)

	// skopeo, which sends a Referer, pushes to a server that does not redirect.
	pushed := imagetest.Distribution{Data: data}.Start(t)
	copyTo(t, pushed.Host+"/team/x:1", ociImage(t, 10_000, 2), "--dest-tls-verify=false")
	copyTo(t, pushed.Host+"/team/large:1", ociImage(t, largeBlob+2<<20, 1), "--dest-tls-verify=false")
	pushed.Stop()
	host := imagetest.Distribution{TLS: a, Login: true, Data: data, Storage: redirects.URL}.Start(t).Host

	src := fast(t)
	src.Roots = a.Pool()
	src.Auth = func(string) authn.Authenticator { return login }
	// Layers, or parts of one, and the configuration.
	for image, least := range map[string]int{"x": 2 + 1, "large": 3 + 1} {
		before, _ := s.state()
		got, err := src.Resolve(context.Background(), host+"/team/"+image+":1")
		if err != nil {
			_, refused := s.state()
			t.Fatalf("%s: %v, the storage says %q", image, err, refused)
		}
		for _, l := range got.Layers {
			if b, err := readAll(t, l); err != nil || int64(len(b)) != l.Size {
				t.Errorf("%v of %s has %d bytes, %v", l, image, len(b), err)
			}
		}
		if after, _ := s.state(); after-before < least {
			t.Errorf("%d requests for blobs of %s came to the storage, want %d at least", after-before, image, least)
		}
	}
	if _, refused := s.state(); len(refused) > 0 {
		t.Errorf("the storage has refused requests: %q", refused)
	}

	// The storage refuses what it should serve. That is no matter of a login, and the signature is a secret.
	got, err := src.Resolve(context.Background(), host+"/team/x:1")
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.down = true
	s.mu.Unlock()
	_, err = readAll(t, got.Layers[0])
	d := Diagnose(err)
	if err == nil || strings.Contains(err.Error(), "hidden") || d.Cause != Other ||
		!strings.HasSuffix(err.Error(), strings.TrimPrefix(store.URL, "http://")+
			" (registry "+host+" redirects there) denies access") {
		t.Errorf("a storage that refuses: %v, %+v", err, d)
	}
}
