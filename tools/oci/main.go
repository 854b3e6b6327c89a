// Oci writes Wyrcan as a bootable container, so that Wyrcan can boot Wyrcan, or a kernel with its modules as an image
// for containers that have none.
//
// Synopsis:
//
//	oci -kernel FILE -o DIR [-arch ARCH] [-version VERSION] ARCHIVE...
//	oci -kernel FILE -o DIR [-arch ARCH] -modules DIR
//
// Description:
//
//	DIR becomes an OCI image layout with one image, called "wyrcan". The first layer has the kernel as
//	/boot/wyrcan.kernel. Each ARCHIVE, an initramfs archive (newc, not compressed), becomes a further layer. The old
//	content of DIR is deleted. The same input gives the same bytes.
//
//	With -modules the image is called "kernel". It has the kernel as /boot/vmlinuz-VERSION, and the modules, with the
//	indexes that depmod(8) makes, in /lib/modules/VERSION. The name of the directory is the version.
//
// Options:
//
//	-kernel:  the kernel
//	-o:       the directory to write
//	-arch:    the architecture of the image, as GOARCH names it
//	-version: the version in the labels of the image
//	-modules: the kernel's module directory, or a symlink to one
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/u-root/u-root/pkg/cpio"
)

type cmd struct {
	kernel   string
	output   string
	arch     string
	version  string
	modules  string
	archives []string
}

func main() {
	c, err := command(os.Args)
	if err == nil {
		err = c.run()
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatalf("oci: %v", err)
	}
}

func command(args []string) (*cmd, error) {
	c := &cmd{}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&c.kernel, "kernel", "", "the kernel's `file`")
	f.StringVar(&c.output, "o", "", "the `directory` to write")
	f.StringVar(&c.arch, "arch", runtime.GOARCH, "the `architecture`, as GOARCH names it")
	f.StringVar(&c.version, "version", "", "the `version` to label the image with")
	f.StringVar(&c.modules, "modules", "", "the kernel's module `directory`, for an image of the kernel alone")
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if c.archives = f.Args(); c.kernel == "" || c.output == "" || (len(c.archives) == 0) == (c.modules == "") {
		return nil, errors.New("usage: oci -kernel FILE -o DIR [-arch ARCH] [-version VERSION] ARCHIVE... | -modules DIR")
	}
	return c, nil
}

func (c *cmd) run() error {
	img, name, err := c.image()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(c.output); err != nil {
		return err
	}
	dir, err := layout.Write(c.output, empty.Index)
	if err != nil {
		return err
	}
	return dir.AppendImage(img, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: c.arch}),
		layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": name}))
}

// image returns the image, and what it is called.
func (c *cmd) image() (img v1.Image, name string, err error) {
	if c.modules != "" {
		m, err := openModules(c.modules)
		if err != nil {
			return nil, "", err
		}
		img, err := c.layered("kernel", "A kernel with its modules, for containers that have none", m.version,
			func(w *tar.Writer) error { return c.writeKernel(w, "boot/vmlinuz-"+m.version) },
			func(w *tar.Writer) error { return m.write(w, filepath.Dir(c.output)) })
		return img, "kernel", err
	}
	// What changes least often comes first. A machine or registry that has a layer does not need it again.
	layers := []func(*tar.Writer) error{func(w *tar.Writer) error { return c.writeKernel(w, "boot/wyrcan.kernel") }}
	for _, a := range c.archives {
		layers = append(layers, func(w *tar.Writer) error { return writeArchive(w, a) })
	}
	img, err = c.layered("wyrcan", "The container bootloader, as a container that it can boot", c.version, layers...)
	return img, "wyrcan", err
}

// layered returns an image with a layer for each function.
func (c *cmd) layered(title, about, version string, layers ...func(*tar.Writer) error) (v1.Image, error) {
	config := &v1.ConfigFile{OS: "linux", Architecture: c.arch}
	config.Config.Labels = map[string]string{
		"org.opencontainers.image.title":       title,
		"org.opencontainers.image.description": about,
	}
	if version != "" {
		config.Config.Labels["org.opencontainers.image.version"] = version
	}
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		types.OCIConfigJSON), config)
	if err != nil {
		return nil, err
	}
	for _, write := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := write(w); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser,
			error) {
			return io.NopCloser(bytes.NewReader(b.Bytes())), nil
		},
			tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, err
		}
	}
	return img, nil
}

func (c *cmd) writeKernel(w *tar.Writer, path string) error {
	b, err := os.ReadFile(c.kernel)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "boot/", Mode: 0o755,
		ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o644,
		Size: int64(len(b)), ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// writeArchive writes the files of an initramfs archive.
func writeArchive(w *tar.Writer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(f))
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", file, err)
	}
	for _, r := range records {
		if err := writeRecord(w, r); err != nil {
			return fmt.Errorf("cannot store %q of %s: %w", r.Name, file, err)
		}
	}
	return nil
}

// writeRecord writes a file of an initramfs archive, with all its metadata.
func writeRecord(w *tar.Writer, r cpio.Record) error {
	name := strings.TrimPrefix(path.Clean("/"+r.Name), "/")
	if name == "" {
		return nil // the root itself
	}
	h := &tar.Header{
		Name: name, Mode: int64(r.Mode & 0o7777), Uid: int(r.UID), Gid: int(r.GID),
		ModTime: time.Unix(int64(r.MTime), 0), Devmajor: int64(r.Rmajor), Devminor: int64(r.Rminor),
	}
	var content []byte
	if r.ReaderAt != nil {
		var err error
		if content, err = io.ReadAll(io.NewSectionReader(r.ReaderAt, 0, int64(r.FileSize))); err != nil {
			return err
		}
	}
	switch r.Mode & cpio.S_IFMT {
	case cpio.S_IFREG:
		if r.NLink > 1 {
			return errors.New("it is a hard link, which this program does not support")
		}
		h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
	case cpio.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case cpio.S_IFLNK:
		h.Typeflag, h.Linkname, content = tar.TypeSymlink, string(content), nil
	case cpio.S_IFCHR:
		h.Typeflag = tar.TypeChar
	case cpio.S_IFBLK:
		h.Typeflag = tar.TypeBlock
	case cpio.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	default:
		return fmt.Errorf("a layer cannot hold a file of mode %o", r.Mode)
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
