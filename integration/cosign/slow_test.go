//go:build slow

// Package cosign holds package policy against the program whose signatures it verifies.
package cosign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
)

// version is the release whose signatures docs/trust.md speaks of. It is built outside of this module, which needs
// none of its dependencies.
const version = "v3.1.3"

// A cosign is the program, with an empty home.
type cosign struct{ program, dir string }

func build(t *testing.T) cosign {
	t.Helper()
	c := cosign{dir: t.TempDir()}
	c.program = filepath.Join(c.dir, "cosign")
	cmd := exec.Command("go", "install", "github.com/sigstore/cosign/v3/cmd/cosign@"+version)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), "GOBIN="+c.dir, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build cosign: %v\n%s", err, out)
	}
	return c
}

// try runs cosign.
func (c cosign) try(args ...string) ([]byte, error) {
	cmd := exec.Command(c.program, args...)
	// Nothing that it may want to ask on the network is there.
	cmd.Dir, cmd.Env = c.dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "COSIGN_PASSWORD=",
		"NO_PROXY=127.0.0.1", "HTTPS_PROXY=http://127.0.0.1:9"}
	return cmd.CombinedOutput()
}

func (c cosign) run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := c.try(args...); err != nil {
		t.Fatalf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// key imports a key under a name, and returns its public half.
func (c cosign) key(t *testing.T, called string, private crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.dir, called+".pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(t, "import-key-pair", "--key", file, "--output-key-prefix", called)
	public, err := os.ReadFile(filepath.Join(c.dir, called+".pub"))
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// sign signs an image, in the new form or in the old one, without the network.
func (c cosign) sign(t *testing.T, key, ref string, bundle bool, more ...string) {
	t.Helper()
	args := []string{"sign", "--yes", "--key", key + ".key", "--tlog-upload=false", "--use-signing-config=false",
		fmt.Sprintf("--new-bundle-format=%v", bundle), "--allow-http-registry", "--allow-insecure-registry"}
	c.run(t, append(append(args, more...), ref)...)
}

// keys are one of each kind that cosign takes.
func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	must := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{
		"p256":    must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"p384":    must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"p521":    must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"rsa2048": must(rsa.GenerateKey(rand.Reader, 2048)),
		"rsa4096": must(rsa.GenerateKey(rand.Reader, 4096)),
		"ed25519": must(ed, err),
	}
}

// check has the policy for some keys, with more fields perhaps, decide about an image.
func check(t *testing.T, ref, more string, keys ...[]byte) (policy.Verdict, error) {
	t.Helper()
	var datas []string
	for _, k := range keys {
		datas = append(datas, `"`+base64.StdEncoding.EncodeToString(k)+`"`)
	}
	text := `{"default":[{"type":"sigstoreSigned","keyDatas":[` + strings.Join(datas, ",") + `]` + more + `}]}`
	p, err := policy.Parse([]byte(text), "test")
	if err != nil {
		t.Fatal(err)
	}
	img, err := (&image.Source{Logf: t.Logf}).Resolve(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Policies{p}.Check(context.Background(), img)
}

func accepts(t *testing.T, ref, more string, keys ...[]byte) {
	t.Helper()
	if v, err := check(t, ref, more, keys...); err != nil || !v.Signed {
		t.Errorf("%s: %+v, %v, want it accepted", ref, v, err)
	}
}

func refuses(t *testing.T, ref, more string, keys ...[]byte) {
	t.Helper()
	if v, err := check(t, ref, more, keys...); !policy.Refused(err) {
		t.Errorf("%s: %+v, %v, want it refused", ref, v, err)
	}
}

// TestSlowCosign has the real cosign sign, and verify.
func TestSlowCosign(t *testing.T) {
	c := build(t)
	t.Run("signs", func(t *testing.T) { signs(t, c) })
	t.Run("signs an index", func(t *testing.T) { signsIndex(t, c) })
	t.Run("verifies", func(t *testing.T) { verifies(t, c) })
}

// signs has it sign with every kind of key and in both forms, at a registry that lists referrers and at one that does
// not.
func signs(t *testing.T, c cosign) {
	public := make(map[string][]byte)
	for kind, private := range keys(t) {
		public[kind] = c.key(t, kind, private)
	}
	stranger := c.key(t, "stranger", keys(t)["p256"])
	hosts := map[string]string{
		"with referrers":    imagetest.Serve(t).Host,
		"without referrers": imagetest.Distribution{}.Start(t).Host,
	}
	for registry, host := range hosts {
		for _, bundle := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, bundle %v", registry, bundle), func(t *testing.T) {
				for kind := range public {
					ref := push(t, host, fmt.Sprintf("%s-%v", kind, bundle))
					refuses(t, ref, "", public[kind])
					c.sign(t, kind, ref, bundle)
					accepts(t, ref, "", public[kind])
					refuses(t, ref, "", stranger)
					refuses(t, ref, `,"threshold":2`, public[kind], stranger)
					refuses(t, ref, `,"minVersion":"1"`, public[kind])
				}
				// Two signatures of one image, one of which says its version.
				ref := push(t, host, fmt.Sprintf("two-%v", bundle))
				c.sign(t, "p256", ref, bundle, "-a", "org.opencontainers.image.version=1.4.2", "-a",
					"org.opencontainers.image.created=2026-11-27T08:00:00Z")
				c.sign(t, "ed25519", ref, bundle)
				both := `,"threshold":2`
				accepts(t, ref, both, public["p256"], public["ed25519"])
				refuses(t, ref, both, public["p256"], public["p384"])
				accepts(t, ref, `,"minVersion":"1.4.2","notBefore":"2026-11-27"`, public["p256"])
				refuses(t, ref, `,"minVersion":"1.4.3"`, public["p256"])
				refuses(t, ref, `,"notBefore":"2026-11-28"`, public["p256"])
				refuses(t, ref, `,"minVersion":"1.4.2"`, public["ed25519"])

				// The same key again does not make two.
				again := push(t, host, fmt.Sprintf("again-%v", bundle))
				c.sign(t, "p256", again, bundle)
				c.sign(t, "p256", again, bundle, "-a", "x=y")
				refuses(t, again, both, public["p256"], public["ed25519"])

				// Another statement for the same digest, with the same key.
				stated := push(t, host, fmt.Sprintf("stated-%v", bundle))
				c.attest(t, "p256", stated, bundle)
				refuses(t, stated, "", public["p256"])
				c.sign(t, "p256", stated, bundle)
				accepts(t, stated, "", public["p256"])
			})
		}
	}
}

// attest states something else about an image.
func (c cosign) attest(t *testing.T, key, ref string, bundle bool) {
	t.Helper()
	file := filepath.Join(c.dir, "predicate.json")
	if err := os.WriteFile(file, []byte(`{"buildDefinition":{},"runDetails":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(t, "attest", "--yes", "--key", key+".key", "--type", "slsaprovenance1", "--predicate", file,
		"--tlog-upload=false", "--use-signing-config=false",
		fmt.Sprintf("--new-bundle-format=%v", bundle), "--allow-http-registry", "--allow-insecure-registry", ref)
}

// signsIndex has it sign an index, which is what it does unless told otherwise, and each image in one.
func signsIndex(t *testing.T, c cosign) {
	public := c.key(t, "key", keys(t)["p256"])
	host := imagetest.Distribution{}.Start(t).Host
	for _, bundle := range []bool{true, false} {
		for _, recursive := range []bool{false, true} {
			repo := fmt.Sprintf("index-%v-%v", bundle, recursive)
			here := imagetest.Image(t, imagetest.Files(imagetest.File("a", repo)))
			other := imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: "s390x"}}.Image(t)
			index := imagetest.Index(t, other, here)
			ref, err := name.ParseReference(host+"/"+repo+":1", name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.WriteIndex(ref, index); err != nil {
				t.Fatal(err)
			}
			at := ref.Context().Digest(imagetest.Digest(t, index)).Name()
			alone := ref.Context().Digest(imagetest.Digest(t, here)).Name()
			refuses(t, ref.Name(), "", public)
			c.sign(t, "key", at, bundle, fmt.Sprintf("--recursive=%v", recursive))
			accepts(t, ref.Name(), "", public)
			if recursive {
				accepts(t, alone, "", public)
			} else {
				refuses(t, alone, "", public)
			}
		}
	}
}

// verifies has it verify what the tests' own signer makes, so that they test with the right thing.
func verifies(t *testing.T, c cosign) {
	reg := imagetest.Serve(t)
	s := imagetest.NewSigner(t, "P-256")
	if err := os.WriteFile(filepath.Join(c.dir, "s.pub"), s.Public(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bundle := range []bool{true, false} {
		repo := fmt.Sprintf("own-%v", bundle)
		img := imagetest.Image(t, imagetest.Files(imagetest.File("a", repo)))
		ref, digest := reg.Push(t, repo+":1", img), imagetest.Digest(t, img)
		verify := func() ([]byte, error) {
			return c.try("verify", "--key", "s.pub", "--insecure-ignore-tlog", "--allow-http-registry",
				"--allow-insecure-registry",
				fmt.Sprintf("--new-bundle-format=%v", bundle), reg.Host+"/"+repo+"@"+digest)
		}
		if out, err := verify(); err == nil {
			t.Fatalf("without a signature: %s", out)
		}
		if bundle {
			reg.AttachBundle(t, repo, digest, s.Bundle(t, digest, imagetest.SignPredicate, map[string]any{}))
		} else {
			reg.AttachSimple(t, repo, digest, s.Simple(t, reg.Host+"/"+repo, digest, nil))
		}
		if out, err := verify(); err != nil || !bytes.Contains(out, []byte(digest)) {
			t.Errorf("bundle %v: %v\n%s", bundle, err, out)
		}
		accepts(t, ref, "", s.Public(t))
	}
}

// push stores an image of its own and returns its name by digest.
func push(t *testing.T, host, repo string) string {
	t.Helper()
	img := imagetest.Image(t, imagetest.Files(imagetest.File("a", repo)))
	ref, err := name.ParseReference(host+"/"+repo+":1", name.Insecure)
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ref.Context().Digest(imagetest.Digest(t, img)).Name()
}
