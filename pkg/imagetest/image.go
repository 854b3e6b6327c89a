package imagetest

import (
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Spec describes an image. The zero value describes an OCI image without layers, for the machine that runs the test.
type Spec struct {
	Layers   []Layer
	Platform v1.Platform // empty OS and Architecture: linux and this machine's architecture
	Docker   bool        // docker's schema 2 instead of OCI
	Config   v1.Config   // labels, entry point and so on
}

// Image returns an OCI image of these layers, lowest first, for the machine that runs the test.
func Image(t testing.TB, layers ...Layer) v1.Image {
	t.Helper()
	return Spec{Layers: layers}.Image(t)
}

// Image builds the image.
func (s Spec) Image(t testing.TB) v1.Image {
	t.Helper()
	manifest, config := types.OCIManifestSchema1, types.OCIConfigJSON
	if s.Docker {
		manifest, config = types.DockerManifestSchema2, types.DockerConfigJSON
	}
	p := s.platform()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, manifest), config)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, Config: s.Config,
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
	})
	if err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	var adds []mutate.Addendum
	for _, l := range s.Layers {
		if s.Docker && l.MediaType == "" && (l.Compression == Gzip || l.Compression == MultiGzip) {
			l.MediaType = types.DockerLayer
		}
		if s.Docker && l.MediaType == "" && l.Compression == Plain {
			l.MediaType = types.DockerUncompressedLayer
		}
		b := l.Blob(t)
		adds = append(adds, mutate.Addendum{Layer: b, MediaType: b.mediaType})
	}
	if img, err = mutate.Append(img, adds...); err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	return img
}

func (s Spec) platform() v1.Platform {
	p := s.Platform
	if p.OS == "" {
		p.OS = "linux"
	}
	if p.Architecture == "" {
		p.Architecture = runtime.GOARCH
	}
	return p
}

// Index returns an OCI index of these images. It lists each with the platform of its configuration.
func Index(t testing.TB, images ...v1.Image) v1.ImageIndex {
	t.Helper()
	var adds []mutate.IndexAddendum
	for _, img := range images {
		cf, err := img.ConfigFile()
		if err != nil {
			t.Fatalf("imagetest: %v", err)
		}
		adds = append(adds, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: cf.Platform()}})
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), adds...)
}
