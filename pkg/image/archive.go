package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"github.com/u-root/uio/uio"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// An archive is a tar file with an index of its members.
type archive struct {
	path    string
	plain   *os.File // a compressed file's content; the garbage collector closes it when no layer needs it any more
	members map[string]member
	skipped atomic.Int64 // members that expand skipped on its way to sparse ones, in all
}

// A member is the entry of a tar archive for one name.
type member struct {
	kind         byte // tar's type flag
	link         string
	offset, size int64
	sparse       bool // the archive leaves out its holes
	number       int  // how many members come before it
}

// Limits on what an archive may hold. An archive with a hundred layers has a few hundred members.
const (
	maxMembers = 100_000
	maxNames   = 64 << 20 // bytes of all names together
	maxSkipped = 500_000  // takes some seconds
)

// openArchive opens a tar archive, decompresses it if need be, and indexes its members.
func (s *Source) openArchive(ctx context.Context, file string) (*archive, error) {
	f, err := openRegular(file)
	if err != nil {
		return nil, err
	}
	a := &archive{path: file, members: make(map[string]member)}
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		f.Close()
		return nil, err
	}
	if compression.Identify(head[:n]) != "" {
		defer f.Close()
		if a.plain, err = s.decompress(ctx, f); err != nil {
			return nil, &fault{text: "cannot decompress it", cause: err}
		}
		return a, a.index(ctx, a.plain)
	}
	defer f.Close()
	return a, a.index(ctx, f)
}

// index reads the headers of the tar file f and notes where each member is.
func (a *archive) index(ctx context.Context, f io.ReadSeeker) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	tr := tar.NewReader(f)
	for number, names := 0, 0; ; number++ {
		h, err := tr.Next()
		switch {
		case err == io.EOF:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return permanent("%q is not an archive that can be read: %v", a.path, err)
		case number == maxMembers:
			return permanent("%q has more than %d members: it is not an image", a.path, maxMembers)
		}
		if names += len(h.Name) + len(h.Linkname); names > maxNames {
			return permanent("%q has names of more than %s: it is not an image", a.path, units.Exact(maxNames))
		}
		m := member{kind: h.Typeflag, size: h.Size, sparse: isSparse(h), number: number}
		switch h.Typeflag {
		case tar.TypeXGlobalHeader:
			continue
		case tar.TypeSymlink:
			m.link = path.Join(path.Dir(cleanName(h.Name)), h.Linkname)
		case tar.TypeLink:
			m.link = h.Linkname
		}
		// tar.Reader does not buffer, so the file position is where the member's content begins.
		if m.offset, err = f.Seek(0, io.SeekCurrent); err != nil {
			return err
		}
		a.members[cleanName(h.Name)] = m // of several members with one name the last one counts, as in tar
	}
}

// cleanName returns name as a clean path from the archive's root, without a leading slash.
func cleanName(name string) string { return path.Clean("/" + name)[1:] }

// isSparse reports whether the archive leaves out the holes of a member (GNU tar's manual, "Sparse Formats").
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	m, ok := a.members[cleanName(name)]
	for range 8 { // a link may point to a link; the limit ends a circle
		if m.link == "" {
			break
		}
		m, ok = a.members[cleanName(m.link)]
	}
	if !ok || m.link != "" {
		return nil, 0, fs.ErrNotExist
	}
	switch m.kind {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
	default:
		return nil, 0, permanent("%q is %s, and not a regular file", printable.Line(name), kindText(m.kind))
	}
	var content io.ReaderAt = a.plain
	closer := io.NopCloser(nil)
	if a.plain == nil {
		f, err := openRegular(a.path)
		if err != nil {
			return nil, 0, err
		}
		content, closer = f, f
	}
	if !m.sparse {
		return section(content, m.offset, m.size, closer), m.size, nil
	}
	r, err := a.expand(content, m.number)
	if err != nil {
		closer.Close()
		return nil, 0, err
	}
	return struct {
		io.Reader
		io.Closer
	}{r, closer}, m.size, nil
}

// expand returns the content of the sparse member with that number, holes included. Only tar.Reader knows where the
// holes are, and it has to read the archive from the beginning.
func (a *archive) expand(content io.ReaderAt, number int) (io.Reader, error) {
	if a.skipped.Add(int64(number)) > maxSkipped {
		return nil, permanent("%q has too many members whose holes were left out: write the archive again without --sparse",
			a.path)
	}
	tr := tar.NewReader(uio.Reader(content))
	for range number + 1 {
		if _, err := tr.Next(); err != nil {
			return nil, unexpected(err)
		}
	}
	return tr, nil
}

// kindText returns what to call a member that is not a regular file.
func kindText(kind byte) string {
	switch kind {
	case tar.TypeDir:
		return "a directory"
	case tar.TypeFifo:
		return "a pipe"
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	}
	return "a member of the unknown tar type '" + printable.Line(string(rune(kind))) + "'"
}

// maxArchive is the largest content that a compressed archive may have, the same as rootfs's limit for an image.
const maxArchive = 64 << 30

// decompress writes the content of a compressed archive into an unlinked temporary file: the content may be larger than
// memory. It uses at most three quarters of the free disk space.
func (s *Source) decompress(ctx context.Context, f *os.File) (*os.File, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	rc, format, err := compression.NewReader(f, s.Formats...)
	if err != nil {
		return nil, permanent("it %v", err)
	}
	defer rc.Close()
	content := bufio.NewReaderSize(rc, 64<<10)
	if !beginsArchive(content) {
		return nil, permanent("its content, compressed with %s, is no archive", format)
	}
	out, err := os.CreateTemp("", "wyrcan-archive-")
	if err != nil {
		return nil, err
	}
	if err = os.Remove(out.Name()); err == nil {
		err = fill(ctx, out, content, format)
	}
	if err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// beginsArchive reports whether r may be an archive, as far as its buffer can tell. So a file that is something else
// does not fill the disk first.
func beginsArchive(r *bufio.Reader) bool {
	head, err := r.Peek(r.Size())
	if err != nil && err != io.EOF {
		return true // the caller gets the error when it reads on
	}
	_, err = tar.NewReader(bytes.NewReader(head)).Next()
	return err == nil || errors.Is(err, io.ErrUnexpectedEOF)
}

// fill copies r, the content of a file compressed as format, into the file out.
func fill(ctx context.Context, out *os.File, r io.Reader, format string) error {
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(out.Fd()), &disk); err != nil {
		return err
	}
	room := min(maxArchive, int64(disk.Bavail)*disk.Bsize/4*3)
	for left := room; ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.CopyN(out, r, min(left+1, 16<<20))
		switch left -= n; {
		case left < 0:
			return permanent("it has more than the %s that %s has room for: decompress it yourself, "+
				"or let TMPDIR name a directory with more room", units.Exact(room), os.TempDir())
		case err == io.EOF:
			return nil
		case err != nil:
			return permanent("as %s: %v", format, err)
		}
	}
}
