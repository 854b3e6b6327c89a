package imagetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// SignerKinds are the kinds of keys, and of signatures with them, that cosign makes.
var SignerKinds = []string{"P-256", "P-384", "P-521", "P-384 with SHA-256", "RSA", "RSA-PSS", "Ed25519", "Ed25519ph"}

// A Signer signs images as cosign does.
type Signer struct {
	kind string
	key  crypto.Signer
}

// NewSigner makes a key of one of SignerKinds.
func NewSigner(t testing.TB, kind string) *Signer {
	t.Helper()
	s := &Signer{kind: kind}
	var err error
	switch {
	case kind == "P-256":
		s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case strings.HasPrefix(kind, "P-384"):
		s.key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case kind == "P-521":
		s.key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case strings.HasPrefix(kind, "RSA"):
		s.key, err = rsa.GenerateKey(rand.Reader, 2048)
	case strings.HasPrefix(kind, "Ed25519"):
		_, s.key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("%q is no kind of key", kind)
	}
	if err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	return s
}

// Public is the public key in PEM form, as cosign.pub has it.
func (s *Signer) Public(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Sign returns the signature of a message.
func (s *Signer) Sign(t testing.TB, message []byte) []byte {
	t.Helper()
	h256, h384, h512 := sha256.Sum256(message), sha512.Sum384(message), sha512.Sum512(message)
	digest, opts := h256[:], crypto.SignerOpts(crypto.SHA256)
	switch s.kind {
	case "P-384":
		digest, opts = h384[:], crypto.SHA384
	case "P-521", "Ed25519ph":
		digest, opts = h512[:], crypto.SHA512
	case "RSA-PSS":
		opts = &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: rsa.PSSSaltLengthEqualsHash}
	case "Ed25519":
		digest, opts = message, crypto.Hash(0)
	}
	sig, err := s.key.Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	return sig
}

// Simple is a signature in the old form: the layer of a manifest, and its annotation.
type Simple struct {
	Payload   []byte
	Signature string
}

// Simple signs the digest of a manifest in the old form, as an image called reference. notes are annotations.
func (s *Signer) Simple(t testing.TB, reference, digest string, notes map[string]any) Simple {
	t.Helper()
	payload := mustJSON(map[string]any{
		"critical": map[string]any{
			"identity": map[string]any{"docker-reference": reference},
			"image":    map[string]any{"docker-manifest-digest": digest},
			"type":     "cosign container image signature",
		},
		"optional": notes,
	})
	return s.SimpleOf(t, payload)
}

// SimpleOf signs any payload in the old form.
func (s *Signer) SimpleOf(t testing.TB, payload []byte) Simple {
	t.Helper()
	return Simple{payload, base64.StdEncoding.EncodeToString(s.Sign(t, payload))}
}

// SignPredicate is the type of the statements by which cosign signs an image.
const SignPredicate = "https://sigstore.dev/cosign/sign/v1"

// Bundle signs the digest of a manifest in the new form. notes are annotations.
func (s *Signer) Bundle(t testing.TB, digest, predicate string, notes map[string]any) []byte {
	t.Helper()
	algorithm, hex, _ := strings.Cut(digest, ":")
	return s.BundleOf(t, mustJSON(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": map[string]any{},
		"subject": []any{map[string]any{"digest": map[string]any{algorithm: hex}, "annotations": notes}},
	}))
}

// BundleOf signs any statement in the new form.
func (s *Signer) BundleOf(t testing.TB, statement []byte) []byte {
	t.Helper()
	const payloadType = "application/vnd.in-toto+json"
	pae := fmt.Sprintf("DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(statement), statement)
	return mustJSON(map[string]any{
		"mediaType":            BundleType,
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "none"}},
		"dsseEnvelope": map[string]any{
			"payload": statement, "payloadType": payloadType, // encoding/json writes bytes in base64
			"signatures": []any{map[string]any{"sig": s.Sign(t, []byte(pae))}},
		},
	})
}

// BundleType is the media type of a signature in the new form.
const BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// AttachSimple stores signatures in the old form beside the manifest of repo, "debian" for instance, with a digest: as
// the layers of a manifest with cosign's tag. It takes the place of what was there.
func (r *Registry) AttachSimple(t testing.TB, repo, digest string, sigs ...Simple) {
	t.Helper()
	var layers []any
	for _, sig := range sigs {
		d := r.blob(t, repo, "application/vnd.dev.cosign.simplesigning.v1+json", sig.Payload)
		d["annotations"] = map[string]string{"dev.cosignproject.cosign/signature": sig.Signature}
		layers = append(layers, d)
	}
	config := r.blob(t, repo, "application/vnd.oci.image.config.v1+json", []byte("{}"))
	r.PutManifest(t, repo+":"+strings.Replace(digest, ":", "-", 1)+".sig", types.OCIManifestSchema1,
		map[string]any{"schemaVersion": 2, "config": config, "layers": layers})
}

// AttachBundle stores a signature in the new form as one that refers to the manifest with a digest. It returns its
// descriptor.
func (r *Registry) AttachBundle(t testing.TB, repo, digest string, bundle []byte) map[string]any {
	t.Helper()
	config := r.blob(t, repo, "application/vnd.oci.empty.v1+json", []byte("{}"))
	return r.PutManifest(t, repo, types.OCIManifestSchema1, map[string]any{
		"schemaVersion": 2, "mediaType": string(types.OCIManifestSchema1), "artifactType": BundleType, "config": config,
		"layers":  []any{r.blob(t, repo, BundleType, bundle)},
		"subject": map[string]any{"mediaType": string(types.OCIManifestSchema1), "digest": digest, "size": 1},
	})
}

// AttachUnderTag stores an index of the manifests that refer to the one with a digest, as clients do at a registry that
// cannot list them.
func (r *Registry) AttachUnderTag(t testing.TB, repo, digest string, descriptors ...map[string]any) {
	t.Helper()
	r.PutManifest(t, repo+":"+strings.Replace(digest, ":", "-", 1), types.OCIImageIndex,
		map[string]any{"schemaVersion": 2, "mediaType": string(types.OCIImageIndex), "manifests": descriptors})
}

// blob stores a blob and returns its descriptor.
func (r *Registry) blob(t testing.TB, repo, mediaType string, content []byte) map[string]any {
	t.Helper()
	to, err := name.NewRepository(r.Host+"/"+repo, name.Insecure)
	if err == nil {
		err = remote.WriteLayer(to, static.NewLayer(content, types.OCILayer), remote.WithTransport(direct{r.store}))
	}
	if err != nil {
		t.Fatalf("imagetest: cannot push a blob to %q: %v", repo, err)
	}
	return map[string]any{
		"mediaType": mediaType, "size": len(content), "digest": fmt.Sprintf("sha256:%x", sha256.Sum256(content)),
	}
}

// PutManifest stores a manifest as repo, "debian:12" for instance, or by its digest where that has no tag. It returns
// the descriptor.
func (r *Registry) PutManifest(t testing.TB, repo string, kind types.MediaType, doc any) map[string]any {
	t.Helper()
	raw := mustJSON(doc)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(raw))
	if !strings.Contains(repo, ":") {
		repo += "@" + digest
	}
	r.Push(t, repo, document{raw, kind})
	d := map[string]any{"mediaType": string(kind), "size": len(raw), "digest": digest}
	var typed struct {
		ArtifactType string `json:"artifactType"`
	}
	if json.Unmarshal(raw, &typed) == nil && typed.ArtifactType != "" {
		d["artifactType"] = typed.ArtifactType
	}
	return d
}

// document is a manifest of any kind by its bytes.
type document struct {
	raw  []byte
	kind types.MediaType
}

func (d document) RawManifest() ([]byte, error)        { return d.raw, nil }
func (d document) MediaType() (types.MediaType, error) { return d.kind, nil }

// Digest returns the digest of an image or an index.
func Digest(t testing.TB, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := of.Digest()
	if err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	return h.String()
}
