package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// A store holds the parts of images by their digests.
type store interface {
	// manifest returns a manifest or an index, verified.
	manifest(ctx context.Context, d v1.Descriptor) ([]byte, error)
	// open returns a reader of a blob that verifies it.
	open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
	// String names the store in messages.
	String() string
}

// A resolver finds the image for one platform below a manifest or an index.
type resolver struct {
	store store
	want  v1.Platform
	logf  func(format string, args ...any)
	track func(l *Layer, n int) // may be nil

	fetched int      // manifests asked for
	offers  []string // the platforms there are
}

// Limits on what an index may make us fetch. Real ones are two deep at most.
const (
	maxDepth     = 4
	maxManifests = 64
)

// image returns the image that the manifest or index raw leads to.
func (r *resolver) image(ctx context.Context, name string, raw []byte) (*Image, error) {
	root, err := digest("sha256", raw)
	if err != nil {
		return nil, err
	}
	img, err := r.descend(ctx, raw, v1.Descriptor{Digest: root}, 0)
	return r.found(img, name, root, err)
}

// found completes the image that a search ended with, or says that there is none.
func (r *resolver) found(img *Image, name string, root v1.Hash, err error) (*Image, error) {
	if err != nil {
		return nil, err
	}
	if img == nil {
		return nil, permanent("there is none for %s in it, only for %s", platformText(r.want), r.offered())
	}
	img.Name, img.Root = name, root
	return img, nil
}

// offered lists the platforms that were seen, as a sentence needs them.
func (r *resolver) offered() string {
	slices.Sort(r.offers)
	offers := slices.Compact(r.offers)
	if len(offers) == 0 {
		return "no platform at all"
	}
	return strings.Join(offers, ", ")
}

// descend returns the image for r.want that is raw, whose descriptor is d, or is below it; nil if there is none.
func (r *resolver) descend(ctx context.Context, raw []byte, d v1.Descriptor, depth int) (*Image, error) {
	doc, err := parseManifest(raw)
	if err != nil {
		return nil, permanent("%s has no manifest that can be used at %s: %v", r.store, short(d.Digest), err)
	}
	if !doc.index {
		return r.leaf(ctx, doc, d)
	}
	return r.choose(ctx, doc.Manifests, depth)
}

// choose returns the image for r.want that list, an index at a depth below the first document, leads to; nil if none.
func (r *resolver) choose(ctx context.Context, list []v1.Descriptor, depth int) (*Image, error) {
	if depth == maxDepth {
		return nil, permanent("its indexes lead to indexes more than %d deep", maxDepth)
	}
	for _, child := range r.candidates(list) {
		if r.fetched++; r.fetched > maxManifests {
			return nil, permanent("its indexes list more than %d manifests to look at", maxManifests)
		}
		raw, err := r.store.manifest(ctx, child)
		if err != nil {
			return nil, err
		}
		img, err := r.descend(ctx, raw, child, depth+1)
		if img != nil || err != nil {
			return img, err
		}
	}
	return nil, nil
}

// candidates returns those of an index's manifests that may be, or lead to, an image for r.want, the best first:
// platforms that match by how much of the machine they use, then manifests of which the index does not say the
// platform. Equals stay in the index's order.
func (r *resolver) candidates(list []v1.Descriptor) []v1.Descriptor {
	type candidate struct {
		v1.Descriptor
		rank int
	}
	var found []candidate
	for _, d := range list {
		if d.Platform == nil || d.Platform.OS == "" && d.Platform.Architecture == "" {
			if t := d.MediaType; t == "" || t.IsImage() || t.IsIndex() {
				found = append(found, candidate{d, -1})
			}
			continue
		}
		if d.Platform.OS == "unknown" {
			continue // buildkit's attestations
		}
		r.offers = append(r.offers, platformText(*d.Platform))
		if rank, ok := platformRank(*d.Platform, r.want); ok {
			found = append(found, candidate{d, rank})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return b.rank - a.rank })
	out := make([]v1.Descriptor, len(found))
	for i, c := range found {
		out[i] = c.Descriptor
	}
	return out
}

// leaf makes an Image of an image manifest, or returns nil if it is for another platform.
func (r *resolver) leaf(ctx context.Context, doc *document, d v1.Descriptor) (*Image, error) {
	for i, l := range doc.Layers {
		switch {
		case l.Size < 0 || l.Digest.Hex == "":
			return nil, permanent("layer %d of its manifest has no size or no digest", i+1)
		case strings.HasSuffix(string(l.MediaType), "+encrypted"):
			return nil, permanent("layer %d (%s) is encrypted (%s), which Wyrcan does not support", i+1, short(l.Digest), printable.Line(string(l.MediaType)))
		}
	}
	config, err := r.config(ctx, doc.Config)
	if err != nil {
		return nil, err
	}
	made := v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}
	if d.Platform != nil && d.Platform.Architecture != "" {
		// Where index and configuration disagree the index is right: it is what the builder was told.
		if made.Architecture != d.Platform.Architecture {
			r.logf("%s calls the image %s, its configuration %s", r.store, platformText(*d.Platform), platformText(made))
		}
		made = *d.Platform
	} else if _, ok := platformRank(made, r.want); !ok && made.Architecture != "" {
		r.offers = append(r.offers, platformText(made))
		return nil, nil
	}
	img := &Image{Digest: d.Digest, Platform: made, Config: config}
	for i, ld := range doc.Layers {
		img.Layers = append(img.Layers, r.layer(i+1, ld))
	}
	if ids := config.RootFS.DiffIDs; len(ids) == len(img.Layers) {
		for i, id := range ids {
			img.Layers[i].DiffID = id
		}
	}
	return img, nil
}

func (r *resolver) layer(number int, d v1.Descriptor) *Layer {
	l := &Layer{Number: number, Digest: d.Digest, Size: d.Size, MediaType: d.MediaType}
	l.open = func(ctx context.Context) (io.ReadCloser, error) {
		rc, err := r.store.open(ctx, d)
		if err != nil && (!d.MediaType.IsDistributable() || len(d.URLs) > 0) {
			// Foreign layers are fetched from the registry like any other, and never from the addresses in the
			// manifest: whoever wrote it would choose what this machine connects to.
			err = &fault{text: "it may be kept outside the registry (a foreign layer): push the image with its foreign layers included", cause: err, heals: Heals(err), after: RetryAfter(err)}
		}
		return r.tracked(l, rc), err
	}
	return l
}

// tracked lets r.track know what is read from rc.
func (r *resolver) tracked(l *Layer, rc io.ReadCloser) io.ReadCloser {
	if r.track == nil || rc == nil {
		return rc
	}
	return &tracked{rc, func(n int) { r.track(l, n) }}
}

// tracked tells how many bytes were read.
type tracked struct {
	io.ReadCloser
	add func(n int)
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if n > 0 {
		t.add(n)
	}
	return n, err
}

// config fetches and reads an image's configuration.
func (r *resolver) config(ctx context.Context, d v1.Descriptor) (*v1.ConfigFile, error) {
	if d.Size > manifestLimit {
		return nil, permanent("its configuration has %s, more than the %s that one may have", bytesText(d.Size), bytesText(manifestLimit))
	}
	var raw []byte
	for {
		rc, err := r.store.open(ctx, d)
		if err == nil {
			raw, err = io.ReadAll(rc)
			rc.Close()
		}
		if err == nil {
			break
		}
		// A store tries again what the network did. What arrived with wrong bytes is for its reader to ask for again,
		// as often as the store thinks it worth it.
		var f *fault
		if !errors.As(err, &f) || !f.damaged || !f.heals {
			return nil, fmt.Errorf("cannot read its configuration (%s): %w", short(d.Digest), err)
		}
	}
	config := new(v1.ConfigFile)
	if err := json.Unmarshal(raw, config); err != nil {
		return nil, permanent("its configuration (%s) cannot be read: %v", short(d.Digest), err)
	}
	if !d.MediaType.IsConfig() && config.RootFS.Type != "layers" {
		return nil, permanent("it is not a container image: its configuration is of type %q", printable.Line(string(d.MediaType)))
	}
	return config, nil
}

// A document is a manifest or an index.
type document struct {
	v1.Manifest
	Manifests []v1.Descriptor
	index     bool
}

// parseManifest tells manifests from indexes by what is in them. The type that a registry or another document calls one
// by is not asked: a document that can be read as both would be verified as the one and used as the other
// (the ambiguity of CVE-2021-41190).
func parseManifest(raw []byte) (*document, error) {
	var d struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		Config        *v1.Descriptor  `json:"config"`
		Layers        []v1.Descriptor `json:"layers"`
		Manifests     []v1.Descriptor `json:"manifests"`
		FSLayers      json.RawMessage `json:"fsLayers"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("it is not JSON of the right form: %v", err)
	}
	image, index := d.Config != nil || d.Layers != nil, d.Manifests != nil
	switch {
	case d.SchemaVersion == 1 || d.FSLayers != nil || d.MediaType.IsSchema1():
		return nil, fmt.Errorf("it is of Docker's schema 1, which has no digests to verify layers by: push the image again with a tool of this decade")
	case image && index:
		return nil, fmt.Errorf("it is both an image and an index")
	case index && d.MediaType.IsImage(), image && d.MediaType.IsIndex():
		return nil, fmt.Errorf("it calls itself %s, which it is not", d.MediaType)
	case index:
		return &document{Manifests: d.Manifests, index: true}, nil
	case d.Config == nil || d.Config.Digest.Hex == "" || d.Config.Size < 0:
		return nil, fmt.Errorf("it names no configuration")
	}
	return &document{Manifest: v1.Manifest{MediaType: d.MediaType, Config: *d.Config, Layers: d.Layers}}, nil
}
