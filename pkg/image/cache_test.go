package image

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/registries"
)

// docker's registry is a mirror as a pull-through cache of another one. Once it is filled, images come from it without
// the origin, and where it is down, they come from the origin.
func TestDistributionCache(t *testing.T) {
	t.Parallel()
	for name, mirrors := range map[string]func(s *Source, origin, mirror string) error{
		"short form": func(s *Source, origin, mirror string) error { return s.Registries.AddMirrors(origin, mirror) },
		"registries.conf": func(s *Source, origin, mirror string) (err error) {
			s.Registries, err = registries.Read(mapFS("[[registry]]\nlocation = '" + origin + "'\n" +
				"[[registry.mirror]]\nlocation = '" + mirror + "'\ninsecure = true\n"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const layers = 3
			store := imagetest.Distribution{}.Start(t)
			origin := imagetest.NewFront(t, store.Host, nil)
			cache := imagetest.Distribution{Origin: "http://" + origin.Host}.Start(t)
			mirror := imagetest.NewFront(t, cache.Host, nil)
			img := ociImage(t, 300_000, layers)
			ref := origin.Host + "/team/x:1"
			copyTo(t, ref, img, "--dest-tls-verify=false")

			// pull pulls the image, and checks how often Wyrcan itself has asked each of the two for documents and blobs.
			pull := func(phase, from string, atMirror, atOrigin int) *Image {
				t.Helper()
				mirror.Forget()
				origin.Forget()
				s := fast(t)
				if err := mirrors(s, origin.Host, mirror.Host); err != nil {
					t.Fatal(err)
				}
				got, err := s.Resolve(context.Background(), ref)
				if err != nil {
					t.Fatalf("%s: %v", phase, err)
				}
				for _, l := range got.Layers {
					if b, err := readAll(t, l); err != nil || int64(len(b)) != l.Size {
						t.Errorf("%s: %v has %d bytes, %v", phase, l, len(b), err)
					}
				}
				if got.From != from+"/team/x" {
					t.Errorf("%s: the manifest is from %s, want %s", phase, got.From, from)
				}
				if n := ours(mirror); n != atMirror {
					t.Errorf("%s: the mirror was asked %d times, want %d: %+v", phase, n, atMirror, mirror.Asked())
				}
				if n := ours(origin); n != atOrigin {
					t.Errorf("%s: the origin was asked %d times, want %d: %+v", phase, n, atOrigin, origin.Asked())
				}
				return got
			}
			const all = 2 + 1 + layers // /v2/, the manifest, the configuration, the layers
			got := pull("the cache is empty", mirror.Host, all, 0)
			if len(origin.Asked()) == 0 {
				t.Error("the cache has asked the origin nothing: it is no cache")
			}
			waitFilled(t, cache.Data+"/docker/registry/v2/repositories/team/x", got)

			pull("the cache is full", mirror.Host, all, 0)
			for _, r := range origin.Asked() {
				if strings.Contains(r.Path, "/blobs/") {
					t.Errorf("the cache, which is full, asks the origin for %s", r.Path)
				}
			}
			store.Stop()
			pull("the origin is down", mirror.Host, all, 0)

			imagetest.Distribution{Host: store.Host, Data: store.Data}.Start(t)
			cache.Stop()
			mirror.Stop()
			pull("the mirror is down", origin.Host, 0, all)
		})
	}
}

// ours returns how many requests of Wyrcan a front has seen. A cache that asks its origin has another name.
func ours(f *imagetest.Front) (n int) {
	for _, r := range f.Asked() {
		if r.Agent == "wyrcan" {
			n++
		}
	}
	return n
}

// waitFilled waits until a pull-through cache has stored what it has sent of an image, which it does in the background.
func waitFilled(t *testing.T, repository string, img *Image) {
	t.Helper()
	digests := []v1.Hash{img.ConfigDigest}
	for _, l := range img.Layers {
		digests = append(digests, l.Digest)
	}
	deadline := time.Now().Add(20 * time.Second)
	for _, d := range digests {
		link := filepath.Join(repository, "_layers", d.Algorithm, d.Hex, "link")
		for {
			if b, err := os.ReadFile(link); err == nil && bytes.Contains(b, []byte(d.Hex)) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the cache has not stored %v", d)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// A pull-through cache that has a large layer not yet sends it as a whole, whatever part of it is asked for. That is
// one request, and no byte comes twice.
func TestDistributionCacheLargeLayer(t *testing.T) {
	t.Parallel()
	store := imagetest.Distribution{}.Start(t)
	cache := imagetest.Distribution{Origin: "http://" + store.Host}.Start(t)
	mirror := imagetest.NewFront(t, cache.Host, nil)
	ref := store.Host + "/team/x:1"
	copyTo(t, ref, ociImage(t, largeBlob+2<<20, 1), "--dest-tls-verify=false")
	wire, came := counted()
	s := fast(t)
	s.Transport = wire
	if err := s.Registries.AddMirrors(store.Host, mirror.Host); err != nil {
		t.Fatal(err)
	}
	got, err := s.Resolve(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	layer := got.Layers[0]
	if b, err := readAll(t, layer); err != nil || int64(len(b)) != layer.Size {
		t.Errorf("the layer has %d bytes, %v", len(b), err)
	}
	blobs := 0
	for _, r := range mirror.Asked() {
		if strings.HasSuffix(r.Path, layer.Digest.String()) {
			blobs++
		}
	}
	if blobs != 1 {
		t.Errorf("the layer took %d requests, want 1", blobs)
	}
	if n := came.Load(); n > layer.Size+1<<20 {
		t.Errorf("%d bytes came for a layer of %d", n, layer.Size)
	}
}
