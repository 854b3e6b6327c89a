package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/compression/foreign"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// compressed returns an OCI layout whose layers are compressed as c says.
func compressed(t *testing.T, c imagetest.Compression) imagetest.Disk {
	t.Helper()
	layers, _ := twoLayers(t)
	for i := range layers {
		layers[i].Compression = c
	}
	d := imagetest.Saved(t, layers...)
	delete(d, "manifest.json")
	return d
}

// OpenChecked returns the stored bytes, and io.EOF only if the content has the right digest.
func TestOpenChecked(t *testing.T) {
	for _, c := range []imagetest.Compression{imagetest.Plain, imagetest.Gzip, imagetest.MultiGzip, imagetest.Zstd} {
		img, err := here(t).Open(context.Background(), compressed(t, c).Dir(t))
		if err != nil {
			t.Fatal(err)
		}
		l := img.Layers[0]
		want, err := readAll(t, l)
		if err != nil {
			t.Fatal(err)
		}
		check := func(name string, l *Layer, text string) {
			t.Helper()
			rc, err := l.OpenChecked(context.Background(), foreign.Formats()...)
			if err != nil {
				t.Fatal(err)
			}
			defer rc.Close()
			got, err := io.ReadAll(rc)
			if (err == nil) != (text == "") || err != nil && (!strings.Contains(err.Error(), text) || Heals(err)) ||
				!bytes.Equal(got, want) {
				t.Errorf("%v, %s: %d bytes of %d, %v, want an error with %q", c, name, len(got), len(want), err, text)
			}
			if _, again := rc.Read(make([]byte, 1)); text != "" && (again == nil || again == io.EOF) {
				t.Errorf("%v, %s: Read again = %v, want the error once more", c, name, again)
			}
		}
		check("right", l, "")
		other := *l
		other.DiffID = img.Layers[1].DiffID
		check("of another layer", &other, "not "+other.DiffID.String()+" as the image's configuration says")
		same := *l
		same.DiffID = l.Digest
		if text := "as the image's configuration says"; c == imagetest.Plain {
			check("stored as it is", &same, "")
		} else {
			check("with one digest for both", &same, text)
		}
	}
}

// Close before the end stops the goroutine.
func TestOpenCheckedClosed(t *testing.T) {
	img, err := here(t).Open(context.Background(), compressed(t, imagetest.Gzip).Dir(t))
	if err != nil {
		t.Fatal(err)
	}
	rc, err := img.Layers[0].OpenChecked(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rc.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := rc.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-rc.(*checked).result:
		if err == nil {
			t.Error("half a layer is accepted")
		}
	case <-time.After(10 * time.Second):
		t.Error("the goroutine still runs")
	}
}

func TestVerifyLayout(t *testing.T) {
	blob := func(d imagetest.Disk, part string) string {
		m := d.Manifest(t)
		if part == "config" {
			return imagetest.BlobName(m["config"].(map[string]any)["digest"].(string))
		}
		return imagetest.BlobName(m["layers"].([]any)[1].(map[string]any)["digest"].(string))
	}
	artifact := func(d imagetest.Disk, layer []byte) {
		config := d.Add([]byte("{}"))
		config["mediaType"] = "application/vnd.oci.empty.v1+json"
		content := d.Add(layer)
		content["mediaType"] = "application/vnd.example"
		a := d.AddJSON(map[string]any{"schemaVersion": 2, "config": config, "layers": []any{content}})
		d["index.json"] = bytes.Replace(d["index.json"], []byte(`[`),
			append(append([]byte("["), mustMarshal(t, a)...), ','), 1)
	}
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, d imagetest.Disk) string // returns the directory
		want  string
	}{
		{"right", func(t *testing.T, d imagetest.Disk) string { return d.Dir(t) }, ""},
		{"with an artifact", func(t *testing.T, d imagetest.Disk) string { artifact(d, []byte("x")); return d.Dir(t) }, ""},
		{"for another machine", func(t *testing.T, d imagetest.Disk) string {
			setConfig(t, d, "linux", "s390x",
				"")
			return d.Dir(t)
		}, ""},
		{"of other layers than it says", func(t *testing.T, d imagetest.Disk) string {
			m := d.Manifest(t)
			l := m["layers"].([]any)
			l[0], l[1] = l[1], l[0]
			d.SetManifest(m)
			return d.Dir(t)
		}, "uncompressed it has the digest"},
		{"of too few layers", func(t *testing.T, d imagetest.Disk) string {
			m := d.Manifest(t)
			m["layers"] = nil
			d.SetManifest(m)
			return d.Dir(t)
		}, "0 layers and digests for 2"},
		{"with a damaged layer", func(t *testing.T, d imagetest.Disk) string {
			d[blob(d,
				"layer")][9] ^= 1
			return d.Dir(t)
		}, "its bytes are wrong"},
		{"without a layer", func(t *testing.T, d imagetest.Disk) string { delete(d, blob(d, "layer")); return d.Dir(t) },
			"not in the layout"},
		{"without a configuration", func(t *testing.T,
			d imagetest.Disk) string {
			delete(d, blob(d, "config"))
			return d.Dir(t)
		}, "cannot read its configuration"},
		{"with a damaged artifact", func(t *testing.T, d imagetest.Disk) string {
			artifact(d, []byte("something"))
			for name, content := range d {
				if string(content) == "something" {
					d[name] = []byte("anything!")
				}
			}
			return d.Dir(t)
		}, "its bytes are wrong"},
		{"with a pipe for an index", func(t *testing.T, d imagetest.Disk) string {
			delete(d, "index.json")
			dir := d.Dir(t)
			if err := syscall.Mkfifo(filepath.Join(dir, "index.json"), 0o600); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "is a pipe"},
		{"with a device for a marker", func(t *testing.T, d imagetest.Disk) string {
			delete(d, "oci-layout")
			dir := d.Dir(t)
			if err := os.Symlink("/dev/zero", filepath.Join(dir, "oci-layout")); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "is a device"},
		{"with a pipe for a layer", func(t *testing.T, d imagetest.Disk) string {
			name := blob(d, "layer")
			delete(d, name)
			dir := d.Dir(t)
			if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "is a pipe"},
		{"of circles", func(t *testing.T, d imagetest.Disk) string {
			inner := any(d.AddJSON(map[string]any{"schemaVersion": 2, "manifests": []any{}}))
			for range 6 {
				inner = d.AddJSON(map[string]any{"schemaVersion": 2, "manifests": []any{inner}})
			}
			d.SetJSON("index.json", map[string]any{"schemaVersion": 2, "manifests": []any{inner}})
			return d.Dir(t)
		}, "more than 4 deep"},
	} {
		d := compressed(t, imagetest.Gzip)
		dir := row.spoil(t, d)
		err := here(t).VerifyLayout(context.Background(), dir)
		if (err == nil) != (row.want == "") || err != nil && (!strings.Contains(err.Error(), row.want) || Heals(err)) {
			t.Errorf("a layout %s: VerifyLayout = %v, want %q", row.name, err, row.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := here(t).VerifyLayout(ctx, compressed(t, imagetest.Gzip).Dir(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("VerifyLayout, cancelled = %v", err)
	}
}
