package image

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// here returns a source for this machine's architecture, for which imagetest makes images.
func here(t *testing.T) *Source {
	s := fast(t)
	s.Platform = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	return s
}

// twoLayers returns two layers for a saved image, and their contents.
func twoLayers(t *testing.T) (layers []imagetest.Layer, archives [][]byte) {
	t.Helper()
	for _, name := range []string{"a", "b"} {
		l := imagetest.Layer{Entries: []imagetest.Entry{imagetest.File(name, strings.Repeat(name, 5000))},
			Compression: imagetest.Plain}
		archive, err := l.Archive()
		if err != nil {
			t.Fatal(err)
		}
		layers, archives = append(layers, l), append(archives, archive)
	}
	return layers, archives
}

// holds opens an image and compares its layers with archives. It returns the error of opening or reading.
func holds(t *testing.T, s *Source, name string, archives [][]byte) error {
	t.Helper()
	img, err := s.Open(context.Background(), name)
	if err != nil {
		return err
	}
	if len(img.Layers) != len(archives) {
		t.Errorf("Open(%q) has %d layers, want %d", name, len(img.Layers), len(archives))
		return nil
	}
	for i, l := range img.Layers {
		if b, err := readAll(t, l); err != nil {
			return err
		} else if !bytes.Equal(b, archives[i]) {
			t.Errorf("%v of %q has %d bytes, want %d", l, name, len(b), len(archives[i]))
		}
	}
	return nil
}

// An archive that docker saved has two tables of contents. In some releases only one of them leads to the image
// (moby/moby#47065, #47072, #47210).
func TestTwoTables(t *testing.T) {
	t.Parallel()
	layers, archives := twoLayers(t)
	for _, row := range []struct {
		name  string
		spoil func(imagetest.Disk)
		want  string // a part of the error, "" for no error
	}{
		{"both whole", func(d imagetest.Disk) {}, ""},
		{"no layers in the manifest", func(d imagetest.Disk) {
			m := d.Manifest(t)
			m["layers"] = nil
			d.SetManifest(m)
		}, ""},
		{"an empty list of layers", func(d imagetest.Disk) {
			m := d.Manifest(t)
			m["layers"] = []any{}
			d.SetManifest(m)
		}, ""},
		{"no list of layers", func(d imagetest.Disk) {
			m := d.Manifest(t)
			delete(m, "layers")
			d.SetManifest(m)
		}, ""},
		{"one layer too few", func(d imagetest.Disk) {
			m := d.Manifest(t)
			m["layers"] = m["layers"].([]any)[:1]
			d.SetManifest(m)
		}, ""},
		{"a layer of another size", func(d imagetest.Disk) {
			m := d.Manifest(t)
			m["layers"].([]any)[1].(map[string]any)["size"] = 7
			d.SetManifest(m)
		}, ""},
		{"a layer that is not there", func(d imagetest.Disk) {
			m := d.Manifest(t)
			m["layers"].([]any)[1].(map[string]any)["digest"] = "sha256:" + strings.Repeat("0", 64)
			d.SetManifest(m)
		}, ""},
		{"manifests null", func(d imagetest.Disk) { d["index.json"] = []byte(`{"schemaVersion":2,"manifests":null}`) }, ""},
		{"manifests empty", func(d imagetest.Disk) { d["index.json"] = []byte(`{"schemaVersion":2,"manifests":[]}`) }, ""},
		{"manifests missing", func(d imagetest.Disk) { d["index.json"] = []byte(`{"schemaVersion":2}`) }, ""},
		{"a manifest that is not there", func(d imagetest.Disk) {
			d["index.json"] = []byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:` + strings.Repeat("0", 64) +
				`","size":2}]}`)
		}, ""},
		{"an index that is not JSON", func(d imagetest.Disk) { d["index.json"] = []byte("\x00") }, ""},
		{"no index", func(d imagetest.Disk) { delete(d, "index.json") }, ""},
		{"no table of docker's", func(d imagetest.Disk) { delete(d, "manifest.json") }, ""},
		{"no layers in docker's table", func(d imagetest.Disk) {
			d["manifest.json"] = bytes.ReplaceAll(d["manifest.json"], []byte(`"Layers":[`), []byte(`"Layers":null,"x":[`))
		}, ""},
		{"nothing in docker's table", func(d imagetest.Disk) { d["manifest.json"] = []byte("null") }, ""},
		{"neither whole", func(d imagetest.Disk) {
			d["index.json"], d["manifest.json"] = []byte(`{"schemaVersion":2,"manifests":null}`), []byte("[]")
		}, "by its index.json: its index.json is no index"},
	} {
		d := imagetest.Saved(t, layers...)
		row.spoil(d)
		file, dir := d.Tar(t), d.Dir(t)
		for _, name := range []string{file, "oci-archive:" + file, "docker-archive:" + file, dir, "oci:" + dir} {
			err := holds(t, here(t), name, archives)
			if row.want == "" && err != nil {
				t.Errorf("%s: %v", row.name, err)
			}
			if row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) ||
				!strings.Contains(err.Error(), "by its manifest.json: ") || Heals(err)) {
				t.Errorf("%s: Open(%q) = %v, want a permanent error with %q", row.name, name, err, row.want)
			}
		}
	}
}

// Open refuses an image whose manifest and configuration differ in the number of layers, wherever it comes from.
func TestLayerCount(t *testing.T) {
	layers, archives := twoLayers(t)
	reg := imagetest.Serve(t)
	for _, row := range []struct {
		name string
		ids  int // digests in the configuration; the manifest has two layers
		want string
	}{
		{"as many", 2, ""},
		{"fewer", 1, "2 layers and digests for 1"},
		{"none", 0, "2 layers and digests for 0"},
		{"more", 3, "2 layers and digests for 3"},
	} {
		d := imagetest.Saved(t, layers...)
		ids := []string{}
		for i := range row.ids {
			_, id := layers[i%2].Blob(t).Digests()
			ids = append(ids, id)
		}
		m := d.Manifest(t)
		config := d.AddJSON(map[string]any{"os": "linux", "architecture": runtime.GOARCH,
			"rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
		config["mediaType"] = "application/vnd.oci.image.config.v1+json"
		m["config"] = config
		d.SetManifest(m)
		delete(d, "manifest.json")
		for _, name := range []string{d.Dir(t), d.Tar(t), "docker://" + reg.PushDisk(t, "count:1", d)} {
			err := holds(t, here(t), name, archives)
			if (err == nil) != (row.want == "") || err != nil && (!strings.Contains(err.Error(), row.want) || Heals(err)) {
				t.Errorf("%s: Open(%q) = %v, want a permanent error with %q", row.name, name, err, row.want)
			}
		}
	}
	// An image may have no layers, if its configuration has no digests either.
	d := imagetest.Saved(t)
	if err := holds(t, here(t), d.Dir(t), nil); err != nil {
		t.Error(err)
	}
}

// Open also compares docker's own table with the configuration.
func TestSavedCount(t *testing.T) {
	layers, _ := twoLayers(t)
	d := imagetest.Saved(t, layers...)
	delete(d, "index.json")
	d["manifest.json"] = bytes.Replace(d["manifest.json"], []byte(`"Layers":["blobs`),
		[]byte(`"Layers":["blobs/x","blobs`), 1)
	if _, err := here(t).Open(context.Background(), d.Tar(t)); err == nil ||
		!strings.Contains(err.Error(), "3 layers and digests for 2") {
		t.Errorf("Open = %v, want an error about the number of layers", err)
	}
}

// If the caller cancels, the error is not one about the other table.
func TestTablesCancelled(t *testing.T) {
	layers, _ := twoLayers(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := here(t).Open(ctx, imagetest.Saved(t, layers...).Tar(t)); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want success or context.Canceled", err)
	}
}
