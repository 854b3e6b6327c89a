package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// A store holds the parts of images, by their digests.
type store interface {
	// manifest returns a manifest or an index, verified.
	manifest(ctx context.Context, d v1.Descriptor) ([]byte, error)
	// open returns a reader of a blob. The reader verifies the blob.
	open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
	// String returns the store's name for messages.
	String() string
}

// A resolver finds the image for one platform, starting from a manifest or an index.
type resolver struct {
	store store
	want  v1.Platform
	logf  func(format string, args ...any)
	track func(l *Layer, n int) // may be nil

	fetched int      // how many manifests have been requested
	offers  []string // the platforms that were seen
	broken  error    // why the first entry for platform want cannot be used
	other   error    // why the first entry without a platform cannot be used
}

// Limits on the requests that an index can cause. Real indexes are at most two deep.
const (
	maxDepth     = 4
	maxManifests = 64
)

// image returns the image that the manifest or index raw describes or leads to.
func (r *resolver) image(ctx context.Context, name string, raw []byte) (*Image, error) {
	root, err := digest("sha256", raw)
	if err != nil {
		return nil, err
	}
	img, err := r.descend(ctx, raw, v1.Descriptor{Digest: root}, 0)
	return r.found(img, name, root, err)
}

// found completes img, the result of a search, or returns the error that says why the search found no image.
func (r *resolver) found(img *Image, name string, root v1.Hash, err error) (*Image, error) {
	switch {
	case err != nil:
		return nil, err
	case img != nil:
		img.Name, img.Root = name, root
		return img, nil
	case r.broken != nil:
		return nil, r.broken
	case len(r.offers) == 0 && r.other != nil:
		return nil, r.other
	}
	return nil, permanent("there is none for %s in it, only for %s", platformText(r.want), r.offered())
}

// offered lists the platforms that were seen, for a message.
func (r *resolver) offered() string {
	slices.Sort(r.offers)
	offers := slices.Compact(r.offers)
	if len(offers) == 0 {
		return "no platform at all"
	}
	return strings.Join(offers, ", ")
}

// descend returns the image for r.want that the document raw, with descriptor d, describes or leads to; nil for none.
func (r *resolver) descend(ctx context.Context, raw []byte, d v1.Descriptor, depth int) (*Image, error) {
	doc, err := parseManifest(raw)
	if err != nil {
		return nil, &unusable{permanent("%s has no manifest that can be used at %s: %v", r.store, short(d.Digest), err)}
	}
	if !doc.index {
		return r.leaf(ctx, doc, d)
	}
	return r.choose(ctx, doc.manifests, depth)
}

// choose returns the image for r.want that the entries of an index lead to, or nil if there is none. depth counts the
// indexes above this one.
func (r *resolver) choose(ctx context.Context, list []reference, depth int) (*Image, error) {
	if depth == maxDepth {
		return nil, permanent("its indexes lead to indexes more than %d deep", maxDepth)
	}
	var last *Image // a doubtful image, returned if there is no better one
	for _, c := range r.candidates(list) {
		img, err := r.try(ctx, c, depth)
		switch {
		case err != nil && !r.pass(ctx, c, err):
			return nil, err
		case err != nil || img == nil:
		case !img.doubtful:
			return img, nil
		case last == nil:
			last = img
		}
	}
	return last, nil
}

// try returns the image that a candidate is or leads to, or nil if that image is for another platform.
func (r *resolver) try(ctx context.Context, c candidate, depth int) (*Image, error) {
	h, err := c.hash()
	if err != nil {
		return nil, &unusable{permanent("the entry of its index for %s cannot be used: %v", platformText(c.Platform), err)}
	}
	if r.fetched++; r.fetched > maxManifests {
		return nil, permanent("its indexes list more than %d manifests to look at", maxManifests)
	}
	d := v1.Descriptor{Digest: h, MediaType: c.MediaType}
	if c.hasPlatform() {
		d.Platform = &c.Platform
	}
	raw, err := r.store.manifest(ctx, d)
	if err != nil {
		return nil, err
	}
	img, err := r.descend(ctx, raw, d, depth+1)
	if img != nil && c.odd() {
		img.doubtful = true
	}
	return img, err
}

// pass reports whether the search goes on with the next candidate after c has failed with err, and records err. It
// goes on if c is not a container image, or if the index does not say that c is for this machine: an index may list
// artifacts (signatures, SBOMs) beside images. It does not go on if a retry may help.
func (r *resolver) pass(ctx context.Context, c candidate, err error) bool {
	if ctx.Err() != nil || Heals(err) || c.hasPlatform() && !errors.As(err, new(*unusable)) {
		return false
	}
	reason := &r.other
	if c.hasPlatform() {
		reason = &r.broken
	}
	if *reason == nil {
		*reason = err
	}
	return true
}

// A candidate is an entry of an index that may be, or lead to, an image for the wanted platform.
type candidate struct {
	reference
	rank int // how well it fits
}

// hasPlatform reports whether the index says which platform the entry is for.
func (r reference) hasPlatform() bool { return r.Platform.Architecture != "" }

// odd reports whether other tools would not run the entry: it is an artifact (descriptor.md, "artifactType"), or needs
// operating system features (image-index.md, "os.features"), of which none exist for Linux.
func (r reference) odd() bool { return r.ArtifactType != "" || len(r.Platform.OSFeatures) > 0 }

// mayBeImage reports whether an entry without a platform may be an image or lead to one.
func (r reference) mayBeImage() bool {
	t := r.MediaType
	return (t == "" || t.IsImage() || t.IsIndex()) && r.Annotations[attestation] != "attestation-manifest"
}

// attestation is the annotation by which buildkit marks its attestations. Their platform is "unknown".
const attestation = "vnd.docker.reference.type"

// candidates returns the entries of an index that may be, or lead to, an image for r.want, the best first: entries for
// a platform that matches (by rank), then entries without a platform, then odd ones. Entries of equal rank stay in the
// index's order.
func (r *resolver) candidates(list []reference) []candidate {
	const noPlatform, odd = -1, -1000
	var found []candidate
	for _, d := range list {
		c := candidate{reference: d, rank: noPlatform}
		switch {
		case d.Platform.OS == "unknown" || d.Platform.Architecture == "unknown":
			continue // buildkit's attestations
		case !d.hasPlatform():
			if !d.mayBeImage() || d.Platform.OS != "" && d.Platform.OS != r.want.OS {
				continue
			}
		default:
			r.offers = append(r.offers, platformText(d.Platform))
			rank, ok := platformRank(d.Platform, r.want)
			if !ok {
				continue
			}
			c.rank = rank
		}
		if d.odd() {
			c.rank += odd
		}
		found = append(found, c)
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].rank > found[j].rank })
	return found
}

// leaf returns the image that an image manifest describes, or nil if it is for another platform.
func (r *resolver) leaf(ctx context.Context, doc *document, d v1.Descriptor) (*Image, error) {
	layers, err := r.layers(doc)
	if err != nil {
		return nil, err
	}
	config, err := r.config(ctx, doc.config)
	if err != nil {
		return nil, err
	}
	ids, err := diffIDs(config, len(layers))
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		layers[i].DiffID = id
	}
	id, err := doc.config.descriptor()
	if err != nil {
		return nil, err // r.config has said so
	}
	img := &Image{
		Digest: d.Digest, ConfigDigest: id.Digest, Platform: madeFor(config), Config: config, Layers: layers,
		doubtful: doc.doubtful(),
	}
	if d.Platform != nil {
		// If index and configuration disagree, the index is right: its platform is the one that the builder was given.
		if img.Platform.Architecture != d.Platform.Architecture {
			r.logf("%s calls the image %s, its configuration %s", r.store, platformText(*d.Platform), platformText(img.Platform))
		}
		img.Platform = *d.Platform
	} else if _, ok := platformRank(img.Platform, r.want); !ok && img.Platform.Architecture != "" {
		r.offers = append(r.offers, platformText(img.Platform))
		return nil, nil
	}
	return img, nil
}

// layers returns the layers that a manifest lists.
func (r *resolver) layers(doc *document) ([]*Layer, error) {
	var list []*Layer
	for i, ref := range doc.layers {
		d, err := ref.descriptor()
		switch {
		case err != nil:
			return nil, permanent("layer %d of its manifest cannot be used: %v", i+1, err)
		case strings.HasSuffix(string(d.MediaType), "+encrypted"):
			return nil, permanent("layer %d (%s) is encrypted (%s), which Wyrcan does not support",
				i+1, short(d.Digest), printable.Line(string(d.MediaType)))
		}
		list = append(list, r.layer(i+1, d))
	}
	return list, nil
}

func (r *resolver) layer(number int, d v1.Descriptor) *Layer {
	l := &Layer{Number: number, Digest: d.Digest, Size: d.Size, MediaType: d.MediaType}
	l.open = func(ctx context.Context) (io.ReadCloser, error) {
		rc, err := r.store.open(ctx, d)
		if err != nil && (!d.MediaType.IsDistributable() || len(d.URLs) > 0) {
			// Foreign layers are fetched from the registry like any other layer, and never from the URLs in the manifest:
			// its author could make this machine connect to any host.
			err = &fault{
				text: "it may be kept outside the registry (a foreign layer): " +
					"push the image with its foreign layers included",
				cause: err, heals: Heals(err), after: RetryAfter(err),
			}
		}
		return r.tracked(l, rc), err
	}
	return l
}

// tracked returns a reader of rc that reports to r.track how many bytes of layer l were read.
func (r *resolver) tracked(l *Layer, rc io.ReadCloser) io.ReadCloser {
	if r.track == nil || rc == nil {
		return rc
	}
	return &tracked{rc, func(n int) { r.track(l, n) }}
}

// A tracked reader calls add with the number of bytes of each Read.
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

// config fetches and parses an image's configuration.
func (r *resolver) config(ctx context.Context, ref reference) (*v1.ConfigFile, error) {
	d, err := ref.descriptor()
	if err != nil {
		return nil, &unusable{permanent("its configuration cannot be used: %v", err)}
	}
	if d.Size > manifestLimit {
		return nil, &unusable{permanent("its configuration has %s, more than the %s that one may have",
			units.Exact(d.Size), units.Exact(manifestLimit))}
	}
	raw, err := readWhole(ctx, r.store, d)
	if err != nil {
		return nil, fmt.Errorf("cannot read its configuration (%s): %w", short(d.Digest), err)
	}
	config, err := parseConfig(raw)
	switch {
	case err != nil && d.MediaType.IsConfig():
		return nil, &unusable{permanent("its configuration (%s) cannot be read: %v", short(d.Digest), err)}
	case err != nil || !d.MediaType.IsConfig() && config.RootFS.Type != "layers":
		return nil, &unusable{permanent("it is not a container image: its configuration is of type %q",
			printable.Line(string(d.MediaType)))}
	}
	return config, nil
}
