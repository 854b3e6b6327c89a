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
)

// Open finds the image that name names, on this machine or at a registry. The forms are skopeo's:
//
//	oci:DIR[:NAME]               an OCI image layout, and in it the image called NAME
//	oci-archive:FILE[:NAME]      the same in a tar archive
//	docker-archive:FILE[:NAME]   what "docker save" writes
//	docker://NAME                an image at a registry
//
// In place of NAME, @0 is the first image of a layout or an archive, @1 the second. An archive may be compressed.
// A name without a form is that of a layout or an archive if there is one, else of an image at a registry, unless it can
// only be a path: one that begins with "/", "./" or "../". Files must stay as they are while the image is in use; they
// are open only while they are read.
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
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.Mode().IsRegular():
		return s.archive(ctx, name, name, "", false)
	case err == nil:
		if _, err = os.Stat(filepath.Join(name, "oci-layout")); err == nil {
			return s.find(ctx, name, directory(name), "", false)
		}
	}
	if IsPath(name) {
		return nil, &fault{text: "it is neither an archive nor a layout", cause: err}
	}
	return s.Resolve(ctx, name) // a directory may happen to be called like the image
}

// IsPath reports whether a name can only be that of a file: no registry and no image is called so.
func IsPath(name string) bool {
	return strings.HasPrefix(name, "/") || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../") || name == "." || name == ".."
}

// files are what a layout or an archive consists of.
type files interface {
	// open returns a regular file by its slash-separated name, and its size, which is all that its reader gives.
	open(name string) (io.ReadCloser, int64, error)
}

// A directory holds files by their names.
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

// section gives size bytes of r from offset on, and closes what it is told to.
func section(r io.ReaderAt, offset, size int64, c io.Closer) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(r, offset, size), c}
}

// openRegular opens a file that is a regular one. Others may block for ever when they are opened, never end, or do
// something when they are touched, so they are looked at first, and once more when they are open.
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

// modeText says what a file is that is no regular one.
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

// readSmall returns a document of files.
func readSmall(f files, name string) ([]byte, error) {
	rc, size, err := f.open(name)
	if err != nil {
		return nil, &fault{text: fmt.Sprintf("cannot read %q of it", printable.Line(name)), cause: err}
	}
	defer rc.Close()
	if size > manifestLimit {
		return nil, permanent("%q of it has %s, more than the %s that one may have",
			printable.Line(name), bytesText(size), bytesText(manifestLimit))
	}
	b, err := io.ReadAll(rc)
	if err != nil {
		return nil, &fault{text: fmt.Sprintf("cannot read %q of it", printable.Line(name)), cause: err}
	}
	return b, nil
}

// The two tables of contents that there are: OCI's (image-layout.md), and docker's own, older one.
const (
	ociTable    = "index.json"
	dockerTable = "manifest.json"
)

// find finds an image by the tables of contents of f: docker's archives have both, in some releases with nothing in
// OCI's. The first one that leads to a whole image counts. Those of docker's form are asked for docker's table first.
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

// archive finds an image in an OCI archive or in one that docker saved.
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
