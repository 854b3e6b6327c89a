package image

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
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

// newRegistry serves an empty registry through wrap, which may spoil it, and returns its host.
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

// push stores img or index as ref. It does so with the reference's own client, not with the one under test.
func push(t *testing.T, ref string, what remote.Taggable) {
	t.Helper()
	r := mustReference(t, ref)
	var err error
	switch what := what.(type) {
	case rawManifest: // any bytes, which the client would not send
		req, _ := http.NewRequest(http.MethodPut, "http://"+r.Context().RegistryStr()+"/v2/"+r.Context().RepositoryStr()+"/manifests/"+r.Identifier(), strings.NewReader(what.body))
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

// randomImage returns an image of n layers of size bytes each, for p.
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

// fast is a source for this machine that does not wait long.
func fast(t *testing.T) *Source {
	return &Source{Stall: 300 * time.Millisecond, Backoff: time.Millisecond, Logf: t.Logf, Platform: amd64}
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

// stored returns the bytes of img's layer i as its maker has them.
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
	for _, ref := range []string{host + "/a/b:v1", host + "/a/b@" + digest.String(), host + "/a/b:other@" + digest.String()} {
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

// rawManifest is a manifest by its bytes.
type rawManifest struct {
	body string
	kind types.MediaType
}

func (r rawManifest) RawManifest() ([]byte, error) { return []byte(r.body), nil }

func TestRefused(t *testing.T) {
	host := newRegistry(t, nil)
	push(t, host+"/arm:1", randomImage(t, 100, 1, v1.Platform{OS: "linux", Architecture: "arm64"}))
	push(t, host+"/schema1:1", rawManifest{`{"schemaVersion":1,"name":"x","fsLayers":[{"blobSum":"sha256:` + strings.Repeat("0", 64) + `"}]}`, types.DockerManifestSchema1})
	push(t, host+"/both:1", rawManifest{`{"schemaVersion":2,"manifests":[],"config":{"digest":"sha256:` + strings.Repeat("0", 64) + `"},"layers":[]}`, types.OCIManifestSchema1})
	push(t, host+"/liar:1", rawManifest{`{"schemaVersion":2,"mediaType":"` + string(types.OCIManifestSchema1) + `","manifests":[]}`, types.OCIImageIndex})
	push(t, host+"/nothing:1", rawManifest{`{"schemaVersion":2}`, types.OCIManifestSchema1})
	push(t, host+"/garbage:1", rawManifest{`<html>`, types.OCIManifestSchema1})
	push(t, host+"/huge:1", rawManifest{strings.Repeat(" ", manifestLimit) + `{}`, types.OCIManifestSchema1})
	zero := "sha256:" + strings.Repeat("0", 64)
	push(t, host+"/encrypted:1", rawManifest{`{"schemaVersion":2,"config":{"digest":"` + zero + `"},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip+encrypted","digest":"` + zero + `","size":1}]}`, types.OCIManifestSchema1})
	push(t, host+"/negative:1", rawManifest{`{"schemaVersion":2,"config":{"digest":"` + zero + `"},"layers":[{"digest":"` + zero + `","size":-1}]}`, types.OCIManifestSchema1})

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
	} {
		_, err := fast(t).Resolve(context.Background(), row.ref)
		if err == nil || !strings.Contains(err.Error(), row.want) || Heals(err) {
			t.Errorf("Resolve(%q) = %v (heals: %v), want a lasting error with %q", row.ref, err, Heals(err), row.want)
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
	push(t, host+"/chart:1", rawManifest{fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"%s","size":2},"layers":[]}`, digest), types.OCIManifestSchema1})
	if _, err = fast(t).Resolve(context.Background(), host+"/chart:1"); err == nil || !strings.Contains(err.Error(), "not a container image") {
		t.Errorf("Resolve of a chart = %v, want an error that says it is no image", err)
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
		{"arm64/v8 for arm64", index(entry(armImage, &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"})), arm, armImage, ""},
		{"the best variant", index(entry(plainImage, &amd64), entry(v3Image, &v3), entry(v2Image, &v2)), v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v4"}, v3Image, ""},
		{"no variant above the machine", index(entry(v3Image, &v3), entry(v2Image, &v2)), v2, v2Image, ""},
		{"only variants above the machine", index(entry(v3Image, &v3)), amd64, nil, "only for linux/amd64/v3"},
		{"an attestation is no image", index(entry(plainImage, &unknown)), amd64, nil, "no platform at all"},
		{"another system", index(entry(winImage, &windows)), amd64, nil, "only for windows/amd64"},
		{"no platform said", index(entry(armImage, nil), entry(plainImage, nil)), amd64, plainImage, ""},
		{"no platform said and none right", index(entry(armImage, nil)), amd64, nil, "only for linux/arm64"},
		{"index in index", index(entry(index(entry(armImage, &arm), entry(plainImage, &amd64)), nil)), amd64, plainImage, ""},
		{"two of one platform", index(entry(plainImage, &amd64), entry(v2Image, &amd64)), amd64, plainImage, ""},
		{"Docker's list", mutate.IndexMediaType(index(entry(plainImage, &amd64)), types.DockerManifestList), amd64, plainImage, ""},
		{"empty", index(), amd64, nil, "no platform at all"},
		{"too deep", index(entry(index(entry(index(entry(index(entry(index(entry(plainImage, &amd64)), nil)), nil)), nil)), nil)), amd64, nil, "deep"},
	} {
		t.Run(row.name, func(t *testing.T) {
			host := newRegistry(t, nil)
			push(t, host+"/x:1", row.index)
			s := fast(t)
			s.Platform = row.want
			img, err := s.Resolve(context.Background(), host+"/x:1")
			if row.image == nil {
				if err == nil || !strings.Contains(err.Error(), row.err) || Heals(err) {
					t.Errorf("Resolve = %v, want a lasting error with %q", err, row.err)
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

// A manifest needs no type of its own (OCI image specification), and a registry may know none either.
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
		t.Errorf("Resolve = %v (heals: %v), want a lasting error about the digest", err, Heals(err))
	}
}

// spoil serves an image whose first layer is served by f, and returns a source for it, the image and its layer's bytes.
func spoil(t *testing.T, size int64, f func(w http.ResponseWriter, r *http.Request, blob []byte)) (*Layer, []byte) {
	t.Helper()
	img := randomImage(t, size, 1, amd64)
	blob := stored(t, img, 0)
	layers, _ := img.Layers()
	digest, _ := layers[0].Digest()
	host := newRegistry(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+digest.String()) {
				f(w, r, blob)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, host+"/x:1", img)
	got, err := fast(t).Resolve(context.Background(), host+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	return got.Layers[0], blob
}

// first returns the offset that a request asks to begin at.
func first(r *http.Request) int {
	var n int
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &n)
	return n
}

// The connection breaks every 100 000 bytes.
func TestResume(t *testing.T) {
	const piece = 100_000
	for _, row := range []struct {
		name    string
		ranges  bool
		allowed int64 // bytes sent over what the layer has
	}{
		{"with Range", true, 0},
		{"without Range", false, 1 << 40},
	} {
		t.Run(row.name, func(t *testing.T) {
			var sent atomic.Int64
			breaks := piece
			l, blob := spoil(t, 1_000_000, func(w http.ResponseWriter, r *http.Request, blob []byte) {
				from := 0
				if row.ranges {
					from = first(r)
				}
				rest := blob[from:]
				w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
				if from > 0 {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(blob)-1, len(blob)))
					w.WriteHeader(http.StatusPartialContent)
				}
				n := breaks
				if !row.ranges {
					breaks += piece // it must get further each time, or nothing would ever arrive
				}
				sent.Add(int64(min(n, len(rest))))
				w.Write(rest[:min(n, len(rest))])
			})
			b, err := readAll(t, l)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, blob) {
				t.Error("what arrived is not what was sent")
			}
			if over := sent.Load() - int64(len(blob)); over > row.allowed {
				t.Errorf("%d bytes were sent twice, want none", over)
			}
		})
	}
}

func TestBrokenBlob(t *testing.T) {
	for _, row := range []struct {
		name  string
		serve func(w http.ResponseWriter, r *http.Request, blob []byte)
		want  string
		heals bool
	}{
		{"a flipped bit", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			b := bytes.Clone(blob)
			b[len(b)/2] ^= 1
			w.Write(b)
		}, "its bytes are wrong", true},
		{"a flipped last bit", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			b := bytes.Clone(blob)
			b[len(b)-1] ^= 1
			w.Write(b)
		}, "its bytes are wrong", true},
		{"cut short where it is stored", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			b := blob[:len(blob)-1]
			if from := first(r); from >= len(b) {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			w.Write(b)
		}, "416", false},
		{"cut short, no Range", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			w.Write(blob[:len(blob)/2])
		}, "broke", true},
		{"longer, said so", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(blob)+1))
			w.Write(append(bytes.Clone(blob), 0))
		}, "where the manifest says", true},
		{"longer, not said", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			w.(http.Flusher).Flush()
			w.Write(append(bytes.Clone(blob), 0))
		}, "longer than", true},
		{"not there", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			w.WriteHeader(http.StatusNotFound)
		}, "does not have it", false},
		{"denied", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			w.WriteHeader(http.StatusForbidden)
		}, "denies access", false},
		{"down", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			w.WriteHeader(http.StatusBadGateway)
		}, "502", true},
		{"stalls", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(blob)))
			w.Write(blob[:10])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "no byte for", true},
		{"does not answer", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			<-r.Context().Done()
		}, "no byte for", true},
		{"the wrong part", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			if first(r) > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(blob)-1, len(blob)))
				w.WriteHeader(http.StatusPartialContent)
				w.Write(blob)
				return
			}
			w.Write(blob[:10])
		}, "in place of the bytes from 10 on", true},
		{"resets", func(w http.ResponseWriter, r *http.Request, blob []byte) {
			panic(http.ErrAbortHandler)
		}, "cannot reach", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			l, blob := spoil(t, 20_000, row.serve)
			b, err := readAll(t, l)
			if err == nil || !strings.Contains(err.Error(), row.want) || Heals(err) != row.heals {
				t.Errorf("reading = %v (heals: %v), want an error with %q (heals: %v)", err, Heals(err), row.want, row.heals)
			}
			if len(b) > len(blob) {
				t.Errorf("reading gave %d bytes of %d", len(b), len(blob))
			}
		})
	}
}

// What is wrong in the registry's storage stays wrong.
func TestDamagedForGood(t *testing.T) {
	l, _ := spoil(t, 2000, func(w http.ResponseWriter, r *http.Request, blob []byte) {
		b := bytes.Clone(blob)
		b[0] ^= 1
		w.Write(b)
	})
	for n := 1; n <= maxDamaged; n++ {
		if _, err := readAll(t, l); Heals(err) != (n < maxDamaged) {
			t.Errorf("download %d: Heals(%v) = %v", n, err, Heals(err))
		}
	}
}

// A bit that flips on its way to the configuration is asked for again without troubling anybody.
func TestDamagedConfig(t *testing.T) {
	img := randomImage(t, 100, 1, amd64)
	config, _ := img.ConfigName()
	raw, _ := img.RawConfigFile()
	var asked atomic.Int32
	host := newRegistry(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, config.String()) && asked.Add(1) == 1 {
				b := bytes.Clone(raw)
				b[3] ^= 1
				w.Write(b)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, host+"/x:1", img)
	if _, err := fast(t).Resolve(context.Background(), host+"/x:1"); err != nil || asked.Load() != 2 {
		t.Errorf("Resolve = %v after %d requests, want success after 2", err, asked.Load())
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
		{"not soon", 429, "60", 1000, true, time.Minute},
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
				t.Errorf("Resolve = %v (heals: %v, after %v), want heals: %v, after %v", err, Heals(err), RetryAfter(err), row.heals, row.wait)
			}
			if row.after != "" && asked.Load() > 2 { // the ping asks over https first, which never gets here
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

// The caller's own wish to stop is not a failure of the registry.
func TestCancel(t *testing.T) {
	l, _ := spoil(t, 100_000, func(w http.ResponseWriter, r *http.Request, blob []byte) {
		w.Write(blob[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(context.Background())
	rc, err := l.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = io.ReadAll(rc)
	if !errors.Is(err, context.Canceled) || Heals(err) {
		t.Errorf("reading = %v (heals: %v), want context.Canceled", err, Heals(err))
	}
}

func TestForeignLayer(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	host := newRegistry(t, nil)
	layer, err := random.Layer(100, types.DockerForeignLayer)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.Append(randomImage(t, 100, 1, amd64), mutate.Addendum{Layer: layer, URLs: []string{other.URL + "/layer"}, MediaType: types.DockerForeignLayer})
	if err != nil {
		t.Fatal(err)
	}
	push(t, host+"/x:1", img)
	got, err := fast(t).Resolve(context.Background(), host+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = readAll(t, got.Layers[1])
	if err == nil || !strings.Contains(err.Error(), "foreign") || Heals(err) || elsewhere.Load() != 0 {
		t.Errorf("reading = %v with %d requests to its address, want a lasting error and none", err, elsewhere.Load())
	}
}

// guarded wants user and secret by HTTP's basic scheme, and notes what was shown to it.
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
				// 127.0.0.1 under another port is another host.
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
		t.Errorf("Resolve without credentials = %v, want a lasting error that says so", err)
	}
	s := fast(t)
	s.Auth = func(registry string) authn.Authenticator {
		if registry != host {
			t.Errorf("credentials were asked for %q", registry)
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
	// A storage that is down must not get its address, which is a key to the blob, onto the console.
	storage.Close()
	if _, err := readAll(t, got.Layers[0]); err == nil || strings.Contains(err.Error(), "hidden") || !Heals(err) {
		t.Errorf("reading with the storage down = %v, want one that heals and keeps the signature", err)
	}
}

// Credentials go over TLS, or to this machine.
func TestCredentialsInTheClear(t *testing.T) {
	var reached bool
	w := &wire{secret: true, inner: roundTrip(func(r *http.Request) (*http.Response, error) {
		reached = true
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	})}
	for _, row := range []struct {
		url  string
		auth string
		want bool
	}{
		{"http://10.0.0.1:5000/v2/", "Basic x", false},
		{"http://10.0.0.1:5000/v2/", "", true},
		{"https://10.0.0.1:5000/v2/", "Basic x", true},
		{"http://127.0.0.1:5000/v2/", "Basic x", true},
		{"http://[::1]:5000/v2/", "Basic x", true},
		{"http://localhost:5000/v2/", "Basic x", true},
		{"http://registry.example/v2/", "Bearer x", false},
	} {
		reached = false
		req, _ := http.NewRequest(http.MethodGet, row.url, nil)
		if row.auth != "" {
			req.Header.Set("Authorization", row.auth)
		}
		_, err := w.RoundTrip(req)
		if reached != row.want || (err == nil) != row.want {
			t.Errorf("%s with %q: sent = %v (%v), want %v", row.url, row.auth, reached, err, row.want)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A token server (the Bearer scheme) is asked with the credentials, the registry gets the token.
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
			// Every token is good for the manifest and its configuration, and dies before the layer.
			valid := "Bearer t1"
			if strings.Contains(r.URL.Path, "/blobs/") {
				valid = "Bearer t2"
			}
			if !open.Load() && r.Header.Get("Authorization") != valid {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="here",scope="repository:x:pull"`, host))
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
		t.Errorf("%d tokens were asked for, want 2: the second when the first had run out", tokens.Load())
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
	if err := remote.Write(r, randomImage(t, 1000, 1, amd64), remote.WithTransport(server.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	_, err := fast(t).Resolve(context.Background(), host+"/x:1")
	if err == nil || Heals(err) || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("Resolve = %v (heals: %v), want a lasting error about trust", err, Heals(err))
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
	// The same certificate, a century on.
	tls := s.transport().(*http.Transport).Clone()
	tls.TLSClientConfig.Time = func() time.Time { return time.Now().AddDate(100, 0, 0) }
	late := fast(t)
	late.Transport = tls
	if _, err = late.Resolve(context.Background(), host+"/x:1"); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("Resolve = %v, want an error that mentions the clock", err)
	}
}

func TestCompiledRoots(t *testing.T) {
	if n := len(addRoots(x509.NewCertPool()).Subjects()); n < 100 { //nolint:staticcheck // it is no system pool
		t.Errorf("%d certificate authorities are compiled in, want Mozilla's 100 and more", n)
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		" 7 ":                           7 * time.Second,
		"-7":                            0,
		"99999999999999":                0,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute,
		"Wed, 31 Dec 2025 00:01:00 GMT": 0,
		"soon":                          0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", header, got, want)
		}
	}
}

func mustReference(t *testing.T, ref string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
