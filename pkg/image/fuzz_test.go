package image

import (
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
)

// anyStore gives one document for every digest.
type anyStore struct{ raw []byte }

func (s anyStore) manifest(context.Context, v1.Descriptor) ([]byte, error) { return s.raw, nil }
func (s anyStore) open(context.Context, v1.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(s.raw))), nil
}
func (s anyStore) String() string { return "the store" }

// FuzzManifest looks for documents that are not refused and yet cannot be used, and for indexes that never end.
func FuzzManifest(f *testing.F) {
	const hash = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for _, s := range []string{
		``, `null`, `[]`, `{}`, `{"schemaVersion":1}`,
		`{"schemaVersion":2,"config":{"digest":"` + hash + `","size":2},"layers":[{"digest":"` + hash + `","size":9}],"rootfs":{"type":"layers","diff_ids":["` + hash + `"]}}`,
		`{"schemaVersion":2,"manifests":[{"digest":"` + hash + `","platform":{"os":"linux","architecture":"amd64","variant":"v9"}}]}`,
		`{"schemaVersion":2,"manifests":[{"digest":"` + hash + `"},{"digest":"` + hash + `"}]}`,
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
		for _, l := range img.Layers {
			if l.Size < 0 || l.Digest.Hex == "" || strings.Contains(l.String(), "\n") {
				t.Errorf("%q has %v of size %d", raw, l, l.Size)
			}
		}
	})
}

// FuzzArchive looks for archives that make Open panic, or that give layers which pass for what they are not.
func FuzzArchive(f *testing.F) {
	for _, content := range [][]string{
		{},
		{"manifest.json", `[{"Config":"c","Layers":["l"]}]`, "c", `{"rootfs":{"diff_ids":["sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"]}}`, "l", "x"},
		{"manifest.json", `[{"Config":"c","Layers":["loop"]}]`, "c", `{}`},
		{"index.json", `{"schemaVersion":2,"manifests":[{"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]}`, "oci-layout", "{}"},
	} {
		file := filepath.Join(f.TempDir(), "x.tar")
		writeTar(f, file, content...)
		raw, err := os.ReadFile(file)
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
		img, err := (&Source{Platform: amd64}).Open(t.Context(), "docker-archive:"+file)
		if err != nil {
			img, err = (&Source{Platform: amd64}).Open(t.Context(), "oci-archive:"+file)
		}
		if err != nil {
			return
		}
		for _, l := range img.Layers {
			rc, err := l.Open(t.Context())
			if err != nil {
				continue
			}
			h := sha256.New()
			if _, err := io.Copy(h, io.LimitReader(rc, 1<<20)); err == nil {
				// The end came, or there is more than a fuzzer makes.
				if n, _ := rc.Read(make([]byte, 1)); n == 0 && l.Digest.Algorithm == "sha256" && fmt.Sprintf("%x", h.Sum(nil)) != l.Digest.Hex {
					t.Errorf("%v of %q ends well with another digest", l, raw)
				}
			}
			rc.Close()
		}
	})
}
