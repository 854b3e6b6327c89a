package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// Open finds an image by name, on this machine or at a registry. The forms of name are skopeo's:
//
//	oci:DIR[:NAME]               an OCI image layout, and in it the image called NAME
//	oci-archive:FILE[:NAME]      the same in a tar archive
//	docker-archive:FILE[:NAME]   what "docker save" writes
//	dir:DIR                      one image in a directory, as skopeo and "podman save --format docker-dir" write it
//	docker://NAME                an image at a registry
//
// In place of NAME, @0 means the first image of a layout or an archive, @1 the second. An archive may be compressed. A
// name without a prefix is the path of a layout, an archive or such a directory if there is one, else the name of an
// image at a registry. A name that can only be a path (it begins with "/", "./" or "../") is never looked up at a
// registry. Files must not change while the image is in use; they are open only while they are read.
func (s *Source) Open(ctx context.Context, name string) (*Image, error) {
	form, rest, _ := strings.Cut(name, ":")
	file, ref, _ := strings.Cut(rest, ":")
	switch {
	case form == "docker" && strings.HasPrefix(rest, "//"):
		return s.Resolve(ctx, rest[2:])
	case form == "oci":
		return s.find(ctx, name, directory(file), ref, false)
	case form == "oci-archive", form == "docker-archive":
		return s.archive(ctx, name, file, ref, form == "docker-archive")
	case form == "dir":
		return s.flat(ctx, name, directory(rest)) // which has one image without a name
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.Mode().IsRegular():
		return s.archive(ctx, name, name, "", false)
	case err == nil:
		if _, err = os.Stat(filepath.Join(name, "oci-layout")); err == nil {
			return s.find(ctx, name, directory(name), "", false)
		}
		if IsFlat(name) {
			return s.flat(ctx, name, directory(name))
		}
	}
	if IsPath(name) {
		return nil, &fault{text: "it is neither an archive nor a layout", cause: err}
	}
	return s.Resolve(ctx, name) // a directory may have the same name as the image
}

// IsPath reports whether a name can only be the path of a file, and not the name of an image.
func IsPath(name string) bool {
	return strings.HasPrefix(name, "/") || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../") ||
		name == "." || name == ".."
}

// files are the files of a layout or an archive.
type files interface {
	// open opens a regular file by its slash-separated name, and returns its size. The reader ends after that size.
	open(name string) (io.ReadCloser, int64, error)
}

// A directory is the files below a directory.
type directory string

func (d directory) open(name string) (io.ReadCloser, int64, error) {
	name = filepath.FromSlash(name)
	if !filepath.IsLocal(name) {
		return nil, 0, permanent("%q leads out of the directory", printable.Line(name))
	}
	f, err := openRegular(filepath.Join(string(d), name))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return section(f, 0, info.Size(), f), info.Size(), nil
}

// section returns a reader of size bytes of r, from offset on. Its Close closes c.
func section(r io.ReaderAt, offset, size int64, c io.Closer) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(r, offset, size), c}
}

// openRegular opens a regular file. It checks the kind of file before it opens it, since opening another kind may block
// for ever or have an effect, and again afterwards, in case the file was replaced.
func openRegular(name string) (*os.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, permanent("%q is %s, and not a regular file", name, modeText(info.Mode()))
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = permanent("%q is %s, and not a regular file", name, modeText(info.Mode()))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// modeText returns what to call a file that is not a regular one.
func modeText(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}

// readSmall reads a whole file, such as a manifest, of at most manifestLimit bytes.
func readSmall(f files, name string) ([]byte, error) {
	rc, size, err := f.open(name)
	if err != nil {
		return nil, &fault{text: fmt.Sprintf("cannot read %q of it", printable.Line(name)), cause: err}
	}
	defer rc.Close()
	if size > manifestLimit {
		return nil, permanent("%q of it has %s, more than the %s that one may have",
			printable.Line(name), units.Exact(size), units.Exact(manifestLimit))
	}
	b, err := io.ReadAll(rc)
	if err != nil {
		return nil, &fault{text: fmt.Sprintf("cannot read %q of it", printable.Line(name)), cause: err}
	}
	return b, nil
}

// The two kinds of tables of contents: OCI's (image-layout.md), and docker's older one.
const (
	ociTable    = "index.json"
	dockerTable = "manifest.json"
)

// find finds an image by the tables of contents of f. Archives of docker have both tables, and some releases leave
// OCI's empty, so find takes the first table that leads to a complete image. docker means to try docker's table first.
func (s *Source) find(ctx context.Context, called string, f files, ref string, docker bool) (*Image, error) {
	tables := []string{ociTable, dockerTable}
	find := map[string]func(context.Context, string, files, string) (*Image, error){
		ociTable: s.layout, dockerTable: s.saved,
	}
	if docker {
		slices.Reverse(tables)
	}
	var failed []string
	var first, missing error
	for _, table := range tables {
		if rc, _, err := f.open(table); err == nil {
			rc.Close()
		} else if errors.Is(err, fs.ErrNotExist) {
			missing = &fault{text: "it is neither a layout nor an archive of an image", cause: err}
			continue
		}
		img, err := find[table](ctx, called, f, ref)
		if err == nil {
			return img, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if first == nil {
			first = err
		}
		if text := err.Error(); len(failed) == 0 || text != first.Error() {
			failed = append(failed, fmt.Sprintf("by its %s: %s", table, text))
		}
	}
	switch len(failed) {
	case 0:
		return nil, missing
	case 1:
		return nil, first
	}
	return nil, &fault{text: strings.Join(failed, "; ")}
}

// archive finds an image in an OCI archive, or in an archive that docker saved.
func (s *Source) archive(ctx context.Context, called, file, ref string, docker bool) (*Image, error) {
	a, err := s.openArchive(ctx, file)
	if err != nil {
		return nil, err
	}
	_, oci := a.members[ociTable]
	_, saved := a.members[dockerTable]
	if !oci && !saved {
		return nil, permanent("%q is an archive of something else: it has neither an %s nor a %s",
			file, ociTable, dockerTable)
	}
	return s.find(ctx, called, a, ref, docker)
}
