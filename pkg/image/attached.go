package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// A Repository is a place at a registry where an image may be had. It gives what others have put there beside the
// image, signatures for instance. Requests go out as those for the image did: with the same credentials, limits and
// retries.
type Repository struct{ place *place }

// Repositories returns where the image may be had, mirrors first and its origin last. It returns none for an image on
// this machine.
func (i *Image) Repositories() []*Repository {
	var list []*Repository
	for _, p := range i.places {
		list = append(list, &Repository{p})
	}
	return list
}

// Bound returns a context that ends when the registry has taken too long to say something about the image: doing, which
// is "to give the signatures", say. The limit is the one that Resolve has.
func (r *Repository) Bound(ctx context.Context, doing string) (context.Context, context.CancelFunc) {
	return r.place.source.bounded(ctx, r.place.ref.Context().RegistryStr(), doing)
}

// Manifest returns the manifest with that tag or digest, of at most limit bytes. If id is a digest, the manifest is
// verified.
func (r *Repository) Manifest(ctx context.Context, id string, limit int64) ([]byte, error) {
	var want v1.Hash
	if strings.Contains(id, ":") { // a tag has none
		var err error
		if want, err = v1.NewHash(id); err != nil {
			return nil, permanent("%q is no digest", printable.Line(id))
		}
	}
	reg, err := r.place.connect(ctx)
	if err != nil {
		return nil, err
	}
	return reg.manifestBy(ctx, id, want, limit)
}

// Blob returns a blob of at most limit bytes, verified.
func (r *Repository) Blob(ctx context.Context, d v1.Descriptor, limit int64) ([]byte, error) {
	if d.Size < 0 || d.Size > limit {
		return nil, permanent("blob %s has %d bytes, and may have %d", short(d.Digest), d.Size, limit)
	}
	return readWhole(ctx, places{r.place}, d)
}

// maxPages is how many pages a list of referrers may have.
const maxPages = 10

// Referrers returns the descriptors of the manifests that refer to the manifest with digest of (distribution
// specification, "Listing Referrers"). If the registry lists none, Referrers reads the index that clients store under a
// tag instead ("Referrers Tag Schema"). The list is empty if there is no such tag. Each page may have limit bytes.
func (r *Repository) Referrers(ctx context.Context, of v1.Hash, limit int64) ([]v1.Descriptor, error) {
	list, err := r.listed(ctx, of, limit)
	f := new(fault)
	if len(list) > 0 || errors.As(err, &f) && f.heals || ctx.Err() != nil {
		return list, err
	}
	raw, tagErr := r.Manifest(ctx, of.Algorithm+"-"+of.Hex, limit)
	switch {
	case IsNotFound(tagErr) && err != nil && f.status == 0: // the registry has a list that cannot be used
		return nil, err
	case IsNotFound(tagErr):
		return nil, nil
	case tagErr != nil:
		return nil, tagErr
	}
	return descriptors(raw)
}

// listed requests the list of referrers from the registry.
func (r *Repository) listed(ctx context.Context, of v1.Hash, limit int64) ([]v1.Descriptor, error) {
	reg, err := r.place.connect(ctx)
	if err != nil {
		return nil, err
	}
	var all []v1.Descriptor
	path := "referrers/" + of.String()
	for range maxPages {
		var raw []byte
		var next string
		err := reg.source.persist(ctx, r.place.asking(), func() error {
			got, err := reg.get(ctx, path, http.Header{"Accept": {string(types.OCIImageIndex)}})
			if err != nil {
				return err
			}
			defer got.Close()
			next = got.resp.Header.Get("Link")
			raw, err = got.small(limit)
			return err
		})
		if err != nil {
			return nil, err
		}
		list, err := descriptors(raw)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if next == "" {
			return all, nil
		}
		if path, err = reg.page(next, of); err != nil {
			return nil, err
		}
	}
	return nil, permanent("%s lists referrers on more than %d pages", reg, maxPages)
}

// page returns where the next page of a list of referrers is, from a Link header (RFC 8288). It must be of the same
// list.
func (r *registry) page(link string, of v1.Hash) (string, error) {
	list := fmt.Sprintf("/v2/%s/", r.repo.RepositoryStr())
	target, params, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(link), "<"), ">")
	base := &url.URL{Scheme: r.endpoint.scheme, Host: r.repo.RegistryStr(), Path: list + "referrers/" + of.String()}
	u, err := base.Parse(target)
	if err != nil || !found || !strings.Contains(params, "next") || !r.endpoint.has(u) || u.Path != base.Path {
		return "", permanent("%s names a next page of referrers that cannot be used: %q", r, printable.Line(link))
	}
	return strings.TrimPrefix(u.Path, list) + "?" + u.RawQuery, nil
}

// descriptors returns the descriptors in an index, without those that have no digest or size.
func descriptors(raw []byte) ([]v1.Descriptor, error) {
	var index struct {
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := decode(raw, &index); err != nil || !present(index.Manifests) {
		return nil, permanent("a list of referrers is no index")
	}
	var list []v1.Descriptor
	for _, ref := range references(index.Manifests) {
		d, err := ref.descriptor()
		if err != nil {
			continue
		}
		d.ArtifactType, d.Annotations = ref.ArtifactType, ref.Annotations
		list = append(list, d)
	}
	return list, nil
}

// IsNotFound reports whether err means that the registry does not have what was requested.
func IsNotFound(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.status == http.StatusNotFound
}

// readWhole reads a small blob. A store tries again what the network did. What arrived with wrong bytes is for its
// reader to ask for again, as often as the store thinks it worth it.
func readWhole(ctx context.Context, s store, d v1.Descriptor) ([]byte, error) {
	for {
		rc, err := s.open(ctx, d)
		var raw []byte
		if err == nil {
			raw, err = io.ReadAll(rc)
			rc.Close()
		}
		if err == nil {
			return raw, nil
		}
		var f *fault
		if !errors.As(err, &f) || !f.damaged || !f.heals {
			return nil, err
		}
	}
}
