package rootfs_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// stack converts layers of package imagetest to those of package rootfs.
func stack(t testing.TB, layers []imagetest.Layer) []rootfs.Layer {
	t.Helper()
	var out []rootfs.Layer
	for _, l := range layers {
		out = append(out, l.Blob(t))
	}
	return out
}

// forms are the ways to keep contents. No result may depend on them.
var forms = []struct {
	name string
	opt  rootfs.Options
}{
	{"plenty", rootfs.Options{}},
	{"tight", rootfs.Options{Memory: 1}},
	{"some memory", rootfs.Options{Memory: 20 << 10}},
	{"on a disk", rootfs.Options{Memory: 1 << 10, Overflow: unnamed}},
	{"twice", rootfs.Options{Twice: anyway}},
	{"twice, tight", rootfs.Options{Twice: anyway, Memory: 1, AtOnce: 1}},
}

// anyway has layers read twice.
func anyway(rootfs.First) error { return nil }

// unnamed makes a file without a name.
func unnamed() (*os.File, error) {
	f, err := os.CreateTemp("", "")
	if err == nil {
		err = os.Remove(f.Name())
	}
	return f, err
}

func TestCorpus(t *testing.T) {
	for _, tc := range imagetest.Cases() {
		t.Run(tc.Name, func(t *testing.T) {
			if tc.Slow && testing.Short() {
				t.Skip("slow")
			}
			t.Parallel()
			var first report.Tree
			layers := stack(t, tc.Layers)
			for _, form := range forms {
				if tc.Slow && form.opt.Memory > 1 {
					continue
				}
				tree, err := rootfs.Read(t.Context(), layers, form.opt)
				if tc.Refused != "" {
					if err == nil || !strings.Contains(err.Error(), tc.Refused) ||
						!strings.HasPrefix(err.Error(), "layer sha256:") {
						t.Errorf("%s: Read = %v, want an error that names the layer and says %q", form.name, err,
							tc.Refused)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: Read = %v", form.name, err)
				}
				defer tree.Close()
				if strings.Contains(tc.NoDir, "GiB") {
					ends(t, tree)
					return
				}
				got, err := report.FromTree(t.Context(), tree)
				if err != nil {
					t.Fatalf("%s: Walk = %v", form.name, err)
				}
				if first == nil {
					first = got
				}
				for _, d := range report.Diff(first, got, 10) {
					t.Errorf("%s differs from %s: %s", form.name, forms[0].name, d)
				}
			}
			if first == nil || tc.NoDir != "" {
				return
			}
			u := newUnpacker(t)
			for _, l := range tc.Layers {
				if err := u.layer(l); err != nil {
					t.Fatalf("the oracle fails: %v", err)
				}
			}
			if err := u.finish(); err != nil {
				t.Fatalf("the oracle fails: %v", err)
			}
			want, err := report.FromDir(u.root)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range report.Diff(want, first, 10) {
				t.Error(d)
			}
		})
	}
}

// ends reads files that are too large to be hashed in a test. They must have as many bytes as they say, all of them
// zero except for the word at the end.
func ends(t *testing.T, tree *rootfs.Tree) {
	t.Helper()
	err := tree.Walk(t.Context(), func(n *rootfs.Node, content io.Reader) error {
		if content == nil || n.Path == "g" {
			return nil
		}
		size, text := int64(0), ""
		buf := make([]byte, 1<<20)
		zeros := make([]byte, len(buf))
		for {
			k, err := content.Read(buf)
			if !bytes.Equal(buf[:k], zeros[:k]) {
				text += strings.Trim(string(buf[:k]), "\x00")
			}
			if size += int64(k); err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		if size != n.Size || text != "end" {
			t.Errorf("%s has %d bytes with %q in them, want %d with %q", n.Path, size, text, n.Size, "end")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
