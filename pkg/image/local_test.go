package image

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// writeLayout writes an OCI layout with images, whose names are the keys.
func writeLayout(t *testing.T, dir string, images map[string]v1.Image) {
	t.Helper()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for n, img := range images {
		if err := path.AppendImage(img, layout.WithAnnotations(map[string]string{refName: n})); err != nil {
			t.Fatal(err)
		}
	}
}

// Open reads images that skopeo wrote, in all forms that both support.
func TestSkopeoForms(t *testing.T) {
	dir := t.TempDir()
	img := ociImage(t, 50_000, 3)
	writeLayout(t, dir+"/layout", map[string]v1.Image{"x": img})
	source := "oci:" + dir + "/layout:x"
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ to, open string }{
		{"", source},
		{"", "oci:" + dir + "/layout"},
		{"", dir + "/layout"},
		{"oci-archive:" + dir + "/a.tar:some/name:tag", ""},
		{"oci-archive:" + dir + "/b.tar", dir + "/b.tar"},
		{"docker-archive:" + dir + "/c.tar:registry.example/x/y:z", ""},
		{"docker-archive:" + dir + "/d.tar:x", "docker-archive:" + dir + "/d.tar:docker.io/library/x:latest"},
		{"docker-archive:" + dir + "/e.tar", dir + "/e.tar"},
		{"dir:" + dir + "/f", ""},
		{"dir:" + dir + "/g:h", dir + "/g:h"},
	} {
		if row.to != "" {
			skopeo(t, "copy", source, row.to)
		}
		if row.open == "" {
			row.open = row.to
		}
		got, err := fast(t).Open(context.Background(), row.open)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(got.Layers) != 3 {
			t.Errorf("Open(%q) has %d layers, want 3", row.open, len(got.Layers))
		}
		for i, l := range got.Layers {
			if _, err := readAll(t, l); err != nil || l.DiffID != config.RootFS.DiffIDs[i] {
				t.Errorf("%v of %q is %v, want %v; %v", l, row.open, l.DiffID, config.RootFS.DiffIDs[i], err)
			}
		}
	}
}

// Layers in an archive of docker's form may be compressed, as go-containerregistry's tarball does. Open decompresses
// them.
func TestSavedCompressed(t *testing.T) {
	img := randomImage(t, 20_000, 2, amd64)
	file := filepath.Join(t.TempDir(), "x.tar")
	tag, err := name.NewTag("x:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(file, tag, img); err != nil {
		t.Fatal(err)
	}
	got, err := fast(t).Open(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	layers, _ := img.Layers()
	for i, l := range got.Layers {
		rc, err := layers[i].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		want, _ := io.ReadAll(rc)
		if b, err := readAll(t, l); err != nil || !bytes.Equal(b, want) || l.Size != -1 {
			t.Errorf("%v: %d bytes of %d (Size %d), %v", l, len(b), len(want), l.Size, err)
		}
	}
}

func TestLocalRefused(t *testing.T) {
	dir := t.TempDir()
	good := randomImage(t, 1000, 1, amd64)
	writeLayout(t, dir+"/two", map[string]v1.Image{"a": good, "b": randomImage(t, 100, 1, amd64)})
	writeLayout(t, dir+"/arm", map[string]v1.Image{"a": randomImage(t, 100, 1,
		v1.Platform{OS: "linux", Architecture: "arm64"})})
	writeLayout(t, dir+"/holed", map[string]v1.Image{"a": good})
	digest, _ := good.Digest()
	if err := os.Remove(filepath.Join(dir, "holed/blobs/sha256", digest.Hex)); err != nil {
		t.Fatal(err)
	}
	writeLayout(t, dir+"/flipped", map[string]v1.Image{"a": good})
	if err := os.WriteFile(filepath.Join(dir, "flipped/blobs/sha256", digest.Hex), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeTar(t, dir+"/other.tar", "etc/passwd", "root")
	writeTar(t, dir+"/escapes.tar", "manifest.json", `[{"Config":"../../../../etc/passwd","Layers":[]}]`)
	writeTar(t, dir+"/circle.tar", "manifest.json", `[{"Config":"c.json","Layers":["loop"]}]`, "c.json",
		`{"rootfs":{"diff_ids":["sha256:`+strings.Repeat("0", 64)+`"]}}`)
	writeTar(t, dir+"/uneven.tar", "manifest.json", `[{"Config":"c.json","Layers":["x"]}]`, "c.json", `{}`)
	if err := os.WriteFile(dir+"/not.tar", []byte(strings.Repeat("no archive ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, want string }{
		{"oci:" + dir + "/two", `name one of "a", "b"`},
		{"oci:" + dir + "/two:c", `only "a", "b"`},
		{dir + "/arm", "only for linux/arm64"},
		{dir + "/holed", "no such file"},
		{dir + "/flipped", "has the digest"},
		{"oci:" + dir + "/absent", "no such file"},
		{"oci-archive:" + dir + "/absent", "no such file"},
		{dir + "/absent", "neither an archive nor a layout: stat " + dir + "/absent: no such file"},
		{dir, "neither an archive nor a layout"},
		{"./absent:1", "neither an archive nor a layout"},
		{"..", "neither an archive nor a layout"},
		{dir + "/other.tar", "archive of something else"},
		{dir + "/escapes.tar", "does not exist"},
		{dir + "/circle.tar", `layer 1 ("loop") is not in it`},
		{dir + "/uneven.tar", "1 layers and digests for 0"},
		{dir + "/not.tar", "not an archive that can be read"},
	} {
		if _, err := fast(t).Open(context.Background(), row.name); err == nil ||
			!strings.Contains(err.Error(), row.want) || Heals(err) {
			t.Errorf("Open(%q) = %v, want a permanent error with %q", row.name, err, row.want)
		}
	}
}

// Reading a layer that has changed on the disk does not end with io.EOF.
func TestLayoutDamagedLayer(t *testing.T) {
	dir := t.TempDir()
	img := mutate.MediaType(randomImage(t, 5000, 1, amd64), "application/vnd.oci.image.manifest.v1+json")
	writeLayout(t, dir, map[string]v1.Image{"a": img})
	got, err := fast(t).Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	l := got.Layers[0]
	file := filepath.Join(dir, "blobs/sha256", l.Digest.Hex)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-1] ^= 1
	for want, content := range map[string][]byte{"its bytes are wrong": flipped,
		"it ends after": whole[:len(whole)-1], "it is longer": append(whole, 0)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(t, l); err == nil || !strings.Contains(err.Error(), want) || Heals(err) {
			t.Errorf("reading = %v, want a permanent error with %q", err, want)
		}
	}
}

// writeTar writes an archive with files, given as names and contents in turn, and a link "loop" to itself.
func writeTar(t testing.TB, file string, content ...string) {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for i := 0; i < len(content); i += 2 {
		if err := tw.WriteHeader(&tar.Header{Name: content[i], Size: int64(len(content[i+1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, content[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.WriteHeader(&tar.Header{Name: "loop", Typeflag: tar.TypeSymlink, Linkname: "loop"}); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
