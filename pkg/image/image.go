// Package image turns the name of a container image into a verified image for this machine, by the OCI distribution
// and image specifications (https://github.com/opencontainers/distribution-spec, https://github.com/opencontainers/image-spec)
// and Docker's schema 2 before them. Docker's schema 1 is refused: it has no digests to verify layers by.
//
// Layers come as they are stored, compressed or not; what is in them is package rootfs's. Nothing is kept on disk and
// no layer is ever held in memory.
package image

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// An Image is one image for one platform. Its manifest and its configuration have been verified, its layers have not
// been read.
type Image struct {
	// Name is the full name: what was asked for with the registry, the tag or the digest that it implies.
	Name string
	// Digest is that of the image's manifest.
	Digest v1.Hash
	// Root is the digest of what Name pointed to: an index, or the manifest itself.
	Root v1.Hash
	// Platform is what the image was made for, as far as the index or the configuration says.
	Platform v1.Platform
	// Config is the image's configuration: labels, environment, when it was made. What of it has not the form that it
	// should is empty, and its history is left out.
	Config *v1.ConfigFile
	// Layers are the image's file system, lowest first.
	Layers []*Layer

	doubtful bool // it may be something else than a container image
}

// Size returns the bytes that the layers of i have as they are stored, known before any of them is read. A layer of
// which an archive does not tell the size counts as nothing.
func (i *Image) Size() int64 {
	var n int64
	for _, l := range i.Layers {
		n += max(l.Size, 0)
	}
	return n
}

// A Layer is one layer of an image.
type Layer struct {
	// Number counts from 1, the lowest.
	Number int
	// Digest is that of the bytes that Open gives.
	Digest v1.Hash
	// Size is the number of bytes that Open gives, or -1 where only reading can tell.
	Size int64
	// MediaType is what the manifest calls the layer. It is often wrong: look at the bytes.
	MediaType types.MediaType
	// DiffID is the digest that the layer's content must have, uncompressed. Whoever decompresses it must check that.
	DiffID v1.Hash

	open func(context.Context) (io.ReadCloser, error)
}

// Open returns the bytes of l as they are stored. Its reader gives io.EOF only after exactly Size bytes with the right
// digest, so whoever acts on the content must read it to the end. It may be called again, and for several layers at
// once. ctx bounds the whole reading.
func (l *Layer) Open(ctx context.Context) (io.ReadCloser, error) { return l.open(ctx) }

// Digests returns those of what Open gives, and of the archive in it.
func (l *Layer) Digests() (stored, archive string) { return l.Digest.String(), l.DiffID.String() }

// String names l in messages: "layer 2 (sha256:0123456789ab)".
func (l *Layer) String() string { return fmt.Sprintf("layer %d (%s)", l.Number, short(l.Digest)) }

// short cuts a digest to what people compare by eye.
func short(h v1.Hash) string {
	return h.Algorithm + ":" + h.Hex[:min(12, len(h.Hex))]
}
