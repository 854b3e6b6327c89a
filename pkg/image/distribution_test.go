package image

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// skopeo runs skopeo with a home directory of its own, because skopeo remembers what it has pushed.
func skopeo(t *testing.T, args ...string) {
	t.Helper()
	imagetest.NeedsPrograms(t, "skopeo")
	home := t.TempDir()
	cmd := exec.Command("skopeo", append([]string{"--insecure-policy"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+home, "XDG_DATA_HOME="+home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("skopeo %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// login is what the servers of package imagetest want, and credentials is the same for skopeo.
var login = &authn.Basic{Username: imagetest.User, Password: imagetest.Password}

const credentials = imagetest.User + ":" + imagetest.Password

// copyTo has skopeo push an image, with further options.
func copyTo(t *testing.T, ref string, img v1.Image, options ...string) {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(img, layout.WithPlatform(amd64)); err != nil {
		t.Fatal(err)
	}
	skopeo(t, append(append([]string{"copy"}, options...), "oci:"+dir, "docker://"+ref)...)
}

// ociImage returns an image of n layers with OCI's media types only: skopeo ignores images with others in a layout.
func ociImage(t *testing.T, size int64, n int) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for range n {
		layer, err := random.Layer(size, types.OCILayer)
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = amd64.OS, amd64.Architecture
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// Resolve works with docker's own registry. skopeo pushes the image, with both kinds of manifests and recompressed.
func TestDistribution(t *testing.T) {
	t.Parallel()
	host := imagetest.Distribution{}.Start(t).Host
	img := ociImage(t, 300_000, 3)
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(img, layout.WithAnnotations(map[string]string{refName: "x"})); err != nil {
		t.Fatal(err)
	}
	ids, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range [][]string{
		{"--format", "oci"},
		{"--format", "v2s2"},
		{"--format", "oci", "--dest-compress-format", "zstd"},
	} {
		ref := host + "/some/deep/path:" + strings.ReplaceAll(row[len(row)-1], "-", "")
		skopeo(t, append(append([]string{"copy", "--dest-tls-verify=false"}, row...), "oci:"+dir+":x", "docker://"+ref)...)
		got, err := fast(t).Resolve(context.Background(), ref)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range got.Layers {
			if b, err := readAll(t, l); err != nil || int64(len(b)) != l.Size {
				t.Errorf("%v of %s: %d bytes, %v", l, ref, len(b), err)
			}
			if l.DiffID != ids.RootFS.DiffIDs[i] {
				t.Errorf("%v of %s is %v, want %v", l, ref, l.DiffID, ids.RootFS.DiffIDs[i])
			}
		}
		// docker's registry supports Range: resume in the middle.
		l := got.Layers[0]
		whole, _ := readAll(t, l)
		b := &blob{
			ctx: context.Background(), registry: connected(t, ref), digest: l.Digest, size: l.Size,
			offset: 1000, end: l.Size,
		}
		rest := make([]byte, 10)
		if _, err := b.Read(rest); err != nil || !bytes.Equal(rest, whole[1000:1010]) {
			t.Errorf("Range from 1000 of %s: %v", ref, err)
		}
		b.Close()
	}
	if _, err := fast(t).Resolve(context.Background(), host+"/some/deep/path:absent"); err == nil ||
		!strings.Contains(err.Error(), "does not have it") {
		t.Errorf("Resolve of a tag that is not there = %v", err)
	}
}

// connected returns a connection to the repository of ref.
func connected(t *testing.T, ref string) *registry {
	t.Helper()
	s := fast(t)
	reg, err := s.connect(context.Background(), &place{source: s, ref: mustReference(t, ref)})
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// The same over TLS with a private certificate authority, and with a password.
func TestDistributionWithTLSAndPassword(t *testing.T) {
	t.Parallel()
	a := nettest.Named(t, "test")
	s := fast(t)
	s.Roots = a.Pool()
	s.Auth = func(string) authn.Authenticator { return login }
	ref := imagetest.Distribution{TLS: a, Login: true}.Start(t).Host + "/x:1"
	copyTo(t, ref, ociImage(t, 10_000, 2), "--dest-cert-dir", a.CertDir(t), "--dest-creds", credentials)
	got, err := s.Resolve(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range got.Layers {
		if _, err := readAll(t, l); err != nil {
			t.Errorf("%v: %v", l, err)
		}
	}
	s.Auth = nil
	if _, err := s.Resolve(context.Background(), ref); err == nil || Heals(err) ||
		!strings.Contains(err.Error(), "needs credentials") {
		t.Errorf("Resolve without the password = %v", err)
	}
}
