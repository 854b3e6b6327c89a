package image

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// places are the registries that may have an image, in the order in which they are asked: mirrors first, the origin
// last. They are a store: what one of them does not have, or has wrong bytes of, comes from the next.
type places []*place

// A place is a repository that may have the image.
type place struct {
	source *Source
	ref    name.Reference
	mirror bool // false for the origin

	mu   sync.Mutex
	reg  *registry        // nil: not connected
	down error            // why nothing is asked of it any more
	bad  map[v1.Hash]bool // the blobs of which it has sent wrong bytes
	told map[string]bool  // why others were asked in its place, by gist
}

// places returns where to ask for ref, according to s.Registries.
func (s *Source) places(ref name.Reference) (places, error) {
	found, err := s.Registries.Places(fullName(ref))
	if err != nil {
		return nil, permanent("%v", err)
	}
	var list places
	for _, f := range found {
		at, err := name.ParseReference(f.Ref)
		if err != nil {
			return nil, permanent("%q, which registries.conf or wyr.mirror= makes of its name, is not the name of an image",
				f.Ref)
		}
		if f.Insecure {
			s.allow(at.Context().RegistryStr())
		}
		list = append(list, &place{source: s, ref: at, mirror: f.Mirror})
	}
	return list, nil
}

// fullName returns the name of an image as registries.conf has it, where docker.io is called that.
func fullName(ref name.Reference) string {
	if rest, ok := strings.CutPrefix(ref.Name(), name.DefaultRegistry+"/"); ok {
		return "docker.io/" + rest
	}
	return ref.Name()
}

// RegistryOf returns the registry of the image that ref names, "docker.io" for a name without a host.
func RegistryOf(ref string) (string, error) {
	parsed, err := parseName(ref)
	if err != nil {
		return "", err
	}
	host, _, _ := strings.Cut(fullName(parsed), "/")
	return host, nil
}

// String returns the name of the place for messages.
func (p *place) String() string {
	kind := "registry "
	if p.mirror {
		kind = "mirror "
	}
	return kind + p.ref.Context().RegistryStr()
}

// connect returns the registry. If it cannot be reached, no further attempt is made.
func (p *place) connect(ctx context.Context) (*registry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reg != nil || p.down != nil {
		return p.reg, p.down
	}
	var err error
	if p.reg, err = p.source.connect(ctx, p); err != nil && p.mirror && ctx.Err() == nil {
		p.down = err
	}
	return p.reg, err
}

// failed notes that a mirror has not answered, or with an error that is not about one document or blob.
func (p *place) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mirror && Heals(err) {
		p.down = err
	}
}

// left tells that next is asked in the place of p, because of err. It tells each cause once, and reports whether it
// did: a mirror that is down, or has no layers, is one line for an image of many layers.
func (p *place) left(err error, next *place) bool {
	gist := Gist(err)
	p.mu.Lock()
	known := p.told[gist]
	if p.told == nil {
		p.told = make(map[string]bool)
	}
	p.told[gist] = true
	p.mu.Unlock()
	if !known {
		p.source.moves(err, next.String())
	}
	return !known
}

// spoil notes that the place sent wrong bytes of a blob.
func (p *place) spoil(blob v1.Hash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bad == nil {
		p.bad = make(map[v1.Hash]bool)
	}
	p.bad[blob] = true
}

// spoilt reports whether a mirror sent wrong bytes of a blob. The origin is asked again: it is the last place.
func (p *place) spoilt(blob v1.Hash) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mirror && p.bad[blob]
}

// ask calls f with each place in turn until one succeeds. The error is that of the last place, the origin.
func (list places) ask(ctx context.Context, f func(*registry) error) (*place, error) {
	for i, p := range list {
		reg, err := p.connect(ctx)
		if err == nil {
			err = f(reg)
		}
		if err == nil || i == len(list)-1 || ctx.Err() != nil {
			return p, err
		}
		p.failed(err)
		p.left(err, list[i+1])
	}
	return nil, errors.New("no place to ask") // a reference has one at least
}

// resolve fetches the manifest that the places have under their names, and returns it with the place that had it.
func (list places) resolve(ctx context.Context) ([]byte, *place, error) {
	var raw []byte
	from, err := list.ask(ctx, func(r *registry) error {
		var want v1.Hash // zero for a tag, which fixes no digest
		if d, ok := r.place.ref.(name.Digest); ok {
			var err error
			if want, err = v1.NewHash(d.DigestStr()); err != nil {
				return permanent("%q is not a digest", d.DigestStr())
			}
		}
		var err error
		raw, err = r.manifestBy(ctx, r.place.ref.Identifier(), want, manifestLimit)
		return err
	})
	return raw, from, err
}

func (list places) manifest(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	var raw []byte
	_, err := list.ask(ctx, func(r *registry) (err error) {
		raw, err = r.manifestBy(ctx, d.Digest.String(), d.Digest, manifestLimit)
		return err
	})
	return raw, err
}

func (list places) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	left := slices.DeleteFunc(slices.Clone(list), func(p *place) bool { return p.spoilt(d.Digest) })
	b := &blob{ctx: ctx, next: left, digest: d.Digest, size: d.Size, end: d.Size}
	source := list[0].source
	if d.Size > largeBlob && source.canWait() && !source.isOneStream(d.Digest) {
		b.piece, b.end = true, source.firstSize()
	}
	if err := b.move(nil); err != nil {
		return nil, err
	}
	if d.Size > 0 {
		// Connect now, so that open fails for a missing blob, and not the first Read.
		if err := b.connect(); err != nil {
			return nil, err
		}
	}
	if b.piece {
		w := newWindows(ctx, b)
		return verify(w, d.Digest, d.Size, w.wrong)
	}
	return verify(b, d.Digest, d.Size, b.wrong)
}

// String returns the name of the origin.
func (list places) String() string { return list[len(list)-1].String() }
