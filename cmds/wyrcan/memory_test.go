package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// withMemory gives the tool a machine with so much memory, in MiB.
func withMemory(t *testing.T, c *cmd, total, available int) {
	t.Helper()
	c.root = t.TempDir()
	meminfo := fmt.Sprintf("MemTotal: %d kB\nMemAvailable: %d kB\n", total<<10, available<<10)
	system(t, c.root, map[string]string{"proc/meminfo": meminfo})
}

// system writes files of a system's /proc, /sys and /run.
func system(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// bomb is a bootable image with n further files of 16 MiB, which compress to almost nothing.
func bomb(t *testing.T, n int) string {
	t.Helper()
	content := strings.Repeat("0123456789abcdef", 1<<20)
	l := imagetest.Layer{Entries: bootable(), Compression: imagetest.Zstd}
	for i := range n {
		l.Entries = append(l.Entries, imagetest.File(fmt.Sprint("bomb", i), content))
	}
	return onDisk(t, imagetest.Image(t, l))
}

// TestTooMuchForMemory refuses an image that holds more than this machine's memory, with numbers and a remedy, before
// it is read to its end. Nothing of it is left.
func TestTooMuchForMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test takes hundreds of MiB apart")
	}
	img := bomb(t, 20)
	dir := t.TempDir()
	for _, row := range []struct {
		args []string
		code int
	}{
		{[]string{"check", img}, notExamined},
		{[]string{"check", img, "-m", "4G"}, notExamined},
		{[]string{"morph", img, "-kernel", dir + "/k", "-initrd", dir + "/i", "-cmdline", dir + "/c"}, 1},
	} {
		c, stdout, _ := tool(t, row.args...)
		withWyrinit(t, c)
		withMemory(t, c, 512, 200)
		err := c.run(context.Background())
		if code(err) != row.code || err == nil || stdout.Len() > 0 {
			t.Errorf("%s: status %d, %v, printed %q", row.args[0], code(err), err, stdout)
			continue
		}
		for _, want := range []string{
			"cannot read " + img,
			"more than 200 MiB uncompressed",
			"200 MiB of memory free",
			"use a machine with more memory",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an error with %q", row.args[0], err, want)
			}
		}
		if left := names(t, dir); len(left) > 0 {
			t.Errorf("%s left %q", row.args[0], left)
		}
	}
	if os.Getuid() == 0 {
		c, _, _ := tool(t, "kexec", img, "-load")
		withWyrinit(t, c)
		withMemory(t, c, 512, 200)
		system(t, c.root, map[string]string{"sys/kernel/kexec_loaded": "0\n"})
		err := c.run(context.Background())
		if err == nil || !strings.Contains(err.Error(), "more than 200 MiB uncompressed") {
			t.Errorf("kexec: %v", err)
		}
	}
	// The same with memory for it.
	c, _, _ := tool(t, "check", img)
	withWyrinit(t, c)
	withMemory(t, c, 4096, 2048)
	if err := c.run(context.Background()); err != nil {
		t.Errorf("check with 2 GiB: %v", err)
	}
	// Layers that are too large even as they are stored are not read.
	c, _, _ = tool(t, "check", onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...))))
	withWyrinit(t, c)
	withMemory(t, c, 512, 40)
	err := c.run(context.Background())
	if code(err) != notExamined || !strings.Contains(err.Error(), "this machine has 40 MiB free") {
		t.Errorf("check with 40 MiB: %v", err)
	}
}

// TestShortage runs out of this machine's memory, which says nothing about the image.
func TestShortage(t *testing.T) {
	noise := make([]byte, 11<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	img := onDisk(t, imagetest.Image(t, imagetest.Files(append(bootable(), imagetest.File("noise", string(noise)))...)))
	c, stdout, _ := tool(t, "check", img)
	withWyrinit(t, c)
	withMemory(t, c, 512, 60) // less than is left alone
	err := c.run(context.Background())
	if code(err) != notExamined || !strings.Contains(err.Error(), "too little memory") || stdout.Len() > 0 {
		t.Errorf("check = %v, status %d, printed %q", err, code(err), stdout)
	}
}

// counted is a disk that counts its files.
type counted struct {
	place *place
	room  int64
	files int
}

func (c *counted) free() int64             { return c.room }
func (c *counted) file() (*os.File, error) { c.files++; return c.place.disk().file() }

// TestUnpackThroughDisk has contents that do not fit into the memory: they wait in a file where the image is unpacked.
func TestUnpackThroughDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test takes hundreds of MiB apart")
	}
	img := bomb(t, 20)
	top := t.TempDir()
	p, err := newPlace(top+"/place", true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.clear()
	for _, row := range []struct {
		room  int64
		files int
		want  string
	}{
		{1 << 40, 1, ""},
		{100 << 20, 1, "and 100 MiB of the disk free; make room there"},
	} {
		c, _, _ := tool(t)
		withMemory(t, c, 512, 200)
		d := &counted{p, row.room, 0}
		_, tree, err := c.tree(t.Context(), img, here, d)
		if err == nil {
			tree.Close()
		}
		if d.files != row.files || (err == nil) != (row.want == "") ||
			err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("with %d MiB of the disk: %v, with %d files", row.room>>20, err, d.files)
		}
	}
	if n := len(look(t, filepath.Join(top, p.temp))); n != 1 {
		t.Errorf("%d files have names", n)
	}

	c, _, _ := tool(t, "unpack", "-no-owner", img, top+"/root")
	withMemory(t, c, 512, 200)
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("0123456789abcdef", 1<<20)
	for i := range 20 {
		if b, err := os.ReadFile(fmt.Sprintf("%s/root/bomb%d", top, i)); err != nil || string(b) != content {
			t.Errorf("file %d: %d bytes, %v", i, len(b), err)
		}
	}
}

// TestGroup counts the limit of a control group as the memory of the machine.
func TestGroup(t *testing.T) {
	const (
		own = "proc/self/cgroup"
		top = "sys/fs/cgroup/"
		one = "sys/fs/cgroup/memory/" // version 1
	)
	stat := func(file, shmem int) string { return fmt.Sprintf("anon 1\nfile %d\nshmem %d\n", file, shmem) }
	type files map[string]string
	for name, row := range map[string]struct {
		files files
		want  int64
	}{
		"none":            {nil, math.MaxInt64},
		"no limit":        {files{own: "0::/a/b\n", top + "a/b/memory.max": "max\n"}, math.MaxInt64},
		"version 1, none": {files{own: "5:memory:/a/b\n", top + "a/b/memory.max": "1\n"}, math.MaxInt64},
		"its own": {files{
			own:                        "0::/a/b\n",
			top + "a/b/memory.max":     "1000\n",
			top + "a/b/memory.current": "300\n",
			top + "a/b/memory.stat":    stat(0, 0),
		}, 700},
		"files make room": {files{
			own:                        "0::/a/b\n",
			top + "a/b/memory.max":     "1000\n",
			top + "a/b/memory.current": "900\n",
			top + "a/b/memory.stat":    stat(500, 100),
		}, 500},
		"version 1": {files{
			own:                             "7:memory:/a\n1:cpu:/b\n",
			one + "a/memory.limit_in_bytes": "1000\n",
			one + "a/memory.usage_in_bytes": "900\n",
			one + "a/memory.stat":           "cache 1\ntotal_cache 500\ntotal_shmem 100\n",
			one + "memory.limit_in_bytes":   "9223372036854771712\n",
			one + "memory.usage_in_bytes":   "5\n",
		}, 500},
		"exceeded": {files{
			own:                        "0::/a/b\n",
			top + "a/b/memory.max":     "1000\n",
			top + "a/b/memory.current": "1100\n",
		}, 0},
		"the one around it": {files{
			own:                      "0::/a/b\n",
			top + "a/b/memory.max":   "max\n",
			top + "a/memory.max":     "50\n",
			top + "a/memory.current": "20\n",
		}, 30},
		"a container's": {files{own: "0::/\n", top + "memory.max": "90\n", top + "memory.current": "20\n"}, 70},
	} {
		c := &cmd{root: t.TempDir(), stderr: new(bytes.Buffer)}
		system(t, c.root, row.files)
		if got := c.group(); got != row.want {
			t.Errorf("%s: %d bytes, want %d", name, got, row.want)
		}
	}
}
