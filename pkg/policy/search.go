package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// Limits on the signatures of one image, the same as in Talos.
const (
	maxManifest = 128 << 10 // bytes of one manifest, or of a list of them
	maxBlob     = 1 << 20   // bytes of one bundle or payload
	maxSearched = 100       // manifests and layers to look at
)

// A place is where signatures are found: a repository of a registry.
type place interface {
	Manifest(ctx context.Context, id string, limit int64) ([]byte, error)
	Blob(ctx context.Context, d v1.Descriptor, limit int64) ([]byte, error)
	Referrers(ctx context.Context, of v1.Hash, limit int64) ([]v1.Descriptor, error)
}

// A search goes through the signatures of an image.
type search struct {
	place   place
	take    func(signature) (enough bool) // called for each signature
	enough  bool
	looked  int      // manifests and layers
	reasons []string // why documents could not be used
}

// run looks for signatures of the manifests with these digests, in both forms, until there are enough. It returns an
// error if the registry did not answer and a retry may help.
func (s *search) run(ctx context.Context, digests []v1.Hash) error {
	for _, d := range digests {
		for _, in := range []func(context.Context, v1.Hash) error{s.referrers, s.tag} {
			if err := in(ctx, d); err != nil || s.enough {
				return err
			}
		}
	}
	return nil
}

// referrers looks for signatures among the referrers of a manifest (OCI 1.1): bundles, and the old form, which cosign 2
// could store there.
func (s *search) referrers(ctx context.Context, of v1.Hash) error {
	list, err := s.place.Referrers(ctx, of, maxManifest)
	if err != nil {
		return s.pass(ctx, "the list of referrers of "+short(of), err)
	}
	for _, d := range list {
		switch d.ArtifactType {
		case bundleType, bundleTypeOld, simpleArtifact:
		case "", "application/vnd.oci.empty.v1+json":
			// Some clients and registries omit the type, or write the type of the empty configuration.
		default:
			continue
		}
		raw, err := s.manifest(ctx, d.Digest.String())
		if err == nil {
			err = s.layers(ctx, raw, short(d.Digest))
		} else {
			err = s.pass(ctx, "the manifest "+short(d.Digest), err)
		}
		if err != nil || s.enough || s.full() {
			return err
		}
	}
	return nil
}

// tag looks for signatures of a manifest in the old form, which cosign stores under a tag.
func (s *search) tag(ctx context.Context, of v1.Hash) error {
	tag := of.Algorithm + "-" + of.Hex + ".sig"
	raw, err := s.manifest(ctx, tag)
	if image.IsNotFound(err) {
		return nil
	}
	where := "the tag " + strings.Replace(short(of), ":", "-", 1) + ".sig"
	if err != nil {
		return s.pass(ctx, where, err)
	}
	return s.layers(ctx, raw, where)
}

func (s *search) manifest(ctx context.Context, id string) ([]byte, error) {
	if s.full() {
		return nil, fmt.Errorf("more than %d manifests and layers", maxSearched)
	}
	s.looked++
	return s.place.Manifest(ctx, id, maxManifest)
}

// full reports whether the limit on manifests and layers is reached.
func (s *search) full() bool { return s.looked >= maxSearched }

// layers looks for signatures among the layers of a manifest.
func (s *search) layers(ctx context.Context, raw []byte, where string) error {
	var m struct {
		Layers []struct {
			MediaType   string            `json:"mediaType"`
			Digest      string            `json:"digest"`
			Size        int64             `json:"size"`
			Annotations map[string]string `json:"annotations"`
		} `json:"layers"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		s.because("%s is no manifest: %v", where, malformed(err))
		return nil
	}
	if n := len(m.Layers); n > maxSearched {
		s.because("%s has %d layers, and may have %d", where, n, maxSearched)
		return nil
	}
	for i, l := range m.Layers {
		bundle := l.MediaType == bundleType || l.MediaType == bundleTypeOld
		if !bundle && l.MediaType != simpleSigning {
			continue
		}
		name := fmt.Sprintf("signature %d of %s", i+1, where)
		if s.full() {
			s.because("%s is not looked at: there are more than %d manifests and layers", name, maxSearched)
			return nil
		}
		s.looked++
		h, err := v1.NewHash(l.Digest)
		var blob []byte
		if err == nil {
			blob, err = s.place.Blob(ctx, v1.Descriptor{Digest: h, Size: l.Size}, maxBlob)
		}
		if err != nil {
			if err := s.pass(ctx, name, err); err != nil {
				return err
			}
			continue
		}
		var sig signature
		if bundle {
			sig, err = newBundle(name, blob)
		} else {
			sig, err = newSimple(name, blob, l.Annotations[signatureKey])
		}
		if err != nil {
			s.because("%v", err)
			continue
		}
		if s.enough = s.take(sig); s.enough {
			return nil
		}
	}
	return nil
}

// pass returns the error of a request if a retry may help. It records any other error as a reason.
func (s *search) pass(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil || image.Heals(err) {
		return fmt.Errorf("cannot get %s: %w", what, err)
	}
	s.because("%s cannot be used: %v", what, err)
	return nil
}

// because records why a document could not be used.
func (s *search) because(format string, args ...any) {
	if len(s.reasons) < maxReasons {
		s.reasons = append(s.reasons, fmt.Sprintf(format, args...))
	}
}

// maxReasons is how many reasons a message contains.
const maxReasons = 3

// short returns a digest cut to a length that people can compare by eye.
func short(h v1.Hash) string { return h.Algorithm + ":" + h.Hex[:min(12, len(h.Hex))] }
