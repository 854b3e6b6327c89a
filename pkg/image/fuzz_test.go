package image

import (
	"context"
	"encoding/json"
	"errors"
	"io"
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
