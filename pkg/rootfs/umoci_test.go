package rootfs_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// TestUmoci has umoci, the OCI project's own unpacker, unpack the corpus. If a case says that umoci does it
// differently, umoci must do so: a note that is no longer true is an error too.
func TestUmoci(t *testing.T) {
	if testing.Short() {
		t.Skip("has another program unpack the corpus, as root")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files their owners and to make devices")
	}
	if _, err := exec.LookPath("umoci"); err != nil {
		t.Fatalf("%v: install umoci", err)
	}
	for _, tc := range imagetest.Cases() {
		if tc.Refused != "" || tc.NoDir != "" || tc.Slow {
			continue
		}
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			diffs := unlikeUmoci(t, tc.Layers, described)
			if tc.Umoci != "" {
				if len(diffs) == 0 {
					t.Errorf("umoci agrees, though the case says that it %s", tc.Umoci)
				}
				return
			}
			for _, d := range diffs {
				t.Error(d)
			}
		})
	}
}

// TestUmociOdd has umoci unpack random layers.
func TestUmociOdd(t *testing.T) {
	if testing.Short() {
		t.Skip("has another program unpack images, as root")
	}
	imagetest.NeedsRoot(t, "to give files their owners and to make devices")
	imagetest.NeedsPrograms(t, "umoci")
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			layers := imagetest.Odd(rand.New(rand.NewPCG(seed, 1)))
			for _, d := range unlikeUmoci(t, layers, valued) {
				t.Errorf("%.300s\n%s", d, imagetest.Describe(layers))
			}
		})
	}
}

// unlikeUmoci returns how the tree of layers differs from what umoci unpacks, where both are as leave makes them.
func unlikeUmoci(t *testing.T, layers []imagetest.Layer, leave func(path string, f *report.File)) []string {
	t.Helper()
	tree, err := rootfs.Read(t.Context(), stack(t, layers), rootfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	want, err := report.FromTree(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	got, out := umoci(t, layers)
	if got == nil {
		return []string{"umoci fails: " + out}
	}
	return report.Diff(want.Map(leave), got.Map(leave), 10)
}

// valued leaves out what umoci does not keep: extended attributes without a value.
func valued(path string, f *report.File) {
	described(path, f)
	f.Xattrs = maps.Clone(f.Xattrs)
	maps.DeleteFunc(f.Xattrs, func(_, value string) bool { return value == "" })
	if len(f.Xattrs) == 0 {
		f.Xattrs = nil
	}
}

// described leaves out the times of directories that no layer describes: umoci uses the current time.
func described(_ string, f *report.File) {
	if f.ModTime.Equal(time.Unix(0, 0)) || time.Since(f.ModTime) < time.Hour {
		f.ModTime = time.Time{}
	}
}

// umoci unpacks layers, which are stored with gzip because it knows little else. If it fails, nil and its output are
// returned.
func umoci(t *testing.T, layers []imagetest.Layer) (report.Tree, string) {
	t.Helper()
	dir := imagetest.TempDir(t)
	layers = slices.Clone(layers)
	for i := range layers {
		layers[i].Compression, layers[i].MediaType = imagetest.Gzip, ""
	}
	path, err := layout.Write(filepath.Join(dir, "layout"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(imagetest.Image(t, layers...),
		layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "latest"})); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(dir, "bundle")
	if out, err := exec.CommandContext(t.Context(), "umoci", "unpack", "--image",
		filepath.Join(dir, "layout")+":latest", bundle).CombinedOutput(); err != nil {
		return nil, string(out)
	}
	got, err := report.FromDir(filepath.Join(bundle, "rootfs"))
	if err != nil {
		t.Fatal(err)
	}
	return got, ""
}
