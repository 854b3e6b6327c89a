package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"gitlab.com/wyrcan/wyrcan/pkg/compression/foreign"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/netboot"
)

// A localRegistry serves one image to a guest, on the loopback interface. Every user of this machine can connect to it,
// so it accepts no uploads. The image comes from this process.
type localRegistry struct {
	listener net.Listener
	port     string
	dir      string // for the blobs: an image may be too large for memory

	mu       sync.Mutex
	manifest []byte // nil before put
	kind     types.MediaType
	digest   v1.Hash
}

// startRegistry starts a localRegistry without an image.
func startRegistry() (*localRegistry, error) {
	dir, err := os.MkdirTemp("", "wyrcan")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	r := &localRegistry{listener: l, port: fmt.Sprint(l.Addr().(*net.TCPAddr).Port), dir: dir}
	go netboot.ServeHTTP(l, r) // until Close
	return r, nil
}

// Close stops the registry and removes its files.
func (r *localRegistry) Close() error {
	r.listener.Close()
	return os.RemoveAll(r.dir)
}

// The name of the image, after the registry's address.
const (
	imageRepo = "image"
	imageTag  = "latest"
)

// ref returns the name by which a guest finds the image.
func (r *localRegistry) ref() string {
	return net.JoinHostPort(host, r.port) + "/" + imageRepo + ":" + imageTag
}

// ServeHTTP answers only the requests that the OCI distribution specification defines for pulling.
func (r *localRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	path := strings.TrimSuffix(req.URL.Path, "/")
	if path == "/v2" {
		w.WriteHeader(http.StatusOK)
		return
	}
	r.mu.Lock()
	manifest, kind, digest := r.manifest, r.kind, r.digest
	r.mu.Unlock()
	id, ok := strings.CutPrefix(path, "/v2/"+imageRepo+"/manifests/")
	if ok && manifest != nil && (id == imageTag || id == digest.String()) {
		w.Header().Set("Content-Type", string(kind))
		w.Header().Set("Docker-Content-Digest", digest.String())
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(manifest))
		return
	}
	if id, ok := strings.CutPrefix(path, "/v2/"+imageRepo+"/blobs/"); ok && manifest != nil {
		if h, err := v1.NewHash(id); err == nil {
			if f, err := os.Open(r.blob(h)); err == nil {
				defer f.Close()
				w.Header().Set("Content-Type", "application/octet-stream")
				http.ServeContent(w, req, "", time.Time{}, f)
				return
			}
		}
	}
	http.NotFound(w, req)
}

// blob returns the path of the file for a blob. A Hash has only letters and digits, so the path stays in the directory.
func (r *localRegistry) blob(h v1.Hash) string { return filepath.Join(r.dir, h.Algorithm+"-"+h.Hex) }

// put makes img the image that the registry serves.
func (r *localRegistry) put(ctx context.Context, img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, l := range layers {
		g.Go(func() error {
			rc, err := l.Compressed()
			if err != nil {
				return err
			}
			// A layer that is compressed while it is read has its digest only at the end.
			return r.write(ctx, rc, l.Digest)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	if err := r.write(context.Background(), io.NopCloser(bytes.NewReader(config)), img.ConfigName); err != nil {
		return err
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return err
	}
	kind, err := img.MediaType()
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manifest, r.kind, r.digest = manifest, kind, digest
	return nil
}

// write stores the content of rc as a blob. digest is called after all of it has been read.
func (r *localRegistry) write(ctx context.Context, rc io.ReadCloser, digest func() (v1.Hash, error)) error {
	f, err := os.CreateTemp(r.dir, "new-")
	if err != nil {
		rc.Close()
		return err
	}
	defer f.Close()
	if err := errors.Join(copyUntil(ctx, f, rc), rc.Close()); err != nil {
		return err
	}
	h, err := digest()
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), r.blob(h))
}

// copyUntil copies everything, but stops if ctx ends.
func copyUntil(ctx context.Context, to io.Writer, from io.Reader) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if _, err := io.CopyN(to, from, 1<<20); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// store makes an image from this machine's disk the image that the registry serves.
func (r *localRegistry) store(ctx context.Context, c *cmd, ref string, p v1.Platform) error {
	at, done, err := c.bring(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	src, meter := c.metered(ref, p)
	found, _, err := c.judge(ctx, src, ref, at)
	if err != nil {
		return err
	}
	defer meter(found).end()
	c.tellImage(found)
	img, err := rebuild(ctx, found)
	if err != nil {
		return err
	}
	return r.put(ctx, img)
}

// rebuild converts an image into one of go-containerregistry: the same layers and configuration, but a new manifest,
// because an archive may have none. The layers of the result can be read only once.
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
			// docker save writes uncompressed layers: compress them while they are read.
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

// stored is a layer that is served unchanged.
type stored struct {
	ctx   context.Context // for reading the layer
	layer *image.Layer
}

func (s *stored) Digest() (v1.Hash, error)            { return s.layer.Digest, nil }
func (s *stored) DiffID() (v1.Hash, error)            { return s.layer.DiffID, nil }
func (s *stored) Size() (int64, error)                { return s.layer.Size, nil }
func (s *stored) MediaType() (types.MediaType, error) { return s.layer.MediaType, nil }
func (s *stored) Compressed() (io.ReadCloser, error) {
	return s.layer.OpenChecked(s.ctx, foreign.Formats()...)
}

// lazy is a reader that is opened when it is read for the first time.
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
