package initrd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"golang.org/x/sys/unix"
)

func file(path, content string) initrd.File {
	return initrd.File{
		Node:    rootfs.Node{Path: path, Mode: unix.S_IFREG | 0o755, Size: int64(len(content)), Links: 1},
		Content: strings.NewReader(content),
	}
}

func dir(path string) initrd.File {
	return initrd.File{Node: rootfs.Node{Path: path, Mode: unix.S_IFDIR | 0o700}}
}

func TestOptions(t *testing.T) {
	tree := read(t, imagetest.Files(
		imagetest.Dir("boot"), imagetest.File("boot/kernel", "kernel"), imagetest.Link("vmlinuz", "boot/kernel"),
		imagetest.File("init", "the image's"), imagetest.Dir("x"), imagetest.File("x/f", "f"),
		imagetest.File("y", "y")))
	skip := func(paths ...string) func(*rootfs.Node) bool {
		return func(n *rootfs.Node) bool { return strings.Contains(" "+strings.Join(paths, " ")+" ", " "+n.Path+" ") }
	}
	for _, tc := range []struct {
		name    string
		opt     initrd.Options
		want    string // paths in order of the archive, with the sizes of files
		refused string
	}{
		{name: "all", want: ". boot x boot/kernel:6 vmlinuz:6 init:11 x/f:1 y:1"},
		{name: "skip a file", opt: initrd.Options{Skip: skip("y")},
			want: ". boot x boot/kernel:6 vmlinuz:6 init:11 x/f:1"},
		{name: "skip the first of two links", opt: initrd.Options{Skip: skip("boot/kernel")},
			want: ". boot x vmlinuz:6 init:11 x/f:1 y:1"},
		{name: "skip both links", opt: initrd.Options{Skip: skip("boot/kernel", "vmlinuz")},
			want: ". boot x init:11 x/f:1 y:1"},
		{name: "extra", opt: initrd.Options{Extra: []initrd.File{dir(".w"), file(".w/list", "abc")}},
			want: ". .w .w/list:3 boot x boot/kernel:6 vmlinuz:6 init:11 x/f:1 y:1"},
		{name: "extra in place of a file", opt: initrd.Options{Extra: []initrd.File{file("init", "ours")}},
			want: ". init:4 boot x boot/kernel:6 vmlinuz:6 x/f:1 y:1"},
		{name: "extra in place of a link", opt: initrd.Options{
			Extra: []initrd.File{dir("boot"), file("boot/kernel", "ours")}},
			want: ". boot boot/kernel:4 x vmlinuz:6 init:11 x/f:1 y:1"},
		{name: "extra in place of the root", opt: initrd.Options{Extra: []initrd.File{dir("."), dir(".w")}},
			want: ". .w boot x boot/kernel:6 vmlinuz:6 init:11 x/f:1 y:1"},
		{name: "extra in place of a directory", opt: initrd.Options{Extra: []initrd.File{file("boot", "")}},
			refused: `directory "boot"`},
		{name: "move", opt: initrd.Options{Extra: []initrd.File{file("init", "ours"), dir(".w")},
			Move: map[string]string{"init": ".w/init"}},
			want: ". init:4 .w boot x boot/kernel:6 vmlinuz:6 .w/init:11 x/f:1 y:1"},
		{name: "move a link", opt: initrd.Options{Move: map[string]string{"boot/kernel": "k"}},
			want: ". boot x k:6 vmlinuz:6 init:11 x/f:1 y:1"},
		{name: "move onto a file", opt: initrd.Options{Move: map[string]string{"init": "y"}}, refused: `"y"`},
		{name: "move a directory", opt: initrd.Options{Move: map[string]string{"x": "z"}}, refused: `directory "x"`},
		{name: "last", opt: initrd.Options{Last: []initrd.File{file(".done", "")}},
			want: ". boot x boot/kernel:6 vmlinuz:6 init:11 x/f:1 y:1 .done:0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.refused != "" {
				_, err := initrd.Write(t.Context(), io.Discard, tree, tc.opt)
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("Write = %v, want an error about %s", err, tc.refused)
				}
				return
			}
			data := write(t, tree, tc.opt)
			files, err := boot(data)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, name := range order(t, data) {
				if f := files[name]; f.Mode&unix.S_IFMT == unix.S_IFREG {
					name += fmt.Sprint(":", f.Size)
				}
				got = append(got, name)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("wrote %v, want %v", got, tc.want)
			}
		})
	}
}

// TestCompression checks that an archive of any size is one frame or member: the kernel reads no further.
func TestCompression(t *testing.T) {
	small := read(t, imagetest.Files(imagetest.File("f", "f")))
	var noise strings.Builder
	for i := range 250_000 {
		fmt.Fprint(&noise, i*i, " ")
	}
	large := read(t, imagetest.Files(imagetest.File("f", noise.String()), imagetest.File("g", noise.String()),
		imagetest.File("h", noise.String())))
	for _, tree := range []*rootfs.Tree{small, large} {
		want := write(t, tree, initrd.Options{})
		for _, level := range []int{0, 1, 3, 9, 19} {
			decompressors := map[initrd.Compression]func([]byte) ([]byte, error){
				initrd.Gzip: oneMember, initrd.Zstd: oneFrame,
			}
			for c, decompress := range decompressors {
				if c == initrd.Gzip && level > 9 {
					continue
				}
				var buf bytes.Buffer
				res, err := initrd.Write(t.Context(), &buf, tree, initrd.Options{Compression: c, Level: level})
				if err != nil {
					t.Fatal(err)
				}
				got, err := decompress(buf.Bytes())
				if err != nil || !bytes.Equal(got, want) || res.Size != int64(len(want)) {
					t.Errorf("%v -%d: %d bytes come out of the first frame, %v; want all %d", c, level, len(got), err,
						len(want))
				}
			}
		}
	}
	if _, err := initrd.Write(t.Context(), io.Discard, small,
		initrd.Options{Compression: initrd.Gzip, Level: 77}); err == nil {
		t.Error("Write with a level that gzip has not succeeds")
	}
}

func oneMember(b []byte) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	zr.Multistream(false)
	return io.ReadAll(zr)
}

func oneFrame(b []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return nil, err
	}
	if h.WindowSize > 128<<20 {
		return nil, fmt.Errorf("window of %d bytes", h.WindowSize)
	}
	if n := bytes.Count(b, []byte{0x28, 0xb5, 0x2f, 0xfd}); n != 1 {
		return nil, fmt.Errorf("%d frames", n)
	}
	zr, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer zr.Close()
	return io.ReadAll(zr)
}

// full is a device that becomes full.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, unix.ENOSPC
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	tree := read(t, imagetest.Files(imagetest.File("f", strings.Repeat("some text ", 500_000)),
		imagetest.File("g", "g"), imagetest.File("h", strings.Repeat("more", 2_000_000)), imagetest.File("i", "i")))
	for _, opt := range []initrd.Options{{}, {Compression: initrd.Gzip}, {Compression: initrd.Zstd}} {
		if _, err := initrd.Write(t.Context(), &full{1000}, tree, opt); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%+v: Write = %v, want %v", opt, err, unix.ENOSPC)
		}
	}
}
