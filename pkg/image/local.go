package image

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Open finds the image that name names, on this machine or at a registry. The forms are skopeo's:
//
//	oci:DIR[:NAME]               an OCI image layout, and in it the image called NAME
//	oci-archive:FILE[:NAME]      the same in a tar archive
//	docker-archive:FILE[:NAME]   what "docker save" writes
//	docker://NAME                an image at a registry
//
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
		return s.layout(ctx, name, directory(file), ref)
	case form == "oci-archive", form == "docker-archive":
		return s.archive(ctx, name, file, ref, form == "docker-archive")
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.Mode().IsRegular():
		return s.archive(ctx, name, name, "", false)
	case err == nil:
		if _, err = os.Stat(filepath.Join(name, "oci-layout")); err == nil {
			return s.layout(ctx, name, directory(name), "")
		}
	}
	if IsPath(name) {
		return nil, &fault{text: "it is neither an archive nor a layout", cause: err}
	}
	return s.Resolve(ctx, name) // a directory may happen to be called like the image
}

// IsPath tells whether a name can only be that of a file: no registry and no image is called so.
func IsPath(name string) bool {
	return strings.HasPrefix(name, "/") || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../") || name == "." || name == ".."
}

// files are what a layout or an archive consists of.
type files interface {
	// open returns a file by its slash-separated name, and its size.
	open(name string) (io.ReadCloser, int64, error)
}

// A directory holds files by their names.
type directory string

func (d directory) open(name string) (io.ReadCloser, int64, error) {
	f, err := os.Open(filepath.Join(string(d), filepath.FromSlash(name)))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// An archive is a tar file that was read once to know where what is.
type archive struct {
	path    string
	entries map[string]span
	links   map[string]string // what "docker save" writes for a layer that comes twice
}

type span struct{ offset, size int64 }

// maxEntries bounds what an archive may hold; one with a hundred layers has a few hundred entries.
const maxEntries = 100_000

func openArchive(file string) (*archive, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a := &archive{path: file, entries: make(map[string]span), links: make(map[string]string)}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return a, nil
		}
		if err != nil {
			return nil, permanent("%q is not an archive that can be read (a compressed one must be decompressed first): %v", file, err)
		}
		if len(a.entries)+len(a.links) == maxEntries {
			return nil, permanent("%q has more than %d entries: it is no image", file, maxEntries)
		}
		switch name := path.Clean(h.Name); h.Typeflag {
		case tar.TypeReg:
			// Without a buffer between the two, the file stands where the entry's content begins.
			offset, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			a.entries[name] = span{offset, h.Size}
		case tar.TypeSymlink:
			a.links[name] = path.Join(path.Dir(name), h.Linkname)
		case tar.TypeLink:
			a.links[name] = path.Clean(h.Linkname)
		}
	}
}

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	name = path.Clean(name)
	s, ok := a.entries[name]
	for range 8 { // links to links, but no circle
		if ok {
			break
		}
		name = a.links[name]
		s, ok = a.entries[name]
	}
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	f, err := os.Open(a.path)
	if err != nil {
		return nil, 0, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, s.offset, s.size), f}, s.size, nil
}

// readSmall returns a document of files.
func readSmall(f files, name string) ([]byte, error) {
	rc, size, err := f.open(name)
	if err != nil {
		return nil, &fault{text: fmt.Sprintf("cannot read %q of it", name), cause: err}
	}
	defer rc.Close()
	if size > manifestLimit {
		return nil, permanent("%q of it has %s, more than the %s that one may have", name, bytesText(size), bytesText(manifestLimit))
	}
	b, err := io.ReadAll(rc)
	if err != nil {
		return nil, &fault{text: fmt.Sprintf("cannot read %q of it", name), cause: err}
	}
	return b, nil
}

// archive finds an image in an OCI archive or in one that docker saved. docker's newer ones are both.
func (s *Source) archive(ctx context.Context, called, file, ref string, docker bool) (*Image, error) {
	a, err := openArchive(file)
	if err != nil {
		return nil, err
	}
	if _, ok := a.entries["index.json"]; ok && !docker {
		return s.layout(ctx, called, a, ref)
	}
	if _, ok := a.entries["manifest.json"]; !ok {
		return nil, permanent("%q is an archive of something else: it has neither an index.json nor a manifest.json", file)
	}
	return s.saved(called, a, ref)
}
