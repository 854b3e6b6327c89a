package image

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// Resolve finds the image that ref names: "[registry/]name[:tag][@digest]", where docker.io and latest are implied as
// by docker. If ref names an index, Resolve chooses the image for s.Platform. It verifies the manifest and the
// configuration. ctx bounds Resolve only; opening a layer takes a context of its own. Errors say what is wrong but not
// the image's name, which the caller adds: "cannot get NAME: registry HOST does not have it".
func (s *Source) Resolve(ctx context.Context, ref string) (*Image, error) {
	parsed, err := parseName(ref)
	if err != nil {
		return nil, err
	}
	return s.resolve(ctx, parsed)
}

// parseName parses the name of an image at a registry. Other programs give such names a transport
// (containers-transports(5)). A registry's images have docker:// there. The storage of podman or docker is one machine's:
// without this, its names would be those of images of docker.io.
func parseName(ref string) (name.Reference, error) {
	if rest, ok := strings.CutPrefix(ref, "docker://"); ok {
		return nil, permanent("%q is not the name of an image: leave out docker://, as in %s", ref, rest)
	}
	for _, storage := range []string{"containers-storage:", "docker-daemon:"} {
		if strings.HasPrefix(ref, storage) {
			return nil, permanent("%q is an image that one machine has in its storage: push it to a registry, and name it "+
				"as it is named there", ref)
		}
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, permanent("%q is not the name of an image: want [registry/]name[:tag][@digest]", ref)
	}
	return parsed, nil
}

func (s *Source) resolve(ctx context.Context, ref name.Reference) (*Image, error) {
	ctx, cancel := s.bounded(ctx, ref.Context().RegistryStr(), "to say what the image is")
	defer cancel()
	list, err := s.places(ref)
	if err != nil {
		return nil, err
	}
	raw, from, err := list.resolve(ctx)
	if err != nil {
		return nil, err
	}
	r := &resolver{store: list, want: s.platform(), logf: s.logf, track: s.Progress}
	img, err := r.image(ctx, ref.Name(), raw)
	if img != nil {
		img.From, img.places = from.ref.Context().Name(), list
	}
	return img, err
}

// bounded returns a context that ends when a registry has taken too long for some small documents. doing says for what:
// "to say what the image is".
func (s *Source) bounded(ctx context.Context, registry, doing string) (context.Context, context.CancelFunc) {
	limit := 20 * s.stall()
	return context.WithTimeoutCause(ctx, limit, &fault{
		text:  fmt.Sprintf("registry %s has taken more than %s %s", registry, units.Duration(limit), doing),
		heals: true,
	})
}

// A registry gives access to one repository of a registry, already authenticated.
type registry struct {
	source   *Source
	place    *place
	repo     name.Repository
	endpoint *endpoint
	client   *http.Client
}

// connect finds out which protocol the registry of a place speaks, and authenticates.
func (s *Source) connect(ctx context.Context, p *place) (*registry, error) {
	repo := p.ref.Context()
	var a *authorizer
	err := s.persist(ctx, p.asking(), func() (err error) {
		a, err = s.authorize(ctx, repo, transport.PullScope)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &registry{source: s, place: p, repo: repo, endpoint: a.endpoint, client: &http.Client{Transport: a}}, nil
}

// manifestLimit is the largest manifest or configuration that is read. Registries may refuse manifests over 4 MiB
// (distribution specification, "Pushing Manifests"), and configurations are about as large.
const manifestLimit = 4 << 20

// accept lists every kind of manifest. Schema 1 is in it so that an old image fails with a message that says schema 1,
// and not with "unknown". A registry that has the image in both forms sends the newer one.
var accept = strings.Join([]string{
	string(types.OCIImageIndex), string(types.DockerManifestList),
	string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
	string(types.DockerManifestSchema1Signed) + ";q=0.1", string(types.DockerManifestSchema1) + ";q=0.1",
}, ", ")

func (r *registry) String() string { return r.place.String() }

// manifestBy fetches the manifest with that tag or digest, of at most limit bytes, and verifies that its digest is
// want, unless want is zero.
func (r *registry) manifestBy(ctx context.Context, id string, want v1.Hash, limit int64) ([]byte, error) {
	var raw []byte
	err := r.source.persist(ctx, r.place.asking(), func() error {
		got, err := r.get(ctx, "manifests/"+id, http.Header{"Accept": {accept}})
		if err != nil {
			return err
		}
		defer got.Close()
		raw, err = got.small(limit)
		return err
	})
	if err == nil {
		r.source.works(r.String())
	}
	if err != nil || want == (v1.Hash{}) {
		return raw, err
	}
	got, err := digest(want.Algorithm, raw)
	if err != nil {
		return nil, err
	}
	if got != want {
		return nil, permanent("%s gives a manifest with digest %s in place of %s", r, got, want)
	}
	return raw, nil
}

// digest returns the digest of a small document.
func digest(algorithm string, b []byte) (v1.Hash, error) {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, permanent("digests of kind %q are not known", algorithm)
	}
	h.Write(b)
	return v1.Hash{Algorithm: algorithm, Hex: fmt.Sprintf("%x", h.Sum(nil))}, nil
}

// get requests path in the repository.
func (r *registry) get(ctx context.Context, path string, header http.Header) (*answer, error) {
	host := r.repo.RegistryStr()
	url := fmt.Sprintf("%s://%s/v2/%s/%s", r.endpoint.scheme, host, r.repo.RepositoryStr(), path)
	got, err := r.source.ask(ctx, r.client, http.MethodGet, url, header, "")
	if err != nil {
		return nil, explain(ctx, r.String(), host, err)
	}
	if code := got.resp.StatusCode; code != http.StatusOK && code != http.StatusPartialContent {
		defer got.Close()
		who := r.String()
		if req := got.resp.Request; req != nil {
			who, _ = whose(who, host, req.URL)
		}
		return nil, refusal(who, got)
	}
	return got, nil
}

// A patience says how long this package retries before it returns the error to its caller.
type patience struct {
	tries int           // failures in a row
	wait  time.Duration // the longest wait that the registry may ask for
}

// asking is the patience for a request that can be repeated at no cost.
func (s *Source) asking() patience { return patience{s.tries(), s.longestWait()} }

// resuming is the patience for the rest of a download. It is larger, because after an error the caller has to start
// again from the beginning.
func (s *Source) resuming() patience { return patience{4 * s.tries(), s.longestWait()} }

// asking and resuming return the patience with the place: the usual one for the origin, and little for a mirror,
// because there is another place to ask.
func (p *place) asking() patience {
	if p.mirror {
		return patience{tries: 1}
	}
	return p.source.asking()
}

func (p *place) resuming() patience {
	if p.mirror {
		return patience{tries: min(3, p.source.tries())}
	}
	return p.source.resuming()
}

// persist calls f until it succeeds, fails for good, or has failed too often for p.
func (s *Source) persist(ctx context.Context, p patience, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		if err == nil {
			return nil
		}
		if err := s.pause(ctx, p, n, err); err != nil {
			return err
		}
	}
}

// pause waits after the nth failure in a row, before the request is repeated. It returns an error if the request should
// not be repeated.
func (s *Source) pause(ctx context.Context, p patience, n int, err error) error {
	var f *fault
	if !errors.As(err, &f) || !f.heals || f.damaged || n >= p.tries || f.after > p.wait {
		return err
	}
	wait := max(s.backoff(n), f.after)
	wait += rand.N(wait/4 + 1) // jitter: many machines start at the same moment
	s.failed(err, wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
