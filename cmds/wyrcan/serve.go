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
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/wyrcan/wyrcan/pkg/compression/foreign"
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
	return remote.Write(tag, img, remote.WithContext(ctx), remote.WithNondistributable)
}

// store makes the image that ref names, on this machine, the image.
func (r *localRegistry) store(ctx context.Context, c *cmd, ref string, p v1.Platform) error {
	src, m, err := c.open(ctx, ref, p)
	if err != nil {
		return err
	}
	defer m.end()
	c.tellImage(src)
	img, err := rebuild(ctx, src)
	if err != nil {
		return err
	}
	return r.put(ctx, img)
}

// rebuild makes go-containerregistry's image of one of ours: the layers and the configuration under a new manifest,
// for an archive may have none. The image goes to a registry once: layers may not be read again.
func rebuild(ctx context.Context, src *image.Image) (v1.Image, error) {
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		Architecture: src.Platform.Architecture, OS: src.Platform.OS, Variant: src.Platform.Variant,
		Config: src.Config.Config, Created: src.Config.Created,
	})
	if err != nil {
		return nil, err
	}
	for _, l := range src.Layers {
		var layer v1.Layer
		var err error
		switch {
		case l.Size < 0 || l.Digest == l.DiffID:
			// As docker save has them: compressed on its way.
			open := func() (io.ReadCloser, error) { return l.OpenChecked(ctx, foreign.Formats()...) }
			layer = stream.NewLayer(&lazy{open: open}, stream.WithCompressionLevel(gzip.BestSpeed))
		default:
			layer, err = partial.CompressedToLayer(&stored{ctx, l})
		}
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, err
		}
	}
	return img, nil
}

// stored is a layer that goes as it is.
type stored struct {
	ctx   context.Context // of reading it
	layer *image.Layer
}

func (s *stored) Digest() (v1.Hash, error)            { return s.layer.Digest, nil }
func (s *stored) DiffID() (v1.Hash, error)            { return s.layer.DiffID, nil }
func (s *stored) Size() (int64, error)                { return s.layer.Size, nil }
func (s *stored) MediaType() (types.MediaType, error) { return s.layer.MediaType, nil }
func (s *stored) Compressed() (io.ReadCloser, error) {
	return s.layer.OpenChecked(s.ctx, foreign.Formats()...)
}

// lazy is opened when it is read.
type lazy struct {
	open func() (io.ReadCloser, error)
	rc   io.ReadCloser
}

func (l *lazy) Read(p []byte) (n int, err error) {
	if l.rc == nil {
		if l.rc, err = l.open(); err != nil {
			return 0, err
		}
	}
	return l.rc.Read(p)
}

func (l *lazy) Close() error {
	if l.rc == nil {
		return nil
	}
	return l.rc.Close()
}

// local tells whether an IMAGE lies on this machine.
func local(ref string) bool {
	form, _, _ := strings.Cut(ref, ":")
	switch form {
	case "oci", "oci-archive", "docker-archive":
		return true
	}
	if image.IsPath(ref) {
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
