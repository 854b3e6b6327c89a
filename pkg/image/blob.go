package image

import (
	"context"
	"fmt"
	"hash"
	"io"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
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
	body     *body // nil while there is no connection
	failed   int   // connections in a row that brought too little to count as progress
	resumed  int64 // where the current connection began
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

func (b *blob) dial() error {
	header := http.Header{"Accept-Encoding": {"identity"}}
	if b.offset > 0 {
		// RFC 9110, section 14.2. The end is said because some registries want one.
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.offset, b.size-1))
	}
	body, err := b.registry.get(b.ctx, "blobs/"+b.digest.String(), header)
	if err != nil {
		return err
	}
	skip := b.offset
	if body.resp.StatusCode == http.StatusPartialContent {
		var first int64
		if _, err := fmt.Sscanf(body.resp.Header.Get("Content-Range"), "bytes %d-", &first); err != nil || first != b.offset {
			body.Close()
			return &fault{text: fmt.Sprintf("registry %s gives %q in place of the bytes from %d on", b.registry.repo.RegistryStr(), body.resp.Header.Get("Content-Range"), b.offset), heals: true}
		}
		skip = 0
	}
	if length := body.resp.ContentLength; length > b.size-b.offset+skip {
		body.Close()
		return &fault{text: fmt.Sprintf("registry %s has %d bytes where the manifest says %d", b.registry.repo.RegistryStr(), length+b.offset-skip, b.size), heals: b.registry.source.damage(b.digest), damaged: true}
	}
	// A server that does not know Range begins at the beginning again.
	if _, err := io.CopyN(io.Discard, body, skip); err != nil {
		body.Close()
		return &fault{text: fmt.Sprintf("the download from %s broke again on the way to where it was", b.registry.repo.RegistryStr()), cause: unexpected(err), heals: true}
	}
	b.body, b.resumed = body, b.offset
	return nil
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
