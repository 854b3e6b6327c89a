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
)

// OpenChecked is Open for those who do not decompress what they read: its reader gives io.EOF only if the content, too,
// has the digest that it must have. more are what the layer may be compressed with besides gzip and zstd.
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
		n, format, err := unpacked(h, pr, more)
		got := v1.Hash{Algorithm: l.DiffID.Algorithm, Hex: hex.EncodeToString(h.Sum(nil))}
		switch {
		case err != nil:
			err = permanent("it %v", err)
		case n > maxContent:
			err = permanent("it holds more than %s", bytesText(maxContent))
		case got != l.DiffID && !(format == "" && l.Digest == l.DiffID): // that Open's reader judges
			err = permanent("uncompressed it has the digest %s, not %s as the image's configuration says", got, l.DiffID)
		}
		pr.CloseWithError(io.ErrClosedPipe) // nobody waits for a decompressor that has enough
		c.result <- err
	}()
	return c, nil
}

// maxContent bounds what one layer may hold, as rootfs bounds all of them: its Options.MaxBytes.
const maxContent = 64 << 30

// unpacked writes what packed holds into w, and tells how much that is and how it was compressed.
func unpacked(w io.Writer, packed io.Reader, more []compression.Format) (n int64, format string, err error) {
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

// checked gives the stored bytes of a layer, while its content is hashed.
type checked struct {
	io.ReadCloser
	content *io.PipeWriter
	result  chan error
	err     error // what Read ended with
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		// It fails where the hash has its result already.
		_, _ = c.content.Write(p[:n])
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
	c.content.CloseWithError(io.ErrUnexpectedEOF) // the hash ends, if it has not
	return c.ReadCloser.Close()
}

// VerifyLayout checks an OCI layout that is to go elsewhere as it is: that every image in it has all of its parts, and
// that they are what they should be, content of layers included.
func (s *Source) VerifyLayout(ctx context.Context, dir string) error {
	f := directory(dir)
	raw, err := readSmall(f, ociTable)
	if err != nil {
		return err
	}
	if _, err := readSmall(f, "oci-layout"); err != nil {
		return err
	}
	v := &verification{source: s, resolver: &resolver{store: blobs{f}, logf: s.logf}}
	return v.document(ctx, raw, v1.Descriptor{}, 0)
}

// maxVerified bounds how many manifests a layout may list: indexes that list one another's entries many times multiply.
const maxVerified = 1000

// A verification goes through all that a layout's index.json leads to.
type verification struct {
	source *Source
	*resolver
}

// document verifies what a manifest or an index leads to.
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

// called names a document of a layout in messages.
func called(d v1.Descriptor) string {
	if d.Digest.Hex == "" {
		return "its index.json"
	}
	return "its manifest " + short(d.Digest)
}

// image verifies an image, or what is stored as if it were one.
func (v *verification) image(ctx context.Context, doc *document, d v1.Descriptor) error {
	blobs, err := v.layers(doc)
	if err != nil {
		return fmt.Errorf("%s: %w", called(d), err)
	}
	config, err := v.config(ctx, doc.config)
	if errors.As(err, new(*strange)) && !doc.config.MediaType.IsConfig() {
		config, err = nil, nil // an artifact, whose layers are anything
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
			continue // it need not be here, and does not go elsewhere
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
