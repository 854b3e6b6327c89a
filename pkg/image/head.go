package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrNoDigest is returned by Head if a registry says nothing of the digest. Resolve then finds it out.
var ErrNoDigest = errors.New("the registry does not say which digest that is")

// Head returns the digest that the places of ref say that ref has: of an index or a manifest, the Root of an Image. No
// document is read, so nothing is verified. Registries that count how many images a machine pulls do not count this.
// ctx bounds the request.
func (s *Source) Head(ctx context.Context, ref string) (v1.Hash, error) {
	parsed, err := parseName(ref)
	if err != nil {
		return v1.Hash{}, err
	}
	list, err := s.places(parsed)
	if err != nil {
		return v1.Hash{}, err
	}
	var found v1.Hash
	_, err = list.ask(ctx, func(r *registry) error {
		return s.persist(ctx, r.place.asking(), func() (err error) { found, err = r.head(ctx); return err })
	})
	return found, err
}

// head asks for the digest of what the place has under its name (distribution specification, "Checking if content
// exists in the registry").
func (r *registry) head(ctx context.Context) (v1.Hash, error) {
	host := r.repo.RegistryStr()
	url := fmt.Sprintf("%s://%s/v2/%s/manifests/%s",
		r.endpoint.scheme, host, r.repo.RepositoryStr(), r.place.ref.Identifier())
	got, err := r.source.ask(ctx, r.client, http.MethodHead, url, http.Header{"Accept": {accept}}, "")
	if err != nil {
		return v1.Hash{}, explain(ctx, r.String(), host, err)
	}
	defer got.Close()
	if got.resp.StatusCode != http.StatusOK {
		return v1.Hash{}, refusal(r.String(), got)
	}
	h, err := v1.NewHash(got.resp.Header.Get("Docker-Content-Digest"))
	if err != nil {
		return v1.Hash{}, &fault{text: r.String(), cause: ErrNoDigest}
	}
	return h, nil
}
