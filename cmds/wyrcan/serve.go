package main

import (
	"compress/gzip"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// A localRegistry serves one image to a guest.
type localRegistry struct {
	server *http.Server
	port   string
	dir    string // its blobs: an image need not fit into memory twice
}

// serve starts a registry on the loopback interface.
func serve() (*localRegistry, error) {
	dir, err := os.MkdirTemp("", "wyrcan")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	quiet := log.New(io.Discard, "", 0)
	r := &localRegistry{
		server: &http.Server{Handler: registry.New(registry.Logger(quiet), registry.WithBlobHandler(registry.NewDiskBlobHandler(dir))), ErrorLog: quiet},
		port:   port,
		dir:    dir,
	}
	go r.server.Serve(l) // until Close
	return r, nil
}

// Close ends the registry and removes what it held.
func (r *localRegistry) Close() error {
	r.server.Close()
	return os.RemoveAll(r.dir)
}

// image is the name of the one image, after the registry's address.
const imageName = "/image:latest"

// ref returns the name by which a guest knows the image.
func (r *localRegistry) ref() string { return net.JoinHostPort(host, r.port) + imageName }

// put makes img the image.
func (r *localRegistry) put(ctx context.Context, img v1.Image) error {
	tag, err := name.NewTag("127.0.0.1:" + r.port + imageName)
	if err != nil {
		return err
	}
	return remote.Write(tag, img, remote.WithContext(ctx))
}

// store makes the image that ref names, on this machine, the image.
func (r *localRegistry) store(ctx context.Context, c *cmd, ref string, p v1.Platform) error {
	src, m, err := c.open(ctx, ref, p)
	if err != nil {
		return err
	}
	defer m.end()
	img, err := rebuild(ctx, src)
	if err != nil {
		return err
	}
	return r.put(ctx, img)
}

// rebuild makes go-containerregistry's image of one of ours: the layers and the configuration under a new manifest,
// for an archive may have none.
func rebuild(ctx context.Context, src *image.Image) (v1.Image, error) {
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		Architecture: src.Config.Architecture, OS: src.Config.OS, Variant: src.Config.Variant,
		Config: src.Config.Config, Created: src.Config.Created,
	})
	if err != nil {
		return nil, err
	}
	for _, l := range src.Layers {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return l.Open(ctx) }, tarball.WithCompressionLevel(gzip.BestSpeed))
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, err
		}
	}
	return img, nil
}

// local tells whether an IMAGE lies on this machine.
func local(ref string) bool {
	form, _, _ := strings.Cut(ref, ":")
	switch form {
	case "oci", "oci-archive", "docker-archive":
		return true
	}
	info, err := os.Stat(ref)
	if err != nil {
		return false
	}
	if info.IsDir() {
		_, err = os.Stat(filepath.Join(ref, "oci-layout"))
	}
	return err == nil
}
