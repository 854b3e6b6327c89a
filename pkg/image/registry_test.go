package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// newRegistry serves an empty registry, wrapped in wrap if that is not nil, and returns its host.
func newRegistry(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	h := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// push stores an image, an index or a manifest as ref. It uses go-containerregistry's client, not the code under test.
func push(t *testing.T, ref string, what remote.Taggable) {
	t.Helper()
	r := mustReference(t, ref)
	var err error
	switch what := what.(type) {
	case rawManifest: // the client would refuse to send some of these
		url := fmt.Sprintf("http://%s/v2/%s/manifests/%s",
			r.Context().RegistryStr(), r.Context().RepositoryStr(), r.Identifier())
		req, _ := http.NewRequest(http.MethodPut, url, strings.NewReader(what.body))
		req.Header.Set("Content-Type", string(what.kind))
		var resp *http.Response
		if resp, err = http.DefaultClient.Do(req); err == nil && resp.StatusCode != http.StatusCreated {
			err = fmt.Errorf("PUT %s: %s", ref, resp.Status)
		}
	case v1.ImageIndex:
		err = remote.WriteIndex(r, what)
	case v1.Image:
		err = remote.Write(r, what)
	default:
		err = remote.Put(r, what)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// randomImage returns an image for platform p with n layers of size bytes each.
func randomImage(t *testing.T, size int64, n int, p v1.Platform) v1.Image {
	t.Helper()
	img, err := random.Image(size, int64(n))
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// fast returns a source for amd64 that does not wait long.
func fast(t *testing.T) *Source {
	return &Source{Stall: 5 * time.Second, Tries: 3, Backoff: 10 * time.Microsecond, Logf: t.Logf, Platform: amd64}
}

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// readAll reads a layer to its end.
func readAll(t *testing.T, l *Layer) ([]byte, error) {
	t.Helper()
	rc, err := l.Open(context.Background())
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(rc)
}

// stored returns the stored bytes of layer i of img.
func stored(t *testing.T, img v1.Image, i int) []byte {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	rc, err := layers[i].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestResolve(t *testing.T) {
	host := newRegistry(t, nil)
	img := randomImage(t, 50_000, 3, amd64)
	push(t, host+"/a/b:v1", img)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{host + "/a/b:v1", host + "/a/b@" + digest.String(), host + "/a/b:other@" +
		digest.String()} {
		var arrived atomic.Int64
		s := fast(t)
		s.Progress = func(_ *Layer, n int) { arrived.Add(int64(n)) }
		got, err := s.Resolve(context.Background(), ref)
		if err != nil {
			t.Fatalf("Resolve(%q) = %v", ref, err)
		}
		if got.Digest != digest || got.Root != digest || len(got.Layers) != 3 {
			t.Errorf("Resolve(%q) = %+v, want digest %v and 3 layers", ref, got, digest)
		}
		for i, l := range got.Layers {
			b, err := readAll(t, l)
			if err != nil {
				t.Fatalf("%v of %q: %v", l, ref, err)
			}
			if !bytes.Equal(b, stored(t, img, i)) {
				t.Errorf("%v of %q is not what was pushed", l, ref)
			}
			if l.Number != i+1 || l.Size != int64(len(b)) || l.DiffID == (v1.Hash{}) {
				t.Errorf("layer %d of %q: %+v", i, ref, l)
			}
		}
		if arrived.Load() != got.Size() {
			t.Errorf("progress of %q adds up to %d, want %d", ref, arrived.Load(), got.Size())
		}
	}
}

// rawManifest is a manifest with arbitrary bytes.
type rawManifest struct {
	body string
	kind types.MediaType
}

func (r rawManifest) RawManifest() ([]byte, error) { return []byte(r.body), nil }

func TestRefused(t *testing.T) {
	host := newRegistry(t, nil)
	push(t, host+"/arm:1", randomImage(t, 100, 1, v1.Platform{OS: "linux", Architecture: "arm64"}))
	push(t, host+"/schema1:1", rawManifest{`{"schemaVersion":1,"name":"x","fsLayers":[{"blobSum":"sha256:` +
		strings.Repeat("0", 64) + `"}]}`, types.DockerManifestSchema1})
	push(t, host+"/both:1", rawManifest{`{"schemaVersion":2,"manifests":[],"config":{"digest":"sha256:` +
		strings.Repeat("0", 64) + `"},"layers":[]}`, types.OCIManifestSchema1})
	push(t, host+"/liar:1", rawManifest{`{"schemaVersion":2,"mediaType":"` + string(types.OCIManifestSchema1) +
		`","manifests":[]}`, types.OCIImageIndex})
	push(t, host+"/nothing:1", rawManifest{`{"schemaVersion":2}`, types.OCIManifestSchema1})
	push(t, host+"/garbage:1", rawManifest{`<html>`, types.OCIManifestSchema1})
	push(t, host+"/huge:1", rawManifest{strings.Repeat(" ", manifestLimit) + `{}`, types.OCIManifestSchema1})
	zero := "sha256:" + strings.Repeat("0", 64)
	push(t, host+"/encrypted:1", rawManifest{`{"schemaVersion":2,"config":{"digest":"` +
		zero + `"},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip+encrypted","digest":"` +
		zero + `","size":1}]}`, types.OCIManifestSchema1})
	push(t, host+"/negative:1", rawManifest{`{"schemaVersion":2,"config":{"digest":"` +
		zero + `"},"layers":[{"digest":"` + zero + `","size":-1}]}`, types.OCIManifestSchema1})

	for _, row := range []struct{ ref, want string }{
		{host + "/absent:1", "does not have it"},
		{host + "/arm:2", "does not have it"},
		{host + "/arm:1", "none for linux/amd64 in it, only for linux/arm64"},
		{host + "/schema1:1", "schema 1"},
		{host + "/both:1", "both an image and an index"},
		{host + "/liar:1", "calls itself"},
		{host + "/nothing:1", "names no configuration"},
		{host + "/garbage:1", "not JSON"},
		{host + "/huge:1", "more than 4.2 MB"},
		{host + "/encrypted:1", "encrypted"},
		{host + "/negative:1", "no size"},
		{host + "/arm@" + zero, "does not have it"},
		{"UPPER/case", "is not the name of an image"},
		{"", "is not the name of an image"},
		{"https://" + host + "/arm:1", "is not the name of an image"},
		{"docker://" + host + "/arm:1", "leave out docker://, as in " + host + "/arm:1"},
		{"containers-storage:arm", "push it to a registry"},
		{"docker-daemon:arm:1", "push it to a registry"},
	} {
		_, err := fast(t).Resolve(context.Background(), row.ref)
		if err == nil || !strings.Contains(err.Error(), row.want) || Heals(err) {
			t.Errorf("Resolve(%q) = %v (heals: %v), want a permanent error with %q", row.ref, err, Heals(err), row.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r\x1b") {
			t.Errorf("Resolve(%q) = %q, want one line", row.ref, err)
		}
	}
}

func TestNotAnImage(t *testing.T) {
	host := newRegistry(t, nil)
	repo, err := name.NewRepository(host + "/chart")
	if err != nil {
		t.Fatal(err)
	}
	config := static.NewLayer([]byte("{}"), "application/vnd.cncf.helm.config.v1+json")
	if err := remote.WriteLayer(repo, config); err != nil {
		t.Fatal(err)
	}
	digest, _ := config.Digest()
	push(t, host+"/chart:1", rawManifest{fmt.Sprintf(`{"schemaVersion":2,`+
		`"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"%s","size":2},"layers":[]}`, digest),
		types.OCIManifestSchema1})
	if _, err = fast(t).Resolve(context.Background(), host+"/chart:1"); err == nil ||
		!strings.Contains(err.Error(), "not a container image") {
		t.Errorf("Resolve of a chart = %v, want an error that says it is not an image", err)
	}
}

func TestIndex(t *testing.T) {
	image := func(p v1.Platform) v1.Image { return randomImage(t, 100, 1, p) }
	arm := v1.Platform{OS: "linux", Architecture: "arm64"}
	v3 := v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}
	v2 := v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v2"}
	windows := v1.Platform{OS: "windows", Architecture: "amd64"}
	unknown := v1.Platform{OS: "unknown", Architecture: "unknown"}
	armImage, v2Image, v3Image, plainImage, winImage := image(arm), image(v2), image(v3), image(amd64), image(windows)
	entry := func(add mutate.Appendable, p *v1.Platform) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: add, Descriptor: v1.Descriptor{Platform: p}}
	}
	index := func(adds ...mutate.IndexAddendum) v1.ImageIndex { return mutate.AppendManifests(empty.Index, adds...) }

	for _, row := range []struct {
		name  string
		index v1.ImageIndex
		want  v1.Platform
		image v1.Image // nil: refused
		err   string
	}{
		{"the right one of several", index(entry(armImage, &arm), entry(plainImage, &amd64)), amd64, plainImage, ""},
		{"another machine", index(entry(armImage, &arm), entry(plainImage, &amd64)), arm, armImage, ""},
		{"arm64/v8 for arm64", index(entry(armImage, &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"})),
			arm, armImage, ""},
		{"the best variant", index(entry(plainImage, &amd64), entry(v3Image, &v3), entry(v2Image, &v2)),
			v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v4"}, v3Image, ""},
		{"no variant above the machine", index(entry(v3Image, &v3), entry(v2Image, &v2)), v2, v2Image, ""},
		{"only variants above the machine", index(entry(v3Image, &v3)), amd64, nil, "only for linux/amd64/v3"},
		{"an attestation is no image", index(entry(plainImage, &unknown)), amd64, nil, "no platform at all"},
		{"another system", index(entry(winImage, &windows)), amd64, nil, "only for windows/amd64"},
		{"no platform in the index", index(entry(armImage, nil), entry(plainImage, nil)), amd64, plainImage, ""},
		{"no platform in the index, and none that matches", index(entry(armImage, nil)), amd64, nil, "only for linux/arm64"},
		{"index in index", index(entry(index(entry(armImage, &arm), entry(plainImage, &amd64)), nil)), amd64, plainImage, ""},
		{"two of one platform", index(entry(plainImage, &amd64), entry(v2Image, &amd64)), amd64, plainImage, ""},
		{"Docker's list", mutate.IndexMediaType(index(entry(plainImage, &amd64)), types.DockerManifestList), amd64,
			plainImage, ""},
		{"empty", index(), amd64, nil, "no platform at all"},
		{"too deep", index(entry(index(entry(index(entry(index(entry(index(entry(plainImage, &amd64)), nil)), nil)),
			nil)), nil)), amd64, nil, "deep"},
	} {
		t.Run(row.name, func(t *testing.T) {
			host := newRegistry(t, nil)
			push(t, host+"/x:1", row.index)
			s := fast(t)
			s.Platform = row.want
			img, err := s.Resolve(context.Background(), host+"/x:1")
			if row.image == nil {
				if err == nil || !strings.Contains(err.Error(), row.err) || Heals(err) {
					t.Errorf("Resolve = %v, want a permanent error with %q", err, row.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want, _ := row.image.Digest(); img.Digest != want {
				t.Errorf("Resolve chose %v, want %v", img.Digest, want)
			}
			if want, _ := row.index.Digest(); img.Root != want {
				t.Errorf("Resolve says %v was asked for, want %v", img.Root, want)
			}
		})
	}
}

// A manifest may lack mediaType (OCI image specification), and a registry may send another Content-Type.
func TestManifestWithoutType(t *testing.T) {
	img := mutate.MediaType(randomImage(t, 100, 2, amd64), types.OCIManifestSchema1)
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.Replace(string(raw), `"mediaType":"`+string(types.OCIManifestSchema1)+`",`, "", 1)
	if bare == string(raw) {
		t.Fatalf("no type to take out of %s", raw)
	}
	host := newRegistry(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/bare") {
				w.Header().Set("Content-Type", "text/plain")
				io.WriteString(w, bare)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, host+"/x:1", img)
	got, err := fast(t).Resolve(context.Background(), host+"/x:bare")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Layers) != 2 {
		t.Errorf("Resolve found %d layers, want 2", len(got.Layers))
	}
}

func TestWrongManifest(t *testing.T) {
	img, other := randomImage(t, 100, 1, amd64), randomImage(t, 100, 1, amd64)
	raw, _ := other.RawManifest()
	host := newRegistry(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/sha256:") {
				w.Write(raw)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, host+"/x:1", img)
	digest, _ := img.Digest()
	_, err := fast(t).Resolve(context.Background(), host+"/x@"+digest.String())
	if err == nil || !strings.Contains(err.Error(), "in place of "+digest.String()) || Heals(err) {
		t.Errorf("Resolve = %v (heals: %v), want a permanent error about the digest", err, Heals(err))
	}
}

func TestComesBack(t *testing.T) {
	for _, row := range []struct {
		name   string
		status int
		after  string
		fails  int32
		heals  bool
		wait   time.Duration
	}{
		{"after two answers of 503", 503, "", 2, true, 0},
		{"not soon", 429, "61", 1000, true, 61 * time.Second},
		{"never again", 429, "2147483647", 1000, true, 10 * time.Minute},
		{"never", 500, "", 1000, true, 0},
		{"with another status", 501, "", 1000, false, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			var asked atomic.Int32
			var spoiled atomic.Bool
			host := newRegistry(t, func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if spoiled.Load() && asked.Add(1) <= row.fails {
						w.Header().Set("Retry-After", row.after)
						w.WriteHeader(row.status)
						return
					}
					h.ServeHTTP(w, r)
				})
			})
			push(t, host+"/x:1", randomImage(t, 100, 1, amd64))
			spoiled.Store(true)
			_, err := fast(t).Resolve(context.Background(), host+"/x:1")
			if row.fails < 5 {
				if err != nil {
					t.Errorf("Resolve = %v, want success", err)
				}
				return
			}
			if err == nil || Heals(err) != row.heals || RetryAfter(err) != row.wait {
				t.Errorf("Resolve = %v (heals: %v, after %v), want heals: %v, after %v", err, Heals(err), RetryAfter(err),
					row.heals, row.wait)
			}
			if row.after != "" && asked.Load() > 2 { // not more: the ping's first attempt, over TLS, does not reach this handler
				t.Errorf("%d requests were made to a registry that asked to wait a minute", asked.Load())
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	host := strings.TrimPrefix(s.URL, "http://")
	s.Close()
	_, err := fast(t).Resolve(context.Background(), host+"/x:1")
	if !Heals(err) || !strings.Contains(err.Error(), "cannot reach registry "+host) {
		t.Errorf("Resolve = %v (heals: %v), want one that heals and names the registry", err, Heals(err))
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		" 7 ":                           7 * time.Second,
		"-7":                            0,
		"600":                           10 * time.Minute,
		"2147483647":                    10 * time.Minute,
		"99999999999999":                10 * time.Minute,
		"Fri, 01 Jan 2094 00:01:00 GMT": 10 * time.Minute,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute,
		"Wed, 31 Dec 2025 00:01:00 GMT": 0,
		"soon":                          0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", header, got, want)
		}
	}
}

func mustReference(t testing.TB, ref string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
