package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/wyrcan/wyrcan/pkg/registries"
)

// asked writes down what a registry was asked for: "manifests", "blobs", and "/v2/".
type asked struct {
	mu    sync.Mutex
	kinds []string
	auth  []string // the Authorization of each request
	spoil bool     // answers are spoilt
}

// begin forgets how the images got there, and has answers be spoilt from here on.
func (a *asked) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kinds, a.auth, a.spoil = nil, nil, true
}

func (a *asked) count(kind string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.kinds {
		if k == kind {
			n++
		}
	}
	return n
}

func kindOf(path string) string {
	for _, kind := range []string{"manifests", "blobs"} {
		if strings.Contains(path, "/"+kind+"/") {
			return kind
		}
	}
	return path
}

// A spoiler answers a request in the place of the registry h, or reports false.
type spoiler = func(w http.ResponseWriter, r *http.Request, h http.Handler) bool

// note wraps a registry whose requests to read are written down, and answered by spoil where that is not nil and says
// so.
func (a *asked) note(spoil spoiler) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				h.ServeHTTP(w, r)
				return
			}
			a.mu.Lock()
			a.kinds = append(a.kinds, kindOf(r.URL.Path))
			a.auth = append(a.auth, r.Header.Get("Authorization"))
			begun := a.spoil
			a.mu.Unlock()
			if spoil == nil || !begun || !spoil(w, r, h) {
				h.ServeHTTP(w, r)
			}
		})
	}
}

// answering answers all requests of a kind with a status.
func answering(kind string, status int, header ...string) spoiler {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if kindOf(r.URL.Path) != kind {
			return false
		}
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		return true
	}
}

// TestMirror: what a mirror cannot give comes from the origin, and nothing else does.
func TestMirror(t *testing.T) {
	const size, layers = 300_000, 3
	cut := func(w http.ResponseWriter, r *http.Request, h http.Handler) bool {
		switch {
		case kindOf(r.URL.Path) != "blobs":
			return false
		case r.Header.Get("Range") != "":
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		h.ServeHTTP(&cutOff{ResponseWriter: w, left: 100_000}, r)
		return true
	}
	flip := func(w http.ResponseWriter, r *http.Request, h http.Handler) bool {
		if kindOf(r.URL.Path) != "blobs" {
			return false
		}
		h.ServeHTTP(&flipped{w}, r)
		return true
	}
	for _, c := range []struct {
		name   string
		mirror spoiler
		empty  bool // nothing was pushed to it
		// What the origin is asked for, at most.
		manifests, blobs int
		from             string // "mirror" or "origin"
	}{
		{name: "has everything", from: "mirror"},
		{name: "has nothing", empty: true, manifests: 1, blobs: layers + 1, from: "origin"},
		{name: "is down", mirror: answering("/v2/", 503), manifests: 1, blobs: layers + 1, from: "origin"},
		{name: "asks to come back later", mirror: answering("manifests", 429, "Retry-After", "60"),
			manifests: 1, blobs: layers + 1, from: "origin"},
		{name: "wants a login that nobody has", mirror: answering("/v2/", 401, "WWW-Authenticate", `Basic realm="m"`),
			manifests: 0, blobs: 0, from: "mirror"}, // this one answers all the same
		{name: "refuses manifests", mirror: answering("manifests", 403), manifests: 1, blobs: 0, from: "origin"},
		{name: "has no blobs", mirror: answering("blobs", 404), blobs: layers + 1, from: "mirror"},
		{name: "fails for blobs", mirror: answering("blobs", 500), blobs: layers + 1, from: "mirror"},
		{name: "breaks off", mirror: cut, blobs: layers, from: "mirror"},
		{name: "sends wrong bytes", mirror: flip, blobs: layers + 1, from: "mirror"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var mirror, origin asked
			m, o := newRegistry(t, mirror.note(c.mirror)), newRegistry(t, origin.note(nil))
			img := randomImage(t, size, layers, amd64)
			push(t, o+"/team/x:1", img)
			if !c.empty {
				push(t, m+"/cache/team/x:1", img)
			}
			s := fast(t)
			if err := s.Registries.AddMirrors(o, m+"/cache"); err != nil {
				t.Fatal(err)
			}
			origin.begin()
			mirror.begin()
			start := time.Now()
			got, err := s.Resolve(context.Background(), o+"/team/x:1")
			if err != nil {
				t.Fatal(err)
			}
			if want := map[string]string{"mirror": m + "/cache/team/x", "origin": o + "/team/x"}[c.from]; got.From != want {
				t.Errorf("the manifest is from %s, want %s", got.From, want)
			}
			if want := o + "/team/x:1"; got.Name != want {
				t.Errorf("the image is called %s, want %s", got.Name, want)
			}
			for i, l := range got.Layers {
				b, err := readAll(t, l)
				if Heals(err) { // as the callers do after wrong bytes
					b, err = readAll(t, l)
				}
				if err != nil || !bytes.Equal(b, stored(t, img, i)) {
					t.Errorf("layer %d has %d bytes, %v", i+1, len(b), err)
				}
			}
			if n := origin.count("manifests"); n != c.manifests {
				t.Errorf("the origin was asked for %d manifests, want %d", n, c.manifests)
			}
			if n := origin.count("blobs"); n != c.blobs {
				t.Errorf("the origin was asked for %d blobs, want %d", n, c.blobs)
			}
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// cutOff ends a connection after some bytes of the body.
type cutOff struct {
	http.ResponseWriter
	left int
}

func (s *cutOff) Write(p []byte) (int, error) {
	if len(p) > s.left {
		s.ResponseWriter.Write(p[:s.left])
		s.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	s.left -= len(p)
	return s.ResponseWriter.Write(p)
}

// flipped changes the first byte of each write.
type flipped struct{ http.ResponseWriter }

func (f *flipped) Write(p []byte) (int, error) {
	q := slices.Clone(p)
	q[0] ^= 1
	return f.ResponseWriter.Write(q)
}

// ReadFrom keeps io.Copy from going round Write.
func (f *flipped) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{f}, r)
}

// TestMirrorDown: a mirror that is not there is asked once, not once for each blob.
func TestMirrorDown(t *testing.T) {
	var mirror, origin asked
	m := newRegistry(t, mirror.note(answering("/v2/", 503)))
	o := newRegistry(t, origin.note(nil))
	push(t, o+"/x:1", randomImage(t, 1000, 5, amd64))
	mirror.begin()
	s := fast(t)
	if err := s.Registries.AddMirrors(o, "127.0.0.1:1", m); err != nil {
		t.Fatal(err)
	}
	got, err := s.Resolve(context.Background(), o+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range got.Layers {
		if _, err := readAll(t, l); err != nil {
			t.Error(err)
		}
	}
	if n := len(mirror.kinds); n != 1 {
		t.Errorf("the mirror that is down was asked %d times, want once", n)
	}
}

// TestMirrorTold: why a mirror does not give something is told once for an image, with who is asked next. A download
// that a mirror breaks off is told as one that is repeated first.
func TestMirrorTold(t *testing.T) {
	cut := func(w http.ResponseWriter, r *http.Request, h http.Handler) bool {
		if kindOf(r.URL.Path) != "blobs" {
			return false
		}
		h.ServeHTTP(&cutOff{ResponseWriter: w, left: 100}, r)
		return true
	}
	for name, row := range map[string]struct {
		mirror spoiler
		want   []string
	}{
		"works": {nil, nil},
		"down": {answering("/v2/", 503), []string{
			"MIRROR answers 503 Service Unavailable; asks registry ORIGIN"}},
		"has no blobs": {answering("blobs", 404), []string{
			"mirror MIRROR does not have it; asks registry ORIGIN"}},
		"breaks off": {cut, []string{
			"the download from MIRROR broke: the connection was closed too early; again",
			"the download from MIRROR broke: the connection was closed too early; asks registry ORIGIN"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mirror asked
			m, o := newRegistry(t, mirror.note(row.mirror)), newRegistry(t, nil)
			img := randomImage(t, 300_000, 5, amd64)
			push(t, m+"/x:1", img)
			push(t, o+"/x:1", img)
			mirror.begin()
			s := fast(t)
			var mu sync.Mutex
			var told []string
			s.Report = func(a Attempt) {
				mu.Lock()
				defer mu.Unlock()
				if a.Err == nil {
					return
				}
				what := "again"
				if a.Next != "" {
					what = "asks " + a.Next
				}
				line := strings.NewReplacer(m, "MIRROR", o, "ORIGIN").Replace(Gist(a.Err) + "; " + what)
				if what != "again" || !slices.Contains(told, line) {
					told = append(told, line)
				}
			}
			if err := s.Registries.AddMirrors(o, m); err != nil {
				t.Fatal(err)
			}
			got, err := s.Resolve(t.Context(), o+"/x:1")
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range got.Layers {
				if _, err := readAll(t, l); err != nil {
					t.Error(err)
				}
			}
			if !slices.Equal(told, row.want) {
				t.Errorf("it told\n%q, want\n%q", told, row.want)
			}
		})
	}
}

// TestMirrorDigest: a mirror cannot put another image in the place of one that is named by its digest.
func TestMirrorDigest(t *testing.T) {
	o := newRegistry(t, nil)
	img := randomImage(t, 1000, 1, amd64)
	digest, _ := img.Digest()
	raw, _ := randomImage(t, 1000, 1, amd64).RawManifest()
	push(t, o+"/x:1", img)
	lie := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && kindOf(r.URL.Path) == "manifests" {
				w.Write(raw)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	m := newRegistry(t, lie)
	s := fast(t)
	if err := s.Registries.AddMirrors(o, m); err != nil {
		t.Fatal(err)
	}
	got, err := s.Resolve(context.Background(), o+"/x@"+digest.String())
	if err != nil || got.Digest != digest || got.From != o+"/x" {
		t.Errorf("Resolve = %+v, %v, want the origin's image", got, err)
	}
}

// TestMirrorLogin: a mirror gets the login for itself and not the origin's, and the origin not the mirror's.
func TestMirrorLogin(t *testing.T) {
	var mirror, origin asked
	basic := func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if _, _, ok := r.BasicAuth(); ok {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	mirror.spoil, origin.spoil = true, true
	m := newRegistry(t, mirror.note(func(w http.ResponseWriter, r *http.Request, h http.Handler) bool {
		return basic(w, r, h) || answering("blobs", 404)(w, r, h)
	}))
	o := newRegistry(t, origin.note(basic))
	img := randomImage(t, 1000, 1, amd64)
	s := fast(t)
	s.Auth = func(repository string) authn.Authenticator {
		user := "origin"
		if strings.HasPrefix(repository, m) {
			user = "mirror"
		}
		return &authn.Basic{Username: user, Password: "secret"}
	}
	for _, host := range []string{m, o} {
		pushAs(t, s, host+"/x:1", img)
	}
	mirror.begin()
	origin.begin()
	if err := s.Registries.AddMirrors(o, m); err != nil {
		t.Fatal(err)
	}
	got, err := s.Resolve(context.Background(), o+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, got.Layers[0]); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		got  *asked
		user string
	}{{"mirror", &mirror, "mirror"}, {"origin", &origin, "origin"}} {
		req := &http.Request{Header: http.Header{}}
		shown := 0
		for _, a := range c.got.auth {
			if a == "" {
				continue
			}
			req.Header.Set("Authorization", a)
			if user, _, _ := req.BasicAuth(); user != c.user {
				t.Errorf("the %s was shown the login of %s", c.name, user)
			}
			shown++
		}
		if shown == 0 {
			t.Errorf("the %s was shown no login", c.name)
		}
	}
}

// TestRegistriesConf: a name is rewritten, one that is blocked is not pulled, and what is insecure may be asked so.
func TestRegistriesConf(t *testing.T) {
	o := newRegistry(t, nil)
	push(t, o+"/archive/x:1", randomImage(t, 1000, 1, amd64))
	conf := "[[registry]]\nprefix = 'registry.example/team'\nlocation = '" + o + "/archive'\n" +
		"[[registry]]\nlocation = 'blocked.example'\nblocked = true\n"
	s := fast(t)
	var err error
	if s.Registries, err = registries.Read(mapFS(conf)); err != nil {
		t.Fatal(err)
	}
	got, err := s.Resolve(context.Background(), "registry.example/team/x:1")
	if err != nil || got.Name != "registry.example/team/x:1" || got.From != o+"/archive/x" {
		t.Errorf("Resolve = %+v, %v", got, err)
	}
	_, err = s.Resolve(context.Background(), "blocked.example/x:1")
	want := "/etc/containers/registries.conf blocks blocked.example"
	if err == nil || Heals(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("Resolve = %v, want a lasting refusal that names the file", err)
	}
}

// TestMirrorCancel: who gives up gets no further place.
func TestMirrorCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	m := newRegistry(t, (&asked{spoil: true}).note(func(http.ResponseWriter, *http.Request, http.Handler) bool {
		cancel()
		panic(http.ErrAbortHandler)
	}))
	var origin asked
	o := newRegistry(t, origin.note(nil))
	s := fast(t)
	if err := s.Registries.AddMirrors(o, m); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(ctx, o+"/x:1"); !errors.Is(err, context.Canceled) || len(origin.kinds) > 0 {
		t.Errorf("Resolve = %v, and the origin was asked for %q", err, origin.kinds)
	}
}

// mapFS is a root directory with a registries.conf.
func mapFS(conf string) fstest.MapFS {
	return fstest.MapFS{registries.File: &fstest.MapFile{Data: []byte(conf)}}
}

// pushAs stores img with the credentials of s.
func pushAs(t *testing.T, s *Source, ref string, img v1.Image) {
	t.Helper()
	r := mustReference(t, ref)
	if err := remote.Write(r, img, remote.WithAuth(s.Auth(r.Context().Name()))); err != nil {
		t.Fatal(err)
	}
}
