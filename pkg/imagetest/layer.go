package imagetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression is the form in which a layer's tar archive is stored.
type Compression int

// The forms in use. Parallel compressors such as pigz -i and pzstd write the multi forms.
const (
	Gzip Compression = iota
	MultiGzip
	Zstd
	MultiZstd
	Plain
)

// String returns the name used in subtests.
func (c Compression) String() string {
	return [...]string{"gzip", "multi-member gzip", "zstd", "multi-frame zstd", "plain"}[c]
}

// Layer describes one layer of an image.
type Layer struct {
	Entries     []Entry
	Tar         []byte // the bytes of the archive, instead of Entries
	NoTrailer   bool   // leave out the two zero blocks at the end
	Compression Compression
	MediaType   types.MediaType // empty: the one for Compression
}

// Files returns a gzip layer of these entries.
func Files(entries ...Entry) Layer { return Layer{Entries: entries} }

// Archive returns the uncompressed tar archive.
func (l Layer) Archive() ([]byte, error) {
	if l.Tar != nil {
		return l.Tar, nil
	}
	var out []byte
	for _, e := range l.Entries {
		b, err := e.bytes()
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	if !l.NoTrailer {
		out = append(out, make([]byte, 1024)...)
	}
	return out, nil
}

// Blob builds the layer as a registry stores it.
func (l Layer) Blob(t testing.TB) *Blob {
	t.Helper()
	archive, err := l.Archive()
	if err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	data, err := compress(archive, l.Compression)
	if err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	b := &Blob{Data: data, archive: archive, mediaType: l.MediaType}
	if b.mediaType == "" {
		b.mediaType = mediaType(l.Compression)
	}
	if b.diffID, _, err = v1.SHA256(bytes.NewReader(archive)); err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	if b.digest, _, err = v1.SHA256(bytes.NewReader(data)); err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	return b
}

func mediaType(c Compression) types.MediaType {
	switch c {
	case Zstd, MultiZstd:
		return types.OCILayerZStd
	case Plain:
		return types.OCIUncompressedLayer
	default:
		return types.OCILayer
	}
}

// compress compresses archive in form c. For the multi forms it cuts the archive into three parts.
func compress(archive []byte, c Compression) ([]byte, error) {
	parts := [][]byte{archive}
	if c == MultiGzip || c == MultiZstd {
		third := len(archive) / 3
		parts = [][]byte{archive[:third], archive[third : 2*third], archive[2*third:]}
	}
	var out bytes.Buffer
	for _, part := range parts {
		var w io.WriteCloser
		switch c {
		case Plain:
			return archive, nil
		case Zstd, MultiZstd:
			zw, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
			if err != nil {
				return nil, fmt.Errorf("cannot compress: %w", err)
			}
			w = zw
		default:
			w = gzip.NewWriter(&out)
		}
		if _, err := w.Write(part); err != nil {
			return nil, fmt.Errorf("cannot compress: %w", err)
		}
		if err := w.Close(); err != nil {
			return nil, fmt.Errorf("cannot compress: %w", err)
		}
	}
	return out.Bytes(), nil
}

// Blob is a layer as a registry stores it. It implements v1.Layer; with Open and String package rootfs accepts it too.
type Blob struct {
	Data []byte // compressed

	archive        []byte
	digest, diffID v1.Hash
	mediaType      types.MediaType
}

// Open returns the stored bytes.
func (b *Blob) Open(context.Context) (io.ReadCloser, error) { return b.Compressed() }

// String names the layer in messages.
func (b *Blob) String() string { return "layer " + b.digest.String()[:19] }

// Digests returns the digests of the stored bytes and of the archive.
func (b *Blob) Digests() (stored, archive string) { return b.digest.String(), b.diffID.String() }

// Digest returns the hash of the stored bytes.
func (b *Blob) Digest() (v1.Hash, error) { return b.digest, nil }

// DiffID returns the hash of the tar archive.
func (b *Blob) DiffID() (v1.Hash, error) { return b.diffID, nil }

// Compressed returns the stored bytes.
func (b *Blob) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b.Data)), nil
}

// Uncompressed returns the tar archive.
func (b *Blob) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b.archive)), nil
}

// Size returns the number of stored bytes.
func (b *Blob) Size() (int64, error) { return int64(len(b.Data)), nil }

// MediaType returns the media type of the layer in the manifest.
func (b *Blob) MediaType() (types.MediaType, error) { return b.mediaType, nil }
