package image

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// blobs is a store over the files of an OCI image layout (image-layout.md).
type blobs struct{ files }

func (b blobs) String() string { return "the layout" }

func (blobs) path(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }

func (b blobs) manifest(_ context.Context, d v1.Descriptor) ([]byte, error) {
	raw, err := readSmall(b.files, b.path(d.Digest))
	if err != nil {
		return nil, err
	}
	got, err := digest(d.Digest.Algorithm, raw)
	if err != nil {
		return nil, err
	}
	if got != d.Digest {
		return nil, permanent("%q of it has the digest %s", b.path(d.Digest), got)
	}
	return raw, nil
}

func (b blobs) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	rc, _, err := b.files.open(b.path(d.Digest))
	if err != nil {
		return nil, &fault{text: "it is not in the layout", cause: err}
	}
	return verify(&bound{rc, ctx}, d.Digest, d.Size, func(err error) error { return &fault{text: err.Error()} })
}

// bound is a reader that ends with its context.
type bound struct {
	io.ReadCloser
	ctx context.Context
}

func (b *bound) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return b.ReadCloser.Read(p)
}

// Annotations that name the images of an index: OCI's (annotations.md), and containerd's, whose value is the full name.
const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// layout finds the image called ref ("": the only one; "@0": the first) in the OCI layout f.
func (s *Source) layout(ctx context.Context, called string, f files, ref string) (*Image, error) {
	raw, err := readSmall(f, ociTable)
	if err != nil {
		return nil, err
	}
	doc, err := parseManifest(raw)
	switch {
	case err != nil:
		return nil, permanent("its index.json is no index: %v", err)
	case !doc.index:
		return nil, permanent("its index.json is no index, but the manifest of one image")
	}
	list, err := named(doc.manifests, ref)
	if err != nil {
		return nil, err
	}
	root, err := digest("sha256", raw)
	if err != nil {
		return nil, err
	}
	if len(list) == 1 {
		if root, err = list[0].hash(); err != nil {
			return nil, permanent("the entry of its index.json cannot be used: %v", err)
		}
	}
	store := blobs{f}
	r := &resolver{store: store, want: s.platform(), logf: s.logf, track: s.Progress}
	img, err := r.choose(ctx, list, 0)
	if img, err = r.found(img, called, root, err); err != nil {
		return nil, err
	}
	return img, store.whole(ctx, img)
}

// named returns the entries of an index that are called ref.
func named(list []reference, ref string) ([]reference, error) {
	number, numbered, err := sourceIndex(ref, len(list))
	switch {
	case err != nil:
		return nil, err
	case numbered:
		return list[number : number+1], nil
	}
	var names []string
	for _, d := range list {
		names = append(names, d.names()...)
	}
	if ref == "" {
		if distinct(list) > 1 {
			return nil, permanent("it holds several images: name one of %s", quoted(names, len(list)))
		}
		return list, nil
	}
	list = slices.DeleteFunc(slices.Clone(list), func(d reference) bool { return !d.called(ref) })
	if len(list) == 0 {
		return nil, permanent("no image of that name is in it, only %s", quoted(names, len(list)))
	}
	return list, nil
}

// sourceIndex reads a reference of skopeo's form "@3": the image with that number of n, counted from 0.
func sourceIndex(ref string, n int) (number int, ok bool, err error) {
	digits, ok := strings.CutPrefix(ref, "@")
	if !ok {
		return 0, false, nil
	}
	number, err = strconv.Atoi(digits)
	if err != nil || number < 0 || number >= n {
		return 0, true, permanent("there is no image %s in it, which has %d, counted from @0", printable.Line(ref), n)
	}
	return number, true, nil
}

// names returns the names that an entry of an index.json has.
func (r reference) names() []string {
	var names []string
	for _, key := range []string{refName, containerdName} {
		if n := r.Annotations[key]; n != "" {
			names = append(names, n)
		}
	}
	return names
}

// called reports whether ref is a name of the entry. containerd's is a full one, which has more than one form.
func (r reference) called(ref string) bool {
	full := r.Annotations[containerdName]
	return slices.Contains(r.names(), ref) || full != "" && sameImage(full, ref)
}

// distinct counts the names among an index's images. One image for several platforms has one name, or none.
func distinct(list []reference) int {
	seen := make(map[string]bool)
	for _, d := range list {
		if d.ArtifactType == "" && d.Platform.OS != "unknown" && (d.said() || d.mayBeImage()) {
			seen[d.Annotations[refName]] = true
		}
	}
	return len(seen)
}

// whole checks that the layers of an image are all there, with the sizes that its manifest says.
func (b blobs) whole(ctx context.Context, img *Image) error {
	for _, l := range img.Layers {
		rc, size, err := b.files.open(b.path(l.Digest))
		if err != nil {
			if rc, err = l.Open(ctx); err == nil { // which knows why it cannot be opened
				rc.Close()
			}
			return fmt.Errorf("%v: %w", l, err)
		}
		rc.Close()
		if size != l.Size {
			return permanent("%v has %d bytes where the manifest says %d", l, size, l.Size)
		}
	}
	return nil
}

// quoted lists the names of n images for a sentence.
func quoted(names []string, n int) string {
	switch {
	case len(names) == 0 && n > 1:
		return fmt.Sprintf("@0 to @%d, for they have no names", n-1)
	case len(names) == 0:
		return "images without a name"
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for i, n := range names {
		names[i] = fmt.Sprintf("%q", printable.Line(n))
	}
	return strings.Join(names, ", ")
}
