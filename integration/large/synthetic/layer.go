package synthetic

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Layer is a layer of a shape, stored uncompressed. It implements v1.Layer.
type Layer struct {
	shape  Shape
	digest v1.Hash
	size   int64
}

// New returns the layer. To find its digest it makes all of it once.
func New(t testing.TB, s Shape) *Layer {
	t.Helper()
	l := &Layer{shape: s}
	h := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(h, (*counter)(&l.size)), 1<<20)
	if err := s.Write(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	l.digest = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
	return l
}

// Unknown returns a layer whose digest nobody knows: package rootfs reads it without a check.
func Unknown(s Shape) rootfs.Layer { return unknown{&Layer{shape: s}} }

type unknown struct{ *Layer }

func (unknown) Digests() (stored, archive string) { return "", "" }
func (unknown) String() string                    { return "a layer" }

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// Compressed returns the archive.
func (l *Layer) Compressed() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() {
		b := bufio.NewWriterSize(w, 1<<20)
		err := l.shape.Write(b)
		if err == nil {
			err = b.Flush()
		}
		w.CloseWithError(err)
	}()
	return r, nil
}

// Uncompressed returns the archive.
func (l *Layer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }

// Open returns the archive, as rootfs.Layer does.
func (u unknown) Open(context.Context) (io.ReadCloser, error) { return u.Compressed() }

// Digest returns the hash of the archive.
func (l *Layer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID returns the hash of the archive.
func (l *Layer) DiffID() (v1.Hash, error) { return l.digest, nil }

// Size returns the number of bytes of the archive.
func (l *Layer) Size() (int64, error) { return l.size, nil }

// MediaType returns the media type of the layer in a manifest.
func (l *Layer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }
