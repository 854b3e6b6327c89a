package image

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// open starts the download of the blob that d describes.
func (r *registry) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	b := &blob{ctx: ctx, registry: r, digest: d.Digest, size: d.Size}
	if d.Size > 0 {
		// Ask now, so that a blob that is not there fails where it is opened.
		if err := b.connect(); err != nil {
			return nil, err
		}
	}
	return verify(b, d.Digest, d.Size, func(err error) error {
		return &fault{text: err.Error(), heals: r.source.damage(d.Digest), damaged: true}
	})
}

// A blob is a download that goes on where it stopped when the connection breaks. It gives size bytes, or more if the
// registry has more: whether they are the right ones is for verifier to find.
type blob struct {
	ctx      context.Context // of the one who opened it
	registry *registry
	digest   v1.Hash
	size     int64
	offset   int64
	body     io.ReadCloser // nil while there is no connection
	failed   int           // connections in a row that brought too little to count as progress
	resumed  int64         // where the current connection began
	whole    bool          // the registry does not give a part of it
}

// progress is how much a connection must bring so that its end is not another failure in a row.
const progress = 64 << 10

func (b *blob) Read(p []byte) (int, error) {
	for {
		if b.body == nil {
			if b.offset >= b.size {
				return 0, io.EOF
			}
			if err := b.connect(); err != nil {
				return 0, err
			}
		}
		n, err := b.body.Read(p)
		b.offset += int64(n)
		if err == nil {
			return n, nil
		}
		b.body.Close()
		b.body = nil
		if err == io.EOF && b.whole && b.offset < b.size {
			return n, b.wrongLength(b.offset)
		}
		if b.offset < b.size {
			if err := b.broke(err); err != nil {
				return n, err
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// broke notes that a connection ended early, waits a little, and returns an error if there should not be another.
func (b *blob) broke(err error) error {
	if b.offset-b.resumed >= progress {
		b.failed = 0
	}
	b.failed++
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	err = &fault{
		text:  fmt.Sprintf("the download from %s broke after %s of %s", b.registry.repo.RegistryStr(), bytesText(b.offset), bytesText(b.size)),
		cause: err,
		heals: true,
	}
	return b.pause(err)
}

// pause waits after a failure, longer where there is something to lose.
func (b *blob) pause(err error) error {
	s := b.registry.source
	p := s.asking()
	if b.offset > 0 {
		p = s.resuming()
	}
	return s.pause(b.ctx, p, b.failed, err)
}

// connect makes the connection that goes on at b.offset, in several tries if need be.
func (b *blob) connect() error {
	for {
		err := b.dial()
		if err == nil {
			return nil
		}
		b.failed++
		if err := b.pause(err); err != nil {
			return err
		}
	}
}

// dial makes one connection. Where a registry, or the storage that it redirects to, refuses to give the rest of a blob
// (416, 403, a 206 that does not say which part it is), the blob is asked for from its beginning.
func (b *blob) dial() error {
	part := b.offset > 0 && !b.whole
	header := make(http.Header)
	if part {
		// RFC 9110, section 14.2. The end is said because some registries want one.
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.offset, b.size-1))
	}
	got, err := b.registry.get(b.ctx, "blobs/"+b.digest.String(), header)
	var f *fault
	if part && errors.As(err, &f) && f.status >= 400 && f.status < 500 && !f.heals && f.status != http.StatusNotFound {
		b.whole = true
		return b.dial()
	}
	if err != nil {
		return err
	}
	skip := b.offset
	if got.resp.StatusCode == http.StatusPartialContent {
		said := got.resp.Header.Get("Content-Range")
		if first, ok := rangeStart(said); !ok || first != b.offset {
			got.Close()
			if part {
				b.whole = true
				return b.dial()
			}
			return &fault{text: fmt.Sprintf("registry %s gives a part of the blob (%q) that was not asked for", b.registry.repo.RegistryStr(), printable.Line(said)), heals: true}
		}
		skip = 0
	}
	body, err := b.content(got, b.size-b.offset+skip)
	if err != nil {
		got.Close()
		return err
	}
	// A server that does not know Range begins at the beginning again.
	if _, err := io.CopyN(io.Discard, body, skip); err != nil {
		body.Close()
		return asFault(&fault{text: fmt.Sprintf("the download from %s broke again on the way to where it was", b.registry.repo.RegistryStr()), cause: unexpected(err), heals: true}, err)
	}
	b.body, b.resumed = body, b.offset
	return nil
}

// wrongLength is the failure of a blob that has n bytes where it is stored.
func (b *blob) wrongLength(n int64) error {
	return &fault{
		text:    fmt.Sprintf("registry %s has %d bytes where the manifest says %d", b.registry.repo.RegistryStr(), n, b.size),
		heals:   b.registry.source.damage(b.digest),
		damaged: true,
	}
}

// rangeStart returns the first byte that a Content-Range header says (RFC 9110, section 14.4).
func rangeStart(header string) (first int64, ok bool) {
	_, err := fmt.Sscanf(header, "bytes %d-", &first)
	return first, err == nil
}

// content returns the content of an answer that should have n bytes. Some servers compress whatever they are asked for,
// and say so; storage services say the same of a blob that is stored compressed, and is wanted so. The length tells.
func (b *blob) content(a *answer, n int64) (io.ReadCloser, error) {
	host, length := b.registry.repo.RegistryStr(), a.resp.ContentLength
	switch encoding := a.encoding(); {
	case encoding == "" || length == n:
	case encoding == "gzip":
		zr, err := gzip.NewReader(a)
		if err != nil {
			return nil, a.broke(err)
		}
		return struct {
			io.Reader
			io.Closer
		}{zr, a}, nil
	default:
		return nil, permanent("registry %s answers in the encoding %q, which it was not asked for", host, printable.Line(encoding))
	}
	// A shorter answer may be a broken proxy's, and go on; after a Range was refused it is all there is.
	if length > n || b.whole && length >= 0 && length < n {
		return nil, b.wrongLength(length + b.size - n)
	}
	return a, nil
}

func (b *blob) Close() error {
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}

// unexpected is err, for a place where the end is one.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A verifier passes on the bytes of a reader and its end only if they have the right digest.
type verifier struct {
	io.ReadCloser
	want  v1.Hash
	size  int64 // -1: whatever it has
	n     int64
	hash  hash.Hash
	wrong func(error) error
	err   error
}

// verify returns a reader of rc that ends with io.EOF only after size bytes (any number for -1) with the digest want.
// What else it ends with is made by wrong, from a sentence that says what was wrong.
func verify(rc io.ReadCloser, want v1.Hash, size int64, wrong func(error) error) (io.ReadCloser, error) {
	h, err := v1.Hasher(want.Algorithm)
	if err != nil {
		rc.Close()
		return nil, permanent("digests of kind %q are not known", want.Algorithm)
	}
	return &verifier{ReadCloser: rc, want: want, size: size, hash: h, wrong: wrong}, nil
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil || len(p) == 0 {
		return 0, v.err
	}
	n, err := v.ReadCloser.Read(p)
	if v.size >= 0 && v.n+int64(n) > v.size {
		n = int(v.size - v.n)
		v.n += int64(n)
		v.err = v.wrong(fmt.Errorf("it is longer than the %d bytes that the manifest says", v.size))
		return n, v.err
	}
	v.n += int64(n)
	v.hash.Write(p[:n])
	if err == io.EOF {
		err = v.end()
	}
	v.err = err
	return n, err
}

// end judges what was read, once it has all been.
func (v *verifier) end() error {
	if v.size >= 0 && v.n != v.size {
		return v.wrong(fmt.Errorf("it ends after %d of %d bytes", v.n, v.size))
	}
	if got := (v1.Hash{Algorithm: v.want.Algorithm, Hex: fmt.Sprintf("%x", v.hash.Sum(nil))}); got != v.want {
		return v.wrong(fmt.Errorf("its bytes are wrong: their digest is %s, not %s", got, v.want))
	}
	return io.EOF
}

// bytesText writes a number of bytes for people, in the units of docker and of download tools (powers of ten).
func bytesText(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}
