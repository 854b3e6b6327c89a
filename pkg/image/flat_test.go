package image

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// An image for several platforms, as skopeo copies it whole to dir:. Each platform gets its own.
func TestFlatIndex(t *testing.T) {
	dir := t.TempDir()
	var index v1.ImageIndex = empty.Index
	for i, arch := range []string{"amd64", "arm64"} {
		p := v1.Platform{OS: "linux", Architecture: arch}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: ociImage(t, 1000, i+1), Descriptor: v1.Descriptor{Platform: &p},
		})
	}
	path, err := layout.Write(dir+"/layout", empty.Index)
	if err == nil {
		err = path.AppendIndex(index)
	}
	if err != nil {
		t.Fatal(err)
	}
	skopeo(t, "copy", "--all", "oci:"+dir+"/layout", "dir:"+dir+"/flat")
	raw, err := os.ReadFile(dir + "/flat/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	want, err := digest("sha256", raw)
	if err != nil {
		t.Fatal(err)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		s := fast(t)
		s.Platform = v1.Platform{OS: "linux", Architecture: arch}
		img, err := s.Open(context.Background(), "dir:"+dir+"/flat")
		if err != nil {
			t.Error(err)
			continue
		}
		if len(img.Layers) != i+1 || img.Root != want {
			t.Errorf("%s: %d layers of %v, want %d of %v", arch, len(img.Layers), img.Root, i+1, want)
		}
		for _, l := range img.Layers {
			if _, err := readAll(t, l); err != nil {
				t.Error(err)
			}
		}
	}
}

// What is damaged, missing or hostile in such a directory is refused.
func TestFlatRefused(t *testing.T) {
	dir := t.TempDir()
	writeLayout(t, dir+"/layout", map[string]v1.Image{"x": ociImage(t, 1000, 1)})
	for _, row := range []struct {
		name  string
		spoil func(flat, blob string) error
		want  string // "": only when the layer is read
	}{
		{"manifest missing", func(flat, _ string) error { return os.Remove(flat + "/manifest.json") }, "no such file"},
		{"of docker save", func(flat, _ string) error {
			return os.WriteFile(flat+"/manifest.json", []byte(`[{"Config":"../../x","Layers":[]}]`), 0o600)
		}, "is no manifest"},
		{"leads out", func(flat, _ string) error {
			return os.WriteFile(flat+"/manifest.json", []byte(`{"schemaVersion":2,"config":{"size":2,`+
				`"digest":"sha256:../../../../etc/passwd"},"layers":[]}`), 0o600)
		}, "is none that can be verified"},
		{"layer missing", func(_, blob string) error { return os.Remove(blob) }, "is not in the directory"},
		{"layer a pipe", func(_, blob string) error {
			if err := os.Remove(blob); err != nil {
				return err
			}
			return syscall.Mkfifo(blob, 0o600)
		}, "not a regular file"},
		{"layer short", func(_, blob string) error { return os.Truncate(blob, 10) }, "10 bytes where the manifest says"},
		{"layer changed", func(_, blob string) error {
			b, err := os.ReadFile(blob)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(blob, b, 0o600)
		}, ""},
	} {
		flat := filepath.Join(dir, strings.ReplaceAll(row.name, " ", "-"))
		skopeo(t, "copy", "oci:"+dir+"/layout:x", "dir:"+flat)
		img, err := fast(t).Open(context.Background(), "dir:"+flat)
		if err != nil {
			t.Fatal(err)
		}
		if err := row.spoil(flat, filepath.Join(flat, img.Layers[0].Digest.Hex)); err != nil {
			t.Fatal(err)
		}
		img, err = fast(t).Open(context.Background(), "dir:"+flat)
		if row.want == "" && err == nil {
			if _, err = readAll(t, img.Layers[0]); err == nil {
				t.Errorf("%s: the layer is read", row.name)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), row.want) || Heals(err) {
			t.Errorf("%s: %v, want a permanent error with %q", row.name, err, row.want)
		}
	}
}

// Digests of another kind have their kind in the name of the file.
func TestFlatPath(t *testing.T) {
	var got []string
	for _, h := range []v1.Hash{{Algorithm: "sha256", Hex: "ab"}, {Algorithm: "sha512", Hex: "cd"}} {
		got = append(got, blobs{flat: true}.path(h))
	}
	if want := []string{"ab", "sha512-cd"}; !slices.Equal(got, want) {
		t.Errorf("the paths are %q, want %q", got, want)
	}
}
