// Package image turns the name of a container image into a verified image for this machine. It follows the OCI
// distribution and image specifications (https://github.com/opencontainers/distribution-spec,
// https://github.com/opencontainers/image-spec) and their predecessor, Docker's schema 2. It refuses Docker's schema 1,
// which has no digests to verify layers with.
//
// Layers are read as they are stored, compressed or not; package rootfs reads their content. No image of a registry is
// written to disk, and no layer is held in memory.
package image

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// An Image is one image for one platform. Its manifest and its configuration have been verified; its layers have not
// been read yet.
type Image struct {
	// Name is the full name: the requested name, with the implied registry and tag filled in.
	Name string
	// From is the repository that had the manifest, "mirror.example/name" say. It is empty for an image that comes from
	// no registry.
	From string
	// Digest is the digest of the image's manifest.
	Digest v1.Hash
	// Root is the digest of the document that Name refers to: an index, or the manifest itself.
	Root v1.Hash
	// ConfigDigest is the digest of the image's configuration, which docker calls the image's ID. An archive that docker
	// saved has no manifest: there it is Digest and Root, too.
	ConfigDigest v1.Hash
	// Platform is the platform that the image was made for, as far as the index or the configuration says.
	Platform v1.Platform
	// Config is the image's configuration: labels, environment, creation time. Malformed fields are empty, and the
	// history is left out.
	Config *v1.ConfigFile
	// Layers are the image's file system, lowest first.
	Layers []*Layer

	doubtful bool   // it may be something other than a container image
	places   places // where it may be had; nil for an image on this machine
}

// Size returns the stored size of all layers of i, in bytes, without reading them. A layer whose size is not known
// (Layer.Size is -1) counts as 0.
func (i *Image) Size() int64 {
	var n int64
	for _, l := range i.Layers {
		n += max(l.Size, 0)
	}
	return n
}

// A Layer is one layer of an image.
type Layer struct {
	// Number is the layer's position, counted from 1 for the lowest.
	Number int
	// Digest is the digest of the stored bytes, which Open reads.
	Digest v1.Hash
	// Size is the number of stored bytes, or -1 if it is not known before the layer is read.
	Size int64
	// MediaType is the media type in the manifest. It is often wrong: look at the bytes.
	MediaType types.MediaType
	// DiffID is the digest that the uncompressed content must have. The code that decompresses it must check that.
	DiffID v1.Hash

	open func(context.Context) (io.ReadCloser, error)
}

// Open returns a reader of the stored bytes of l. The reader returns io.EOF only after exactly Size bytes with the
// right digest, so a caller must read to the end before it trusts the content. Open may be called again, and for
// several layers at once. ctx bounds all reading from the returned reader.
func (l *Layer) Open(ctx context.Context) (io.ReadCloser, error) { return l.open(ctx) }

// Digests returns the digest of the stored bytes, and the digest of the uncompressed archive in them.
func (l *Layer) Digests() (stored, archive string) { return l.Digest.String(), l.DiffID.String() }

// String returns the layer's name for messages: "layer 2 (sha256:0123456789ab)".
func (l *Layer) String() string { return fmt.Sprintf("layer %d (%s)", l.Number, short(l.Digest)) }

// short returns a digest cut to a length that people can compare by eye.
func short(h v1.Hash) string {
	return h.Algorithm + ":" + h.Hex[:min(12, len(h.Hex))]
}
