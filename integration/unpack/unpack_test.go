// Package unpack tests that a kernel unpacks what package initrd writes. The images of imagetest's corpus, each below
// its own directory, become one initramfs. Its /init compares every path with the image.
package unpack

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// TestMain lets more tests start than machines can run.
func TestMain(m *testing.M) { vm.Main(m) }

// A form is a way to pass a tree to the kernel.
type form struct {
	name   string
	pack   initrd.Compression
	memory int64 // how many bytes of the contents may stay uncompressed in memory
	single bool  // as a single archive, as for another boot loader
}

// packed is the form that uses all code paths: frames that were compressed before the tree was complete, and others.
var packed = form{"zstd, partly packed before", initrd.Zstd, 1 << 20, false}

func TestKernel(t *testing.T) {
	for _, f := range []form{
		{"plain, in place", initrd.None, 0, false},
		packed,
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			unpacks(t, f, false)
		})
	}
}

// unpacks checks that a kernel unpacks the corpus.
func unpacks(t *testing.T, f form, all bool) {
	t.Helper()
	vm.Long(t)
	boots(t, f, corpus(t, f.memory, all), "1500M")
}

// boots checks that a kernel unpacks a tree: its /init compares the result.
func boots(t *testing.T, f form, tree *rootfs.Tree, memory string) {
	t.Helper()
	paths := tree.Stat().Entries
	file := filepath.Join(t.TempDir(), "initrd")
	write(t, tree, file, vm.Program(t, "./report"),
		initrd.Options{Compression: f.pack, Plain: f.memory, Single: f.single})
	reports(t, file, paths, memory)
}

// reports boots an initramfs whose /init is the program that compares, and checks what that says of so many paths.
func reports(t *testing.T, file string, paths int, memory string) {
	t.Helper()
	v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1, Initrd: file, Memory: memory, NICs: []string{"none"},
		Cmdline: "panic=-1 initramfs_options=size=90%,nr_inodes=0"}.Start(t)
	v.Exit(5 * time.Minute)
	v.Never(`Initramfs unpacking failed`)
	log := v.Said()
	m := regexp.MustCompile(`report: (\d+) paths, (\d+) differences`).FindStringSubmatch(log)
	switch {
	case m == nil:
		t.Errorf("the kernel did not reach the report; its last lines:\n%s", log[max(0, len(log)-3000):])
	case m[2] != "0":
		for _, l := range regexp.MustCompile(`report: .*`).FindAllString(log, -1) {
			t.Error(l)
		}
	case m[1] != fmt.Sprint(paths):
		t.Errorf("the kernel has %s paths, want %d", m[1], paths)
	default:
		t.Log(m[0])
	}
}

// corpus returns one tree with all images that an initramfs can hold, and with files of a lower layer that an upper
// layer replaces or removes. If slow is set, it includes images with more than a hundred thousand files.
func corpus(t *testing.T, memory int64, slow bool) *rootfs.Tree {
	t.Helper()
	tree := read(t, memory, layers(t, slow, false)...)
	t.Cleanup(func() { tree.Close() })
	return tree
}

// layers returns the layers of the corpus, with extended attributes if xattrs is set.
func layers(t *testing.T, slow, xattrs bool) []imagetest.Layer {
	t.Helper()
	text := func(n int) string { return strings.Repeat("some text ", n) }
	// The root itself, and a path of the maximum length, do not fit below a directory.
	all := imagetest.Layer{Entries: []imagetest.Entry{
		imagetest.Dir(".").Mode(0o711).Owner(7, 8).At(imagetest.Epoch.Add(time.Minute)),
		imagetest.File(strings.Repeat("d/", 2047)+"f", "deep"),
	}}
	// These files make the lower layer the one that a plain archive replaces.
	all.Entries = append(all.Entries, imagetest.File("large", text(2<<20)))
	var above imagetest.Layer
	for i, tc := range imagetest.Cases() {
		if tc.Refused != "" || tc.NotInitrd != "" || strings.Contains(tc.NoDir, "GiB") ||
			tc.Name == "path of 4095 bytes" || tc.Slow && !slow {
			continue
		}
		tree := read(t, 0, tc.Layers...)
		all.Entries = append(all.Entries, below(t, fmt.Sprintf("case-%03d", i), tree, xattrs)...)
		if i%10 == 0 {
			all.Entries = append(all.Entries, imagetest.File(fmt.Sprintf("gone-%03d", i), text(i)),
				imagetest.File(fmt.Sprintf("new-%03d", i), text(i)))
			above.Entries = append(above.Entries, imagetest.Whiteout(fmt.Sprintf("gone-%03d", i)),
				imagetest.File(fmt.Sprintf("new-%03d", i), "new"))
		}
		if err := tree.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return []imagetest.Layer{all, above}
}

func read(t *testing.T, memory int64, layers ...imagetest.Layer) *rootfs.Tree {
	t.Helper()
	var in []rootfs.Layer
	for _, l := range layers {
		in = append(in, l.Blob(t))
	}
	tree, err := rootfs.Read(t.Context(), in, rootfs.Options{Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// below returns a tree as archive members below a directory, with extended attributes if xattrs is set.
func below(t *testing.T, dir string, tree *rootfs.Tree, xattrs bool) []imagetest.Entry {
	t.Helper()
	var out []imagetest.Entry
	var first *rootfs.Node
	err := tree.Walk(t.Context(), func(n *rootfs.Node, content io.Reader) error {
		path := filepath.Join(dir, n.Path)
		var e imagetest.Entry
		switch n.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			e = imagetest.File(path, "")
			if content != nil {
				b, err := io.ReadAll(content)
				if err != nil {
					return err
				}
				e = imagetest.File(path, string(b))
			}
		case unix.S_IFDIR:
			e = imagetest.Dir(path)
		case unix.S_IFLNK:
			e = imagetest.Symlink(path, n.Target)
		case unix.S_IFCHR:
			e = imagetest.Char(path, int64(n.Major), int64(n.Minor))
		case unix.S_IFBLK:
			e = imagetest.Block(path, int64(n.Major), int64(n.Minor))
		case unix.S_IFIFO:
			e = imagetest.FIFO(path)
		}
		if first != nil && n.Same(first) {
			e = imagetest.Link(path, filepath.Join(dir, first.Path))
		} else {
			first = n
		}
		e = e.Mode(int64(n.Mode&0o7777)).Owner(int(n.UID), int(n.GID)).At(n.ModTime).Format(tar.FormatGNU)
		if n.ModTime.Nanosecond() != 0 || xattrs && len(n.Xattrs) > 0 {
			e = e.Format(tar.FormatPAX)
		}
		for name, value := range n.Xattrs {
			if xattrs {
				e = e.Xattr(name, value)
			}
		}
		out = append(out, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// write writes the initramfs, with the program as its /init and a description of the tree.
func write(t *testing.T, tree *rootfs.Tree, file string, init []byte, opt initrd.Options) {
	t.Helper()
	want, err := report.FromTree(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	want = want.Map(func(path string, f *report.File) {
		f.ModTime = time.Unix(min(max(f.ModTime.Unix(), 0), 1<<32-1), 0)
		if f.Mode&unix.S_IFMT == unix.S_IFLNK {
			f.Same = path // the kernel makes separate files of hard links of this type
		}
	})
	opt.Extra = []initrd.File{extra("init", init), extra("expected", text(t, want))}
	save(t, tree, file, opt)
}

// text describes a tree.
func text(t *testing.T, tree report.Tree) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tree.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// extra returns a file for an initramfs.
func extra(path string, content []byte) initrd.File {
	return initrd.File{
		Node:    rootfs.Node{Path: path, Mode: unix.S_IFREG | 0o755, Size: int64(len(content)), Links: 1},
		Content: bytes.NewReader(content),
	}
}

// save writes an initramfs.
func save(t *testing.T, tree *rootfs.Tree, file string, opt initrd.Options) {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	made, _, err := initrd.Make(t.Context(), tree, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	info, err := made.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, io.NewSectionReader(made, 0, info.Size())); err != nil {
		t.Fatal(err)
	}
}
