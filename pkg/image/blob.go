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
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// A blob is a download that resumes where it stopped when the connection breaks. It reads size bytes, or more if the
// registry sends more; the verifier around it checks them.
type blob struct {
	ctx      context.Context // the context given to open
	registry *registry       // where it comes from now
	next     places          // where it may come from if that fails
	used     places          // where some of its bytes have come from, and registry
	digest   v1.Hash
	size     int64
	offset   int64         // of the next byte to read
	end      int64         // of what is to be read: size, or less for a window
	piece    bool          // it is a window, and errNoRanges if the registry does not send it as one
	failing  func()        // called after each failure, may be nil
	body     io.ReadCloser // nil while there is no connection
	failed   int           // failures in a row, without progress between them
	resumed  int64         // the offset where the current connection began
	troubled bool          // a failure was told, and since then neither progress nor another place
	noRange  bool          // the registry refuses to send a part of the blob
}

// progress is how many bytes a connection must bring to reset the count of failures in a row.
const progress = 64 << 10

func (b *blob) Read(p []byte) (int, error) {
	for {
		if b.body == nil {
			if b.offset >= b.end {
				return 0, io.EOF
			}
			if err := b.connect(); err != nil {
				return 0, err
			}
		}
		n, err := b.body.Read(p)
		b.offset += int64(n)
		if b.troubled && (b.offset-b.resumed >= progress || b.offset >= b.end) {
			b.troubled = false
			b.registry.source.works(b.registry.String())
		}
		if err == nil {
			return n, nil
		}
		b.body.Close()
		b.body = nil
		if err == io.EOF && b.noRange && b.offset < b.size {
			return n, b.move(b.wrongLength(b.offset))
		}
		if b.offset < b.end {
			if err := b.broke(err); err != nil {
				return n, err
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// broke counts a connection that ended early, and waits before the next one. It returns an error if there should not be
// a next one.
func (b *blob) broke(err error) error {
	if b.offset-b.resumed >= progress {
		b.failed = 0
	}
	b.fail()
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	return b.pause(&fault{
		text: fmt.Sprintf("the download from %s broke after %s of %s",
			b.registry.repo.RegistryStr(), units.Exact(b.offset), units.Exact(b.size)),
		gist:  "the download from " + b.registry.repo.RegistryStr() + " broke",
		cause: unexpected(err),
		heals: true,
	})
}

// fail counts a failure.
func (b *blob) fail() {
	b.failed++
	if b.failing != nil && b.ctx.Err() == nil {
		b.failing()
	}
}

// pause waits after a failure, or moves on to the next place. It allows more failures once a part of the blob has
// arrived.
func (b *blob) pause(err error) error {
	p := b.registry.place.asking()
	if b.offset > 0 {
		p = b.registry.place.resuming()
	}
	b.troubled = true
	if err = b.registry.source.pause(b.ctx, p, b.failed, err); err == nil {
		return nil
	}
	return b.move(err)
}

// move has the rest of the blob come from the next place that can be reached. err is why it does not come from the
// current one, nil if there is none yet. It returns the last error if there is no such place.
func (b *blob) move(err error) error {
	var from *place
	if err != nil {
		from = b.registry.place
		if b.ctx.Err() == nil {
			from.failed(err)
		}
	}
	for len(b.next) > 0 && b.ctx.Err() == nil {
		p := b.next[0]
		b.next = b.next[1:]
		if err != nil && from.left(err, p) {
			b.troubled = false
		}
		var reg *registry
		if reg, err = p.connect(b.ctx); err == nil {
			b.registry, b.failed, b.noRange, b.resumed = reg, 0, false, b.offset
			b.used = append(b.used, p)
			return nil
		}
		from = p
	}
	if err == nil {
		err = context.Cause(b.ctx) // it ended before there was a place to ask
	}
	return err
}

// wrong returns the error for wrong bytes of the blob, which err describes. No mirror that they came from is asked for
// this blob again.
func (b *blob) wrong(err error) error { return wrongBytes(b.registry.source, b.used, b.digest, err) }

func wrongBytes(s *Source, from places, blob v1.Hash, err error) error {
	for _, p := range from {
		p.spoil(blob)
	}
	return &fault{text: err.Error(), heals: s.damage(blob), damaged: true}
}

// connect opens a connection that continues at b.offset, with several tries if need be.
func (b *blob) connect() error {
	if b.registry == nil {
		if err := b.move(nil); err != nil {
			return err
		}
	}
	for {
		err := b.dial()
		if err == nil || errors.Is(err, errNoRanges) {
			return err
		}
		b.fail()
		if err := b.pause(err); err != nil {
			return err
		}
	}
}

// dial makes one connection. If the registry, or the storage that it redirects to, refuses to send a part of the blob
// (416, 403, a 206 that does not say which part it is), dial requests the blob from its beginning.
func (b *blob) dial() error {
	part := (b.offset > 0 || b.end < b.size) && !b.noRange
	header := make(http.Header)
	if part {
		// RFC 9110, section 14.2. The end of the range is optional, but some registries want it.
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.offset, b.end-1))
	}
	got, err := b.registry.get(b.ctx, "blobs/"+b.digest.String(), header)
	var f *fault
	if part && errors.As(err, &f) && f.status >= 400 && f.status < 500 && !f.heals && f.status != http.StatusNotFound {
		return b.dialWhole()
	}
	if err != nil {
		return err
	}
	begin := int64(0) // of what the answer has
	if got.resp.StatusCode == http.StatusPartialContent {
		contentRange := got.resp.Header.Get("Content-Range")
		first, ok := rangeStart(contentRange)
		switch {
		case ok && first == b.offset:
			begin = b.offset
		case part:
			got.Close()
			return b.dialWhole()
		default:
			got.Close()
			return &fault{
				text: fmt.Sprintf("%s gives a part of the blob (%q) that was not asked for",
					b.registry, printable.Line(contentRange)),
				heals: true,
			}
		}
	} else if b.piece {
		if b.offset > 0 {
			got.Close()
			return errNoRanges
		}
		b.piece, b.end = false, b.size // it is the whole blob
	}
	return b.begin(got, begin)
}

// dialWhole requests the blob from its beginning, after a registry refused to send a part of it.
func (b *blob) dialWhole() error {
	if b.piece && b.offset > 0 {
		return errNoRanges
	}
	b.noRange, b.piece, b.end = true, false, b.size
	return b.dial()
}

// begin starts to read an answer whose first byte is at the offset from of the blob: a server that does not support
// Range sends the blob from its beginning.
func (b *blob) begin(got *answer, from int64) error {
	length := got.resp.ContentLength
	if b.piece && (got.encoding() != "" || length > b.end-b.offset) {
		got.Close()
		return b.dialWhole()
	}
	body, err := b.content(got, b.end-from)
	if err != nil {
		got.Close()
		return err
	}
	if _, err := io.CopyN(io.Discard, body, b.offset-from); err != nil {
		body.Close()
		return asFault(&fault{
			text: fmt.Sprintf("the download from %s broke again before it reached the first missing byte",
				b.registry.repo.RegistryStr()),
			cause: unexpected(err),
			heals: true,
		}, err)
	}
	b.body, b.resumed = body, b.offset
	return nil
}

// wrongLength returns the error for a blob that has n bytes at the registry.
func (b *blob) wrongLength(n int64) error {
	return &fault{
		text:    fmt.Sprintf("%s has %d bytes where the manifest says %d", b.registry, n, b.size),
		gist:    fmt.Sprintf("%s has another number of bytes than the manifest says", b.registry),
		heals:   b.registry.source.damage(b.digest),
		damaged: true,
	}
}

// rangeStart returns the position of the first byte in a Content-Range header (RFC 9110, section 14.4).
func rangeStart(header string) (first int64, ok bool) {
	_, err := fmt.Sscanf(header, "bytes %d-", &first)
	return first, err == nil
}

// content returns the content of an answer that should have n bytes. Content-Encoding has two meanings: some servers
// compress every answer, and storage services send it for a blob that is itself a compressed file, which must stay as
// it is. The length tells which.
func (b *blob) content(a *answer, n int64) (io.ReadCloser, error) {
	length := a.resp.ContentLength
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
		return nil, permanent("%s answers in the encoding %q, which it was not asked for",
			b.registry, printable.Line(encoding))
	}
	// A short answer may come from a broken proxy, and the download resumes after it. Where Range is refused it cannot
	// resume, so the length is final.
	if length > n || b.noRange && length >= 0 && length < n {
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

// unexpected returns err, with io.ErrUnexpectedEOF in place of io.EOF.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A verifier passes on the bytes of a reader, and io.EOF only if they have the right digest.
type verifier struct {
	io.ReadCloser
	want  v1.Hash
	size  int64 // -1: any size
	n     int64
	hash  hash.Hash
	wrong func(error) error
	err   error
}

// verify returns a reader of rc that returns io.EOF only after size bytes (any number for -1) with the digest want.
// For other bytes it returns the error that wrong makes of a sentence about them.
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

// end checks the size and the digest once all bytes have been read. It returns io.EOF if they are right.
func (v *verifier) end() error {
	if v.size >= 0 && v.n != v.size {
		return v.wrong(fmt.Errorf("it ends after %d of %d bytes", v.n, v.size))
	}
	if got := (v1.Hash{Algorithm: v.want.Algorithm, Hex: fmt.Sprintf("%x", v.hash.Sum(nil))}); got != v.want {
		return v.wrong(fmt.Errorf("its bytes are wrong: their digest is %s, not %s", got, v.want))
	}
	return io.EOF
}
