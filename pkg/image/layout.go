package image

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
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

func (b blobs) open(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	rc, _, err := b.files.open(b.path(d.Digest))
	if err != nil {
		return nil, &fault{text: "it is not in the layout", cause: err}
	}
	return verify(rc, d.Digest, d.Size, func(err error) error { return &fault{text: err.Error()} })
}

// Annotations that name the images of an index: OCI's (annotations.md), and containerd's, whose value is the full name.
const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// layout finds the image called ref ("": the only one) in the OCI layout f.
func (s *Source) layout(ctx context.Context, called string, f files, ref string) (*Image, error) {
	raw, err := readSmall(f, "index.json")
	if err != nil {
		return nil, err
	}
	doc, err := parseManifest(raw)
	if err != nil || !doc.index {
		return nil, permanent("its index.json is no index")
	}
	list := doc.Manifests
	var names []string
	for _, d := range list {
		for _, n := range []string{d.Annotations[refName], d.Annotations[containerdName]} {
			if n != "" {
				names = append(names, n)
			}
		}
	}
	if ref != "" {
		list = slices.DeleteFunc(slices.Clone(list), func(d v1.Descriptor) bool {
			return d.Annotations[refName] != ref && d.Annotations[containerdName] != ref
		})
		if len(list) == 0 {
			return nil, permanent("no image of that name is in it, only %s", quoted(names))
		}
	} else if distinct(list) > 1 {
		return nil, permanent("it holds several images: name one of %s", quoted(names))
	}
	root, err := digest("sha256", raw)
	if err != nil {
		return nil, err
	}
	if len(list) == 1 {
		root = list[0].Digest
	}
	r := &resolver{store: blobs{f}, want: s.platform(), logf: s.logf, track: s.Progress}
	img, err := r.choose(ctx, list, 0)
	return r.found(img, called, root, err)
}

// distinct counts the names among an index's images. One image for several platforms has one name, or none.
func distinct(list []v1.Descriptor) int {
	seen := make(map[string]bool)
	for _, d := range list {
		seen[d.Annotations[refName]] = true
	}
	return len(seen)
}

// quoted lists names for a sentence.
func quoted(names []string) string {
	if len(names) == 0 {
		return "images without a name"
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for i, n := range names {
		names[i] = fmt.Sprintf("%q", printable.Line(n))
	}
	return strings.Join(names, ", ")
}
