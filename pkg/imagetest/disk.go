package imagetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Disk is an image in a directory or an archive: the contents of its files by their names.
type Disk map[string][]byte

// Saved returns an image of these layers as docker 25.0 and newer save it: an OCI layout with uncompressed layers, and
// docker's own manifest.json beside it. Its name is "registry.example/x:1".
func Saved(t testing.TB, layers ...Layer) Disk {
	t.Helper()
	d := Disk{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	var list []any
	var files, ids []string
	for _, l := range layers {
		b := l.Blob(t)
		_, archive := b.Digests()
		ids = append(ids, archive)
		desc := d.Add(b.Data)
		desc["mediaType"] = string(b.mediaType)
		list = append(list, desc)
		files = append(files, BlobName(desc["digest"].(string)))
	}
	config := d.AddJSON(map[string]any{
		"os": "linux", "architecture": runtime.GOARCH, "rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	d.SetJSON("manifest.json", []any{map[string]any{
		"Config": BlobName(config["digest"].(string)), "RepoTags": []string{"registry.example/x:1"}, "Layers": files,
	}})
	config["mediaType"] = "application/vnd.oci.image.config.v1+json"
	d.SetManifest(map[string]any{"schemaVersion": 2, "config": config, "layers": list})
	return d
}

// SetManifest stores a manifest and makes the index name it.
func (d Disk) SetManifest(manifest map[string]any) {
	desc := d.AddJSON(manifest)
	desc["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
	desc["annotations"] = map[string]string{
		"io.containerd.image.name": "registry.example/x:1", "org.opencontainers.image.ref.name": "1",
	}
	d.SetJSON("index.json", map[string]any{"schemaVersion": 2, "manifests": []any{desc}})
}

// Manifest returns the first manifest of the index, decoded from JSON.
func (d Disk) Manifest(t testing.TB) map[string]any {
	t.Helper()
	var index struct {
		Manifests []struct{ Digest string }
	}
	manifest := map[string]any{}
	if err := json.Unmarshal(d["index.json"], &index); err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	if err := json.Unmarshal(d[BlobName(index.Manifests[0].Digest)], &manifest); err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	return manifest
}

// Add adds a blob and returns its descriptor.
func (d Disk) Add(content []byte) map[string]any {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	d[BlobName(digest)] = content
	return map[string]any{"digest": digest, "size": len(content)}
}

// AddJSON adds a value as a JSON blob and returns its descriptor.
func (d Disk) AddJSON(v any) map[string]any { return d.Add(mustJSON(v)) }

// SetJSON makes a value, encoded as JSON, the content of a file.
func (d Disk) SetJSON(name string, v any) { d[name] = mustJSON(v) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // tests pass only values that can be encoded
	}
	return b
}

// BlobName returns the name of the file for a digest in an OCI layout.
func BlobName(digest string) string {
	algorithm, hex, _ := bytes.Cut([]byte(digest), []byte(":"))
	return "blobs/" + string(algorithm) + "/" + string(hex)
}

// Names returns the names of the files, sorted.
func (d Disk) Names() []string { return slices.Sorted(maps.Keys(d)) }

// Dir writes the files into a directory and returns its name.
func (d Disk) Dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range d.Names() {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatalf("imagetest: %v", err)
		}
		if err := os.WriteFile(file, d[name], 0o644); err != nil {
			t.Fatalf("imagetest: %v", err)
		}
	}
	return dir
}

// Tar writes the files into an archive and returns its name. A header in more replaces the file of the same name.
func (d Disk) Tar(t testing.TB, more ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	write := func(h *tar.Header, content []byte) {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatalf("imagetest: %v", err)
		}
		if _, err := tw.Write(content); err != nil {
			t.Fatalf("imagetest: %v", err)
		}
	}
	for _, name := range d.Names() {
		if !slices.ContainsFunc(more, func(h tar.Header) bool { return h.Name == name }) {
			write(&tar.Header{Name: name, Size: int64(len(d[name])), Mode: 0o644}, d[name])
		}
	}
	for _, h := range more {
		write(&h, nil)
	}
	if err := tw.Close(); err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	return file
}

// PushDisk stores the blobs and the first manifest of d as repo, such as "x:1", without checking them, and returns the
// full name with the host.
func (r *Registry) PushDisk(t testing.TB, repo string, d Disk) string {
	t.Helper()
	ref, err := name.ParseReference(r.Host+"/"+repo, name.Insecure)
	if err != nil {
		t.Fatalf("imagetest: cannot push: %v", err)
	}
	for _, file := range d.Names() {
		if strings.HasPrefix(file, "blobs/") {
			blob := static.NewLayer(d[file], types.OCILayer)
			if err := remote.WriteLayer(ref.Context(), blob, remote.WithTransport(direct{r.store})); err != nil {
				t.Fatalf("imagetest: cannot push %q: %v", repo, err)
			}
		}
	}
	r.Push(t, repo, manifest(mustJSON(d.Manifest(t))))
	return ref.Name()
}

// manifest is the bytes of a manifest.
type manifest []byte

func (m manifest) RawManifest() ([]byte, error)        { return m, nil }
func (m manifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
