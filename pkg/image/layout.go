package image

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// blobs is a store over the files of an OCI image layout (image-layout.md) or, if flat, of a directory that skopeo has
// written as dir:.
type blobs struct {
	files
	flat bool
}

func (b blobs) String() string {
	if b.flat {
		return "the directory"
	}
	return "the layout"
}

// path returns the name of the file for a blob.
func (b blobs) path(h v1.Hash) string {
	switch {
	case !b.flat:
		return path.Join("blobs", h.Algorithm, h.Hex)
	case h.Algorithm == "sha256":
		return h.Hex
	}
	return h.Algorithm + "-" + h.Hex
}

func (b blobs) manifest(_ context.Context, d v1.Descriptor) ([]byte, error) {
	file := b.path(d.Digest)
	if b.flat {
		file += flatSuffix
	}
	raw, err := readSmall(b.files, file)
	if err != nil {
		return nil, err
	}
	got, err := digest(d.Digest.Algorithm, raw)
	if err != nil {
		return nil, err
	}
	if got != d.Digest {
		return nil, permanent("%q of it has the digest %s", file, got)
	}
	return raw, nil
}

func (b blobs) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	rc, _, err := b.files.open(b.path(d.Digest))
	if err != nil {
		return nil, &fault{text: fmt.Sprintf("it is not in %v", b), cause: err}
	}
	return verify(&contextReader{rc, ctx}, d.Digest, d.Size, func(err error) error { return &fault{text: err.Error()} })
}

// A contextReader is a reader that fails once its context ends.
type contextReader struct {
	io.ReadCloser
	ctx context.Context
}

func (b *contextReader) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return b.ReadCloser.Read(p)
}

// Annotations with the names of an index's images: OCI's (annotations.md), and containerd's, which holds the full name.
const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// layout finds the image that ref names in the OCI layout f ("": the only one; "@0": the first). called is the full
// name that the image gets.
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
	list := doc.manifests
	if ref == "" && distinct(list) > 1 {
		return nil, permanent("it holds several images: name one of %s", quoted(allNames(list), len(list)))
	}
	if list, err = pick(list, ref); err != nil {
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
	store := blobs{files: f}
	r := &resolver{store: store, want: s.platform(), logf: s.logf, track: s.Progress}
	img, err := r.choose(ctx, list, 0)
	if img, err = r.found(img, called, root, err); err != nil {
		return nil, err
	}
	return img, store.checkComplete(ctx, img)
}

// names returns the names of an entry of an index.json.
func (r reference) names() []string {
	var names []string
	for _, key := range []string{refName, containerdName} {
		if n := r.Annotations[key]; n != "" {
			names = append(names, n)
		}
	}
	return names
}

// called reports whether ref is a name of the entry. containerd's name is a full one, which can be written in several
// ways.
func (r reference) called(ref string) bool {
	full := r.Annotations[containerdName]
	return slices.Contains(r.names(), ref) || full != "" && sameImage(full, ref)
}

// distinct returns how many names the images of an index have. One image for several platforms has one name, or none.
func distinct(list []reference) int {
	seen := make(map[string]bool)
	for _, d := range list {
		if d.ArtifactType == "" && d.Platform.OS != "unknown" && (d.hasPlatform() || d.mayBeImage()) {
			seen[d.Annotations[refName]] = true
		}
	}
	return len(seen)
}

// checkComplete checks that all layers of an image are there, and have the sizes that its manifest says.
func (b blobs) checkComplete(ctx context.Context, img *Image) error {
	for _, l := range img.Layers {
		rc, size, err := b.files.open(b.path(l.Digest))
		if err != nil {
			if rc, err = l.Open(ctx); err == nil { // Open says why the layer cannot be opened
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
