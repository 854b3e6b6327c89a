package image

import (
	"context"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// What lies beside an image is fetched as the image is: verified, bounded, and from the same repository.
func TestRepository(t *testing.T) {
	ctx := context.Background()
	reg := imagetest.Serve(t)
	layers := []imagetest.Layer{imagetest.Files(imagetest.File("a", "x"))}
	img := imagetest.Spec{Platform: amd64, Layers: layers}.Image(t)
	ref := reg.Push(t, "xx:1", img)
	of := imagetest.Digest(t, img)
	attached := reg.AttachBundle(t, "xx", of, []byte("a bundle"))
	got, err := fast(t).Resolve(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	repo := got.Repositories()[0]
	list, err := repo.Referrers(ctx, got.Root, 1<<20)
	if err != nil || len(list) != 1 || list[0].Digest.String() != attached["digest"] {
		t.Fatalf("Referrers = %v, %v, want %v", list, err, attached)
	}
	raw, err := repo.Manifest(ctx, list[0].Digest.String(), 1<<20)
	if err != nil || !strings.Contains(string(raw), of) {
		t.Fatalf("Manifest = %q, %v", raw, err)
	}
	doc, err := parseManifest(raw)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := doc.layers[0].descriptor()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := repo.Blob(ctx, blob, 8); err != nil || string(b) != "a bundle" {
		t.Errorf("Blob = %q, %v", b, err)
	}
	wrong := v1.Descriptor{Digest: got.Digest, Size: blob.Size}
	for name, f := range map[string]func() ([]byte, error){
		"longer than may be": func() ([]byte, error) { return repo.Blob(ctx, blob, 7) },
		"without a size": func() ([]byte, error) {
			return repo.Blob(ctx, v1.Descriptor{Digest: blob.Digest, Size: -1}, 8)
		},
		"longer than it says": func() ([]byte, error) {
			return repo.Blob(ctx, v1.Descriptor{Digest: blob.Digest, Size: 7}, 8)
		},
		"a manifest over the limit": func() ([]byte, error) { return repo.Manifest(ctx, of, 10) },
		"no digest":                 func() ([]byte, error) { return repo.Manifest(ctx, "sha256:00", 1<<20) },
	} {
		if b, err := f(); err == nil || Heals(err) || IsNotFound(err) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for name, f := range map[string]func() ([]byte, error){
		"another tag":  func() ([]byte, error) { return repo.Manifest(ctx, "2", 1<<20) },
		"another blob": func() ([]byte, error) { return repo.Blob(ctx, wrong, 1<<20) },
	} {
		if b, err := f(); !IsNotFound(err) {
			t.Errorf("%s: %q, %v, want that it is not found", name, b, err)
		}
	}
	reg.Fail(imagetest.Fault{Path: imagetest.Manifests, Do: imagetest.Flip(20)})
	if b, err := repo.Manifest(ctx, of, 1<<20); err == nil {
		t.Errorf("with a wrong digest: %q", b)
	}

	if len(new(Image).Repositories()) > 0 {
		t.Error("an image on this machine has a repository")
	}
}

// Without referrers there are two requests, both to the repository of the image.
func TestReferrersStayInTheirRepository(t *testing.T) {
	ctx := context.Background()
	reg := imagetest.Serve(t)
	img := imagetest.Spec{Platform: amd64}.Image(t)
	got, err := fast(t).Resolve(ctx, reg.Push(t, "xx:1", img))
	if err != nil {
		t.Fatal(err)
	}
	before := len(reg.Requests())
	if list, err := got.Repositories()[0].Referrers(ctx, got.Root, 1<<20); err != nil || len(list) != 0 {
		t.Errorf("Referrers = %v, %v, want none", list, err)
	}
	asked := reg.Requests()[before:]
	if len(asked) != 2 {
		t.Errorf("asked for %q", asked)
	}
	for _, r := range asked {
		if !strings.HasPrefix(r, "GET /v2/xx/") {
			t.Errorf("asked for %s", r)
		}
	}
}
