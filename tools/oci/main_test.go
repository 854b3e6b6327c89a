package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/u-root/u-root/pkg/cpio"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// writeCPIO writes an initramfs archive of records.
func writeCPIO(t *testing.T, records ...cpio.Record) string {
	t.Helper()
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	if err := cpio.WriteRecords(w, records); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.cpio")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/kernel", []byte("the kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := writeCPIO(t, cpio.Directory("bin", 0o755), cpio.StaticFile("bin/bb", "busybox", 0o4755),
		cpio.Symlink("init", "bin/bb"), cpio.CharDev("null", 0o666, 1, 3))
	two := writeCPIO(t, cpio.StaticFile("lib/x.ko", "module", 0o644))
	var digests []v1.Hash
	for range 2 { // the second run overwrites the first
		c, err := command([]string{"oci", "-kernel", dir + "/kernel", "-o", dir + "/out", "-arch", "arm64", "-version",
			"v9", one, two})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.run(); err != nil {
			t.Fatal(err)
		}
		img, err := (&image.Source{Platform: v1.Platform{OS: "linux",
			Architecture: "arm64"}}).Open(context.Background(), "oci:"+dir+"/out:wyrcan")
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, img.Digest)
		if v := img.Config.Config.Labels["org.opencontainers.image.version"]; v != "v9" {
			t.Errorf("the version is %q", v)
		}
		var got []string
		for _, l := range img.Layers {
			got = append(got, list(t, l)...)
		}
		want := []string{
			"boot/ 5 755 ", "boot/wyrcan.kernel 0 644 the kernel",
			"bin/ 5 755 ", "bin/bb 0 4755 busybox", "init 2 777 bin/bb", "null 3 666 1,3",
			"lib/x.ko 0 644 module",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two runs give %v and %v", digests[0], digests[1])
	}
}

// list returns the content of a layer, one line for each entry.
func list(t *testing.T, l *image.Layer) []string {
	t.Helper()
	rc, err := l.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	zr, err := gzip.NewReader(rc)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		what := h.Linkname + string(content)
		if h.Typeflag == tar.TypeChar {
			what = fmt.Sprintf("%d,%d", h.Devmajor, h.Devminor)
		}
		lines = append(lines, fmt.Sprintf("%s %c %o %s", h.Name, h.Typeflag, h.Mode, what))
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/kernel", []byte("the kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/garbage", []byte(strings.Repeat("garbage", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	linked := cpio.StaticFile("a", "x", 0o644)
	linked.NLink = 2
	for _, row := range []struct {
		args []string
		want string
	}{
		{nil, "usage"},
		{[]string{"-kernel", dir + "/kernel", "-o", dir + "/out"}, "usage"},
		{[]string{"-kernel", dir + "/absent", "-o", dir + "/out", writeCPIO(t)}, "absent"},
		{[]string{"-kernel", dir + "/kernel", "-o", dir + "/out", dir + "/absent"}, "absent"},
		{[]string{"-kernel", dir + "/kernel", "-o", dir + "/out", dir + "/garbage"}, "cannot read"},
		{[]string{"-kernel", dir + "/kernel", "-o", dir + "/out", writeCPIO(t, linked)}, "hard link"},
	} {
		c, err := command(append([]string{"oci"}, row.args...))
		if err == nil {
			err = c.run()
		}
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("oci %q = %v, want an error with %q", row.args, err, row.want)
		}
		if _, err := os.Stat(dir + "/out"); err == nil {
			t.Errorf("oci %q failed but left its output", row.args)
		}
	}
}
