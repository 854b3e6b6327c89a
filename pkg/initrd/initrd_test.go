package initrd_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"golang.org/x/sys/unix"
)

// read merges layers into a tree.
func read(t testing.TB, layers ...imagetest.Layer) *rootfs.Tree {
	t.Helper()
	tree, err := rootfs.Read(t.Context(), blobs(t, layers), rootfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

// TestCorpus compares the archive of each image with the image: once as cpio(1) unpacks it, and once as the kernel
// would.
func TestCorpus(t *testing.T) {
	for _, tc := range imagetest.Cases() {
		if tc.Refused != "" || tc.Slow && testing.Short() {
			continue
		}
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			tree := read(t, tc.Layers...)
			if tc.NotInitrd != "" {
				_, err := initrd.Write(t.Context(), io.Discard, tree, initrd.Options{})
				if err == nil || !strings.Contains(err.Error(), tc.NotInitrd) {
					t.Errorf("Write = %v, want an error that says %q", err, tc.NotInitrd)
				}
				return
			}
			if strings.Contains(tc.NoDir, "GiB") {
				if _, err := initrd.Write(t.Context(), io.Discard, tree, initrd.Options{}); err != nil {
					t.Errorf("Write = %v", err)
				}
				return
			}
			want, err := report.FromTree(t.Context(), tree)
			if err != nil {
				t.Fatal(err)
			}
			data := write(t, tree, initrd.Options{})
			got, err := boot(data)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range report.Diff(want.Map(carried), got, 10) {
				t.Errorf("as the kernel does it: %s", d)
			}
			if tc.NoDir != "" {
				return
			}
			want, got = want.Map(carried).Map(unpacked), unpack(t, data).Map(unpacked)
			for _, d := range report.Diff(want, got, 10) {
				t.Errorf("as cpio does it: %s", d)
			}
		})
	}
}

// carried leaves out what the newc form has no place for: extended attributes, fractions of a second, and times
// outside of 32 bits. It also leaves out hard links of symbolic links, which the kernel does not make.
func carried(path string, f *report.File) {
	f.Xattrs = nil
	f.ModTime = time.Unix(min(max(f.ModTime.Unix(), 0), 1<<32-1), 0)
	if f.Mode&unix.S_IFMT == unix.S_IFLNK {
		f.Same = path
	}
}

// unpacked leaves out what cpio(1) does not set: times of symbolic links, times of directories after it has filled
// them, and everything of the root directory, which exists already.
func unpacked(path string, f *report.File) {
	f.Xattrs = nil
	if t := f.Mode & unix.S_IFMT; t == unix.S_IFDIR || t == unix.S_IFLNK {
		f.ModTime = time.Time{}
	}
	if path == "." {
		*f = report.File{}
	}
}

// write returns an uncompressed archive.
func write(t *testing.T, tree *rootfs.Tree, opt initrd.Options) []byte {
	t.Helper()
	var buf bytes.Buffer
	res, err := initrd.Write(t.Context(), &buf, tree, opt)
	if err != nil {
		t.Fatalf("Write = %v", err)
	}
	if int64(buf.Len()) != res.Size || res.Size%4 != 0 {
		t.Errorf("wrote %d bytes and said %d; want the same, a multiple of 4", buf.Len(), res.Size)
	}
	return buf.Bytes()
}

// unpack has cpio(1) unpack an archive.
func unpack(t *testing.T, data []byte) report.Tree {
	t.Helper()
	if testing.Short() {
		t.Skip("has another program unpack archives, as root")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files their owners and to make devices")
	}
	dir := filepath.Join(imagetest.TempDir(t), "root")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "cpio", "--extract", "--preserve-modification-time", "--quiet",
		"--no-absolute-filenames")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("cpio = %v: %s", err, out)
	}
	got, err := report.FromDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
