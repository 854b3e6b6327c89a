package image

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// OpenChecked is like Open, for callers that do not decompress the layer: its reader returns io.EOF only if the
// uncompressed content has the right digest too. more lists the compression formats to accept besides gzip and zstd.
func (l *Layer) OpenChecked(ctx context.Context, more ...compression.Format) (io.ReadCloser, error) {
	h, err := v1.Hasher(l.DiffID.Algorithm)
	if err != nil {
		return nil, permanent("digests of kind %q are not known", printable.Line(l.DiffID.Algorithm))
	}
	rc, err := l.Open(ctx)
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	c := &checked{ReadCloser: rc, content: pw, result: make(chan error, 1)}
	go func() {
		n, format, err := decompressTo(h, pr, more)
		got := v1.Hash{Algorithm: l.DiffID.Algorithm, Hex: hex.EncodeToString(h.Sum(nil))}
		switch {
		case err != nil:
			err = permanent("it %v", err)
		case n > maxContent:
			err = permanent("it holds more than %s", units.Exact(maxContent))
		case got != l.DiffID && !(format == "" && l.Digest == l.DiffID): // in this case Open's reader has checked the digest
			err = permanent("uncompressed it has the digest %s, not %s as the image's configuration says", got, l.DiffID)
		}
		pr.CloseWithError(io.ErrClosedPipe) // Read must not block when the decompressor stops before the end
		c.result <- err
	}()
	return c, nil
}

// maxContent is the largest uncompressed content of one layer. Package rootfs has the same limit for all layers
// together (Options.MaxBytes).
const maxContent = 64 << 30

// decompressTo writes the content of packed to w. It returns the size of the content, and the compression format.
func decompressTo(w io.Writer, packed io.Reader, more []compression.Format) (n int64, format string, err error) {
	zr, format, err := compression.NewReader(packed, more...)
	if err != nil {
		return 0, "", err
	}
	defer zr.Close()
	n, err = io.Copy(w, io.LimitReader(zr, maxContent+1))
	if err != nil {
		return n, format, fmt.Errorf("cannot be decompressed: %w", err)
	}
	return n, format, nil
}

// A checked reader reads the stored bytes of a layer, while a goroutine decompresses and hashes them.
type checked struct {
	io.ReadCloser
	content *io.PipeWriter // to the goroutine
	result  chan error
	err     error // the error that ended Read
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		_, _ = c.content.Write(p[:n]) // fails once the goroutine has its result
	}
	if err == io.EOF {
		c.content.Close()
		if wrong := <-c.result; wrong != nil {
			err = wrong
		}
	}
	c.err = err
	return n, err
}

func (c *checked) Close() error {
	c.content.CloseWithError(io.ErrUnexpectedEOF) // ends the goroutine
	return c.ReadCloser.Close()
}

// VerifyLayout checks an OCI layout before it is copied elsewhere as it is: every image in it must be complete, and
// every part must have the right digest, the uncompressed content of layers included.
func (s *Source) VerifyLayout(ctx context.Context, dir string) error {
	f := directory(dir)
	raw, err := readSmall(f, ociTable)
	if err != nil {
		return err
	}
	if _, err := readSmall(f, "oci-layout"); err != nil {
		return err
	}
	v := &verification{source: s, resolver: &resolver{store: blobs{files: f}, logf: s.logf}}
	return v.document(ctx, raw, v1.Descriptor{}, 0)
}

// maxVerified is the largest number of manifests that a layout may list. Indexes that list other indexes several times
// multiply the work.
const maxVerified = 1000

// A verification walks through every document that a layout's index.json leads to.
type verification struct {
	source *Source
	*resolver
}

// document verifies everything that a manifest or an index leads to.
func (v *verification) document(ctx context.Context, raw []byte, d v1.Descriptor, depth int) error {
	doc, err := parseManifest(raw)
	if err != nil {
		return permanent("%s cannot be used: %v", called(d), err)
	}
	if !doc.index {
		return v.image(ctx, doc, d)
	}
	if depth == maxDepth {
		return permanent("its indexes lead to indexes more than %d deep", maxDepth)
	}
	for _, ref := range doc.manifests {
		h, err := ref.hash()
		if err != nil {
			return permanent("an entry of %s cannot be used: %v", called(d), err)
		}
		if v.fetched++; v.fetched > maxVerified {
			return permanent("its indexes list more than %d manifests", maxVerified)
		}
		child := v1.Descriptor{Digest: h}
		raw, err := v.store.manifest(ctx, child)
		if err != nil {
			return err
		}
		if err := v.document(ctx, raw, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// called returns the name of a document for messages.
func called(d v1.Descriptor) string {
	if d.Digest.Hex == "" {
		return "its index.json"
	}
	return "its manifest " + short(d.Digest)
}

// image verifies an image, or an artifact that is stored like an image.
func (v *verification) image(ctx context.Context, doc *document, d v1.Descriptor) error {
	blobs, err := v.layers(doc)
	if err != nil {
		return fmt.Errorf("%s: %w", called(d), err)
	}
	config, err := v.config(ctx, doc.config)
	if errors.As(err, new(*unusable)) && !doc.config.MediaType.IsConfig() {
		config, err = nil, nil // an artifact: its layers may be anything
	}
	if err != nil {
		return fmt.Errorf("%s: %w", called(d), err)
	}
	var ids []v1.Hash
	if config != nil {
		if ids, err = diffIDs(config, len(blobs)); err != nil {
			return fmt.Errorf("%s: %w", called(d), err)
		}
	}
	for i, l := range blobs {
		if !l.MediaType.IsDistributable() {
			continue // a foreign layer may be missing, and is not copied
		}
		rc, err := l.Open(ctx)
		if config != nil && err == nil {
			rc.Close()
			l.DiffID = ids[i]
			rc, err = l.OpenChecked(ctx, v.source.Formats...)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, rc)
			rc.Close()
		}
		if err != nil {
			return fmt.Errorf("%v of %s: %w", l, called(d), err)
		}
	}
	return nil
}
