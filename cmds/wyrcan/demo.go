package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// demoWords are the start of the last line that the demo container's /init prints.
const demoWords = "wyrcan-demo: the container's own words"

// demo is the command "wyrcan demo".
func (c *cmd) demo(ctx context.Context, args []string) error {
	var s session
	var kernel, init string
	var once bool
	f := c.flags("demo", "[OPTION...]", `Make a small bootable container from a kernel and a program, serve it from a
registry on this machine, and boot it in QEMU with Wyrcan's own kernel and
initrd.
`)
	s.flags(f)
	f.StringVar(&kernel, "demo-kernel", "",
		"use `FILE` as the container's kernel (default wyrcan.kernel beside this program)")
	f.StringVar(&init, "demo-init", "",
		"use `FILE`, a static program, as the container's /init (default wyrcan.demo beside this program)")
	f.BoolVar(&once, "once", false,
		"run unattended; succeed once the container has printed its message, and print the time of each stage")
	_, err := f.parse(args, 0, false)
	if err != nil {
		return err
	}
	if kernel, err = c.artefact(kernel, "wyrcan.kernel", s.arch); err != nil {
		return err
	}
	if init, err = c.artefact(init, "wyrcan.demo", s.arch); err != nil {
		return err
	}
	if once {
		s.until = demoWords
		s.args = append(s.args, "demo=once")
	}
	if !s.verbose {
		s.args = append(s.args, "quiet")
	}
	img, err := demoImage(kernel, init, string(s.arch))
	if err != nil {
		return err
	}
	return s.serveAndStart(ctx, c, func(reg *localRegistry) error { return reg.put(ctx, img) })
}

// A file is an entry of a layer.
type file struct {
	name    string
	mode    int64
	target  string // of a symbolic link
	content []byte
	dir     bool
}

// demoImage builds the demo container. It looks like a distribution's container, only smaller: the kernel and the init
// are where a distribution would put them, with the links that Wyrcan looks for.
func demoImage(kernel, init, arch string) (v1.Image, error) {
	k, err := os.ReadFile(kernel)
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(init)
	if err != nil {
		return nil, err
	}
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		types.OCIConfigJSON),
		&v1.ConfigFile{OS: "linux", Architecture: arch})
	if err != nil {
		return nil, err
	}
	for _, files := range [][]file{
		{
			{name: "boot/", mode: 0o755, dir: true},
			{name: "boot/vmlinuz", mode: 0o644, content: k},
			{name: "boot/wyrcan.kernel", target: "/boot/vmlinuz"},
		},
		{
			{name: "dev/", mode: 0o755, dir: true},
			{name: "etc/", mode: 0o755, dir: true},
			{name: "etc/os-release", mode: 0o644,
				content: []byte("ID=wyrcan-demo\nPRETTY_NAME=\"Wyrcan's demo container\"\n")},
			{name: "proc/", mode: 0o555, dir: true},
			{name: "sys/", mode: 0o555, dir: true},
			{name: "tmp/", mode: 0o1777, dir: true},
			{name: "usr/", mode: 0o755, dir: true},
			{name: "usr/sbin/", mode: 0o755, dir: true},
			{name: "usr/sbin/init", mode: 0o755, content: program},
			{name: "sbin", target: "usr/sbin"},
			{name: "init", target: "sbin/init"},
		},
	} {
		layer, err := layerOf(files)
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, err
		}
	}
	return img, nil
}

// layerOf builds a layer from files. The same files give the same bytes.
func layerOf(files []file) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)),
			ModTime: time.Unix(0, 0)}
		switch {
		case f.dir:
			h.Typeflag = tar.TypeDir
		case f.target != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.target, 0o777
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("cannot store %q: %w", f.name, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("cannot store %q: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser,
		error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	},
		tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithMediaType(types.OCILayer))
}
