package imagetest

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry is a registry on loopback that runs until its test ends.
type Registry struct {
	Host string // "127.0.0.1:PORT"

	store http.Handler // without faults, wrappers and TLS; Push uses it
	srv   *httptest.Server

	mu       sync.Mutex
	faults   []*Fault
	requests []string
}

// Serve starts a registry over HTTP. Requests pass through each wrap, the first one outermost, before the faults act. A
// wrap can add authentication, for example.
func Serve(t testing.TB, wrap ...func(http.Handler) http.Handler) *Registry {
	t.Helper()
	r := newRegistry(wrap)
	r.srv.Start()
	return r.started(t)
}

// ServeTLS starts a registry over HTTPS. Its certificate is signed by CA.
func ServeTLS(t testing.TB, wrap ...func(http.Handler) http.Handler) *Registry {
	t.Helper()
	r := newRegistry(wrap)
	r.srv.StartTLS()
	return r.started(t)
}

func newRegistry(wrap []func(http.Handler) http.Handler) *Registry {
	quiet := log.New(io.Discard, "", 0)
	r := &Registry{store: openRange(registry.New(registry.Logger(quiet), registry.WithReferrersSupport(true)))}
	h := http.Handler(http.HandlerFunc(r.serve))
	for i := len(wrap) - 1; i >= 0; i-- {
		h = wrap[i](h)
	}
	r.srv = httptest.NewUnstartedServer(h)
	r.srv.Config.ErrorLog = quiet
	return r
}

// openRange adds support for ranges of the form "bytes=N-" (RFC 9110 section 14.1.2) to next, which supports only
// ranges with both ends.
func openRange(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var first int64
		rng := req.Header.Get("Range")
		if _, err := fmt.Sscanf(rng, "bytes=%d-", &first); err == nil && strings.HasSuffix(rng, "-") {
			head := req.Clone(req.Context())
			head.Method = http.MethodHead
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, head)
			size, err := strconv.ParseInt(rec.Result().Header.Get("Content-Length"), 10, 64)
			if err == nil {
				req = req.Clone(req.Context())
				req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, size-1))
			}
		}
		next.ServeHTTP(w, req)
	})
}

func (r *Registry) started(t testing.TB) *Registry {
	t.Cleanup(func() {
		r.srv.CloseClientConnections()
		r.srv.Close()
	})
	r.Host = r.srv.Listener.Addr().String()
	return r
}

// CA returns the certificate that signs the server's certificate, or nil without TLS.
func (r *Registry) CA() *x509.Certificate { return r.srv.Certificate() }

// Fail adds a fault. If several faults match a request, only the one added first acts.
func (r *Registry) Fail(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &f)
}

// Heal removes all faults.
func (r *Registry) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// Requests returns the requests so far, such as "GET /v2/x/manifests/latest". The value of a Range header, if any, is
// appended. Pushes are not included.
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.requests...)
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	line := req.Method + " " + req.URL.Path
	if rng := req.Header.Get("Range"); rng != "" {
		line += " " + rng
	}
	r.requests = append(r.requests, line)
	var act Effect
	for _, f := range r.faults {
		if f.matches(req) {
			act = f.Do
			break
		}
	}
	r.mu.Unlock()

	if act != nil {
		act(w, req, r.store)
		return
	}
	r.store.ServeHTTP(w, req)
}

// Push stores an image or an index as repo, such as "debian:12", and returns its full name with the host.
func (r *Registry) Push(t testing.TB, repo string, what remote.Taggable) string {
	t.Helper()
	ref, err := name.ParseReference(r.Host+"/"+repo, name.Insecure)
	if err != nil {
		t.Fatalf("imagetest: cannot push: %v", err)
	}
	opts := []remote.Option{remote.WithTransport(direct{r.store}), remote.WithNondistributable}
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(ref, what, opts...)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, what, opts...)
	default:
		err = remote.Put(ref, what, opts...)
	}
	if err != nil {
		t.Fatalf("imagetest: cannot push %q: %v", repo, err)
	}
	return ref.Name()
}

// direct is a transport that calls a handler without a network.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	body := req.Body
	if body == nil {
		body = http.NoBody
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("cannot read the request: %w", err)
	}
	in := req.Clone(req.Context())
	in.Body = io.NopCloser(bytes.NewReader(content))
	in.RequestURI = req.URL.RequestURI()
	rec := httptest.NewRecorder()
	d.h.ServeHTTP(rec, in)
	resp := rec.Result()
	resp.Request = req
	return resp, nil
}

// Values for Fault.Path that match requests for blobs and for manifests.
const (
	Blobs     = "/blobs/"
	Manifests = "/manifests/"
)

// Fault applies an effect to some GET and HEAD requests.
type Fault struct {
	Path  string // a part of the URL's path: a digest, Blobs, Manifests; empty: every request
	Skip  int    // how many matching requests to leave alone first
	Times int    // how many requests after these get the effect; 0: all
	Do    Effect
}

// matches counts the request and reports whether it gets the effect.
func (f *Fault) matches(req *http.Request) bool {
	if req.Method != http.MethodGet && req.Method != http.MethodHead || !strings.Contains(req.URL.Path, f.Path) {
		return false
	}
	if f.Skip > 0 {
		f.Skip--
		return false
	}
	switch {
	case f.Times < 0:
		return false
	case f.Times == 1:
		f.Times = -1
	case f.Times > 1:
		f.Times--
	}
	return true
}
