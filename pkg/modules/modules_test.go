package modules

import (
	"bytes"
	"fmt"
	"io/fs"
	"os/exec"
	"path"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

const dir = "/lib/modules/6.1"

// files are an image in memory, by paths below dir.
type files map[string]string

func (f files) Read(file string, limit int64) ([]byte, error) {
	b, ok := f[strings.TrimPrefix(file, dir+"/")]
	switch {
	case !ok:
		return nil, &fs.PathError{Op: "lookup", Path: file, Err: fs.ErrNotExist}
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(b), limit)
	}
	return []byte(b), nil
}

// module is a module that says its name.
func module(name string) string { return string(imagetest.Module("name=" + name)) }

// packed compresses with a program.
func packed(t *testing.T, content string, tool ...string) string {
	t.Helper()
	cmd := exec.Command(tool[0], tool[1:]...)
	cmd.Stdin = strings.NewReader(content)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", tool, err)
	}
	return string(out)
}

func TestFind(t *testing.T) {
	imagetest.NeedsPrograms(t, "xz", "zstd", "gzip")
	long := "modules.dep"
	chain := files{}
	for i := range maxCount + 1 {
		chain[long] += fmt.Sprintf("m%d.ko: m%d.ko\n", i, i+1)
		chain[fmt.Sprintf("m%d.ko", i)] = module("m")
	}
	for name, c := range map[string]struct {
		img   files
		names []string
		want  string // names in their order, or an error
	}{
		"by themselves": {
			files{
				"modules.dep": "a/loop.ko:\nb/squashfs.ko:\n",
				"a/loop.ko":   module("loop"), "b/squashfs.ko": module("squashfs"),
			},
			[]string{"squashfs", "loop"}, "squashfs loop",
		},
		"compressed": {
			files{
				"modules.dep": "a.ko.xz: b.ko.zst c.ko.gz\nb.ko.zst: c.ko.gz\nc.ko.gz:\n",
				"a.ko.xz":     packed(t, module("a"), "xz", "--check=crc32", "--lzma2=dict=1MiB"),
				"b.ko.zst":    packed(t, module("b"), "zstd", "-19"), "c.ko.gz": packed(t, module("c"), "gzip"),
			},
			[]string{"a"}, "c b a",
		},
		"the last first, once": {
			files{
				"modules.dep": "nd_pmem.ko: nd_btt.ko libnvdimm.ko\nnd_btt.ko: libnvdimm.ko\n" +
					"libnvdimm.ko:\nnd_e820.ko: libnvdimm.ko\n",
				"nd_pmem.ko": module("nd_pmem"), "nd_btt.ko": module("nd_btt"), "libnvdimm.ko": module("libnvdimm"),
				"nd_e820.ko": module("nd_e820"),
			},
			[]string{"nd_pmem", "nd_e820"}, "libnvdimm nd_btt nd_pmem nd_e820",
		},
		"asked for by another": {
			files{
				"modules.dep": "a.ko: lib/libcrc32c.ko\nlib/libcrc32c.ko:\ncrypto/crc32c_generic.ko:\n",
				"a.ko":        module("a"), "lib/libcrc32c.ko": module("libcrc32c"),
				"crypto/crc32c_generic.ko": module("crc32c_generic"),
			},
			[]string{"a"}, "crc32c_generic libcrc32c a",
		},
		"asked for, built in": {
			files{
				"modules.dep": "a.ko: libcrc32c.ko\nlibcrc32c.ko:\n", "modules.builtin": "crypto/crc32c_generic.ko\n",
				"a.ko": module("a"), "libcrc32c.ko": module("libcrc32c"),
			},
			[]string{"a"}, "libcrc32c a",
		},
		"built in": {
			files{"modules.builtin": "kernel/fs/squashfs/squashfs.ko\n", "modules.dep": "loop.ko:\n", "loop.ko": module("loop")},
			[]string{"squashfs", "loop"}, "loop",
		},
		"all built in": {files{"modules.builtin": "a/b-c.ko\nd.ko\n"}, []string{"b_c", "d"}, ""},
		"dashes": {
			files{"modules.dep": "x/dm-verity.ko:\n", "x/dm-verity.ko": module("v")},
			[]string{"dm_verity"}, "dm_verity",
		},
		"elsewhere": {
			files{"modules.dep": "/lib/modules/e.ko:\n", "/lib/modules/e.ko": module("e")},
			[]string{"e"}, "e",
		},
		"missing": {
			files{"modules.dep": "a.ko:\n"},
			[]string{"squashfs"}, "error: it has no module squashfs",
		},
		"no lists":    {files{}, []string{"loop"}, "error: it has no module loop"},
		"listed only": {files{"modules.dep": "loop.ko:\n"}, []string{"loop"}, "error: it has no module loop"},
		"a need is gone": {
			files{"modules.dep": "a.ko: b.ko\n", "a.ko": module("a")},
			[]string{"a"}, "error: it has no module b",
		},
		"a circle": {
			files{"modules.dep": "a.ko: b.ko\nb.ko: a.ko\n", "a.ko": module("a"), "b.ko": module("b")},
			[]string{"a"}, "b a",
		},
		"of itself": {files{"modules.dep": "a.ko: a.ko a.ko\n", "a.ko": module("a")}, []string{"a"}, "a"},
		"no colon": {
			files{"modules.dep": "a.ko\n\x00\n:\n: a.ko\n", "a.ko": module("a")},
			[]string{"a"}, "error: it has no module a",
		},
		"text": {
			files{"modules.dep": "a.ko:\n", "a.ko": "#!/bin/sh\n"},
			[]string{"a"}, "error: " + dir + "/a.ko is no module",
		},
		"damaged": {
			files{"modules.dep": "a.ko.xz:\n", "a.ko.xz": "\xfd7zXZ\x00 and no more"},
			[]string{"a"}, "error: cannot read " + dir + "/a.ko.xz",
		},
		"other packing": {
			files{"modules.dep": "a.ko.lz4:\n", "a.ko.lz4": "\x04\x22\x4d\x18 packed"},
			[]string{"a"}, "error: cannot read " + dir + "/a.ko.lz4: it is compressed with lz4",
		},
		"a bomb": {
			files{"modules.dep": "a.ko.zst:\n", "a.ko.zst": packed(t, strings.Repeat("\x00", maxAll+1), "zstd")},
			[]string{"a"}, "error: cannot read " + dir + "/a.ko.zst: it has more than 32768 KiB",
		},
		"a large list": {
			files{"modules.dep": strings.Repeat("\n", maxList+1)},
			[]string{"a"}, "error: cannot read " + dir + "/modules.dep",
		},
		"too many": {chain, []string{"m0"}, "error: more than 64 modules depend on each other"},
		"too many in all": {
			files{"modules.dep": "a.ko: b.ko\n", "a.ko": module("a"),
				"b.ko": module("b") + strings.Repeat("x", maxAll-len(module("b"))-1)},
			[]string{"a"}, "error: cannot read " + dir + "/a.ko",
		},
	} {
		found, err := Find(c.img, dir, c.names...)
		var names []string
		for _, m := range found {
			names = append(names, m.Name)
			if !bytes.HasPrefix(m.Content, []byte("\x7fELF")) {
				t.Errorf("%s: the content of %s is still compressed", name, m.Name)
			}
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != c.want && !(strings.HasPrefix(c.want, "error: ") && strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: Find = %q, want %q", name, got, c.want)
		}
	}
}

// FuzzFind checks that each module comes once, and behind what its line names.
func FuzzFind(f *testing.F) {
	f.Add("a.ko: b.ko\nb.ko: a.ko c.ko\n", "c.ko\n", "a")
	f.Add("x/a-b.ko.xz: /y.ko ../z.ko\n", "", "a_b")
	elf := module("any")
	f.Fuzz(func(t *testing.T, dep, builtin, name string) {
		img := anything{files{"modules.dep": dep, "modules.builtin": builtin}, elf}
		found, err := Find(img, dir, name)
		if len(found) > maxCount {
			t.Errorf("Find returns %d modules, %v", len(found), err)
		}
	})
}

// anything is an image that has each module.
type anything struct {
	files
	module string
}

func (a anything) Read(file string, limit int64) ([]byte, error) {
	if b, err := a.files.Read(file, limit); err == nil || strings.HasPrefix(path.Base(file), "modules.") {
		return b, err
	}
	return []byte(a.module), nil
}
