package image

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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

// htpasswd holds bcrypt of "s3cret", the only hash that docker's registry accepts.
const htpasswd = "wyr:$2b$04$Woli4x.QyxWjK/5SvvazNu84BX3ECu1QktSXD/.TcKnGy6sRrBoKS\n"

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
	host := imagetest.Distribution(t, "", "")
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
	dir := t.TempDir()
	cert, roots := selfSigned(t, dir)
	if err := os.WriteFile(dir+"/htpasswd", []byte(htpasswd), 0o600); err != nil {
		t.Fatal(err)
	}
	s := fast(t)
	s.Roots = roots
	s.Auth = func(string) authn.Authenticator { return &authn.Basic{Username: "wyr", Password: "s3cret"} }
	host := imagetest.Distribution(t,
		fmt.Sprintf(", tls: {certificate: %s, key: %s/key.pem}", cert, dir),
		fmt.Sprintf("auth: {htpasswd: {realm: wyr, path: %s/htpasswd}}\n", dir))

	img := ociImage(t, 10_000, 2)
	path, err := layout.Write(dir+"/layout", empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(img, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"})); err != nil {
		t.Fatal(err)
	}
	skopeo(t, "copy", "--dest-cert-dir", dir, "--dest-creds", "wyr:s3cret", "oci:"+dir+"/layout", "docker://"+host+"/x:1")
	got, err := s.Resolve(context.Background(), host+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range got.Layers {
		if _, err := readAll(t, l); err != nil {
			t.Errorf("%v: %v", l, err)
		}
	}
	s.Auth = nil
	if _, err := s.Resolve(context.Background(), host+"/x:1"); err == nil || Heals(err) ||
		!strings.Contains(err.Error(), "needs credentials") {
		t.Errorf("Resolve without the password = %v", err)
	}
}

// selfSigned writes a certificate for this machine to ca.crt, where skopeo looks for it, and its key to key.pem.
func selfSigned(t *testing.T, dir string) (string, *x509.CertPool) {
	t.Helper()
	a := nettest.NewAuthority(t, x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	cert, key := a.PEM(t)
	for name, b := range map[string][]byte{"ca.crt": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "ca.crt"), a.Pool()
}
