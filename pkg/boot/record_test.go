package boot

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// inInitrd returns the record in an initrd that is not compressed, or that comes behind a compressed one.
func inInitrd(t *testing.T, initrd string) (r record.Record, found bool) {
	t.Helper()
	_, rest, found := strings.Cut(initrd, ".wyrcan/record")
	if !found {
		return r, false
	}
	text := rest[strings.IndexByte(rest, '{') : strings.LastIndexByte(rest, '}')+1]
	r, err := record.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return r, true
}

// TestRecord boots an image that is in an index, and compares the record with what the registry has.
func TestRecord(t *testing.T) {
	for name, budget := range users() {
		w := newWorld(t, budget)
		img := imagetest.Image(t, bootable())
		index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})
		source := &image.Source{Insecure: func(string) bool { return true }}
		asked := w.registry.Push(t, "bootable:2", index)
		found, err := source.Resolve(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		w.Record = func() record.Record {
			return record.Record{
				Wyrcan: "3", By: name, Image: Describe(found, asked),
				Stages: []record.Stage{{Name: "pull", Seconds: 1}},
			}
		}
		if step, err := w.run(t.Context(), found); err != nil {
			t.Errorf("%s: %s = %v", name, step, err)
			continue
		}
		got, ok := inInitrd(t, w.initrd)
		if !ok {
			t.Errorf("%s: there is no record in the initrd", name)
			continue
		}
		manifest, _ := img.Digest()
		config, _ := img.ConfigName()
		root, _ := index.Digest()
		if want := (record.Image{
			Asked: asked, Name: asked, From: strings.TrimSuffix(asked, ":2"), Index: root.String(),
			Manifest: manifest.String(), Config: config.String(), Platform: "linux/amd64",
		}); got.Image != want {
			t.Errorf("%s: the record says %+v, want %+v", name, got.Image, want)
		}
		if got.By != name || len(got.Stages) != 1 || time.Since(got.Time).Abs() > time.Minute {
			t.Errorf("%s: the record is %+v", name, got)
		}
		size := int64(len(w.initrd)) - got.Initrd.Bytes
		if got.Initrd.Packing != "none" || size < 100 || size > 2000 {
			t.Errorf("%s: of an initrd with %d bytes the record says %+v", name, len(w.initrd), got.Initrd)
		}
		m := got.Memory
		if m.Total != 2<<30 || m.Available != 1<<30 || m.Needed < got.Initrd.Bytes || m.Needed > 1<<30 {
			t.Errorf("%s: the record says %+v of the memory", name, m)
		}
	}
}

// TestDescribe has images without an index, and without a manifest.
func TestDescribe(t *testing.T) {
	img, err := (&image.Source{}).Resolve(t.Context(), imagetest.Serve(t).Push(t, "x", imagetest.Image(t, bootable())))
	if err != nil {
		t.Fatal(err)
	}
	d := Describe(img, "x")
	if d.Index != "" || d.Manifest != img.Digest.String() || d.Root() != img.Digest.String() {
		t.Errorf("of an image without an index the record says %+v", d)
	}
	saved := *img
	saved.Digest, saved.Root, saved.From = img.ConfigDigest, img.ConfigDigest, ""
	if d := Describe(&saved, "x"); d.Index != "" || d.Manifest != "" || d.Config != img.ConfigDigest.String() ||
		d.Root() != "" || d.From != "" {
		t.Errorf("of an image that docker saved the record says %+v", d)
	}
}

// TestNoRecord boots without a record: none is wanted, or none can be written, which is no reason not to boot.
func TestNoRecord(t *testing.T) {
	for _, row := range []struct {
		record func() record.Record
		says   string
	}{
		{nil, ""},
		{func() record.Record { return record.Record{} }, "the booted system gets no /run/wyrcan/boot.json"},
	} {
		w := newWorld(t, bundle.Budget{Copies: 1, Remedy: "add memory"})
		w.Record = row.record
		if step, err := w.run(t.Context(), w.push(bootable())); err != nil {
			t.Fatalf("%s = %v", step, err)
		}
		if _, ok := inInitrd(t, w.initrd); ok {
			t.Error("there is a record in the initrd")
		}
		if said := strings.Join(w.said, "\n"); !strings.Contains(said, row.says) || row.says == "" && said != "" {
			t.Errorf("it said %q, want %q", said, row.says)
		}
	}
}
