package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/compression/foreign"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// anyStore returns the same document for every digest.
type anyStore struct{ raw []byte }

func (s anyStore) manifest(context.Context, v1.Descriptor) ([]byte, error) { return s.raw, nil }
func (s anyStore) open(context.Context, v1.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(s.raw))), nil
}
func (s anyStore) String() string { return "the store" }

// FuzzManifest looks for documents that are accepted but cannot be used, and for indexes that never end.
func FuzzManifest(f *testing.F) {
	const hash = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for _, s := range []string{
		``, `null`, `[]`, `{}`, `{"schemaVersion":1}`,
		`{"schemaVersion":2,"config":{"digest":"` + hash + `","size":2},"layers":[{"digest":"` +
			hash + `","size":9}],"rootfs":{"type":"layers","diff_ids":["` + hash + `"]}}`,
		`{"schemaVersion":2,"manifests":[{"digest":"` +
			hash + `","platform":{"os":"linux","architecture":"amd64","variant":"v9"}}]}`,
		`{"schemaVersion":2,"manifests":[{"digest":"` + hash + `"},{"digest":"` + hash + `"}]}`,
		`{"schemaVersion":2,"config":{"digest":"` + hash + `","size":2},"layers":[{"digest":"` +
			hash + `","size":9}],"artifactType":"a","os":"linux","architecture":"x86_64","rootfs":{"diff_ids":["` +
			hash + `"]},"config":{"digest":"` + hash + `","size":1,"Labels":[],"Healthcheck":{"Interval":"30s"}}}`,
		`{"schemaVersion":2,"manifests":[{"digest":"blake3:0","size":"x"},7,null,{"digest":"` +
			hash + `","platform":"linux/amd64","urls":7},{"digest":"` +
			hash + `","platform":{"architecture":"amd64","os.features":["x"]},"artifactType":"a"}]}`,
		`{"manifests":[{"digest":"sha256:"}]}`, `{"manifests":null,"layers":null,"config":null}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := resolver{store: anyStore{raw}, want: amd64, logf: t.Logf}
		img, err := r.image(t.Context(), "x", raw)
		if err != nil {
			var known *fault
			if !errors.As(err, &known) {
				t.Errorf("%q: %v is not an error of this package", raw, err)
			}
			return
		}
		if !json.Valid(raw) || img.Config == nil || img.Digest.Hex == "" {
			t.Errorf("%q makes the image %+v", raw, img)
		}
		if n := len(img.Config.RootFS.DiffIDs); n != len(img.Layers) {
			t.Errorf("%q has %d layers and digests for %d", raw, len(img.Layers), n)
		}
		for _, l := range img.Layers {
			if l.Size < 0 || l.Digest.Hex == "" || l.DiffID.Hex == "" || strings.Contains(l.String(), "\n") {
				t.Errorf("%q has %v of size %d", raw, l, l.Size)
			}
		}
	})
}

// FuzzConfig looks for accepted configurations with digests that cannot be verified, and for platforms that change when
// they are normalized a second time.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `null`, `[]`, `{"os":7,"architecture":"X86-64","variant":"8","rootfs":{"type":"layers",` +
			`"diff_ids":["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",7]}}`,
		`{"created":"","config":{"Entrypoint":"x","Labels":[],"Healthcheck":{"Interval":"30s"}},` +
			`"history":[{"created":""}]}`, `{"architecture":"armhf","variant":"7"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		config, err := parseConfig(raw)
		if err != nil {
			return
		}
		for _, id := range config.RootFS.DiffIDs {
			if _, err := v1.Hasher(id.Algorithm); err != nil {
				t.Errorf("%q: the digest %v is accepted", raw, id)
			}
		}
		if p := madeFor(config); !p.Equals(Normalize(p)) {
			t.Errorf("%q: the platform %v is not normal", raw, p)
		}
	})
}

// FuzzArchive looks for archives that make Open panic, or whose layers end without an error but with a wrong digest.
func FuzzArchive(f *testing.F) {
	for _, content := range [][]string{
		{},
		{"manifest.json", `[{"Config":"c","Layers":["l"]}]`, "c",
			`{"rootfs":{"diff_ids":["sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"]}}`, "l", "x"},
		{"manifest.json", `[{"Config":"c","Layers":["loop"]}]`, "c", `{}`},
		{"index.json", `{"schemaVersion":2,"manifests":[{"digest":"sha256:` + strings.Repeat("a", 64) + `"}]}`,
			"oci-layout", "{}"},
	} {
		file := filepath.Join(f.TempDir(), "x.tar")
		writeTar(f, file, content...)
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		var packed bytes.Buffer
		zw := gzip.NewWriter(&packed)
		zw.Write(raw) // never fails
		zw.Close()
		f.Add(packed.Bytes())
	}
	for _, l := range []imagetest.Layer{
		imagetest.Files(imagetest.PAXSparse("index.json", `{"manifests":[]}`, 0, 1<<40)),
		imagetest.Files(imagetest.PAXSparse("manifest.json", "[{}]", 10, 20), imagetest.FIFO("index.json"),
			imagetest.Link("oci-layout", "manifest.json")),
	} {
		raw, err := l.Archive()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		file := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s := &Source{Platform: amd64, Formats: foreign.Formats()}
		img, err := s.Open(t.Context(), "docker-archive:"+file)
		if err != nil {
			img, err = s.Open(t.Context(), "oci-archive:"+file+":@0")
		}
		if err != nil {
			return
		}
		if n := len(img.Config.RootFS.DiffIDs); n != len(img.Layers) {
			t.Errorf("%q has %d layers and digests for %d", raw, len(img.Layers), n)
		}
		for _, l := range img.Layers {
			rc, err := l.Open(t.Context())
			if err != nil {
				continue
			}
			h := sha256.New()
			if _, err := io.Copy(h, io.LimitReader(rc, 1<<20)); err == nil {
				// Check the digest if this was the end. A longer layer does not come from the fuzzer.
				if n, _ := rc.Read(make([]byte, 1)); n == 0 && l.Digest.Algorithm == "sha256" &&
					fmt.Sprintf("%x", h.Sum(nil)) != l.Digest.Hex {
					t.Errorf("%v of %q ends well with another digest", l, raw)
				}
			}
			rc.Close()
		}
	})
}
