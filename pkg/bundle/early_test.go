package bundle

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/microcode"
)

// contents returns what the kernel finds in an initrd of one archive behind the microcode: contents by path, hard links
// included.
func contents(t *testing.T, b *Bundle) map[string]string {
	t.Helper()
	data := make([]byte, b.Size-b.Early)
	if _, err := b.Initrd.ReadAt(data, b.Early); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if b.Packing != initrd.None {
		zr, err := zstd.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		defer zr.Close()
		if data, err = io.ReadAll(zr); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]string{}
	inodes := map[uint64]string{}
	var later [][2]any
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		content, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		all[r.Name] = string(content)
		if r.NLink > 1 && r.Ino != 0 {
			if len(content) > 0 {
				inodes[r.Ino] = string(content)
			}
			later = append(later, [2]any{r.Name, r.Ino})
		}
	}
	for _, l := range later {
		all[l[0].(string)] = inodes[l[1].(uint64)]
	}
	return all
}

// update returns microcode for kabyLake.
func update(revision uint32) string { return string(imagetest.Microcode(0x806ea, revision)) }

var kabyLake = microcode.Wanted{Processors: []microcode.Processor{
	{Vendor: "GenuineIntel", Family: 6, Model: 0x8e, Stepping: 10, Platform: 2}}}

func TestMicrocode(t *testing.T) {
	blob := update(7)
	has := func(more ...imagetest.Entry) []imagetest.Entry {
		return bootable(append(more, imagetest.File("lib/firmware/intel-ucode/06-8e-0a", blob))...)
	}
	for name, c := range map[string]struct {
		opt     Options
		entries []imagetest.Entry
		want    bool
		warning string
	}{
		"nobody asks":       {Options{}, has(), false, ""},
		"none in the image": {Options{Microcode: kabyLake}, bootable(), false, ""},
		"this processor":    {Options{Microcode: kabyLake}, has(), true, ""},
		"all processors":    {Options{Microcode: microcode.Wanted{All: true}}, has(), true, ""},
		"a link": {Options{Microcode: kabyLake}, bootable(imagetest.Symlink("lib/firmware", "../usr/share/firmware"),
			imagetest.File("usr/share/firmware/intel-ucode/x", blob),
			imagetest.Symlink("usr/share/firmware/intel-ucode/06-8e-0a", "x")), true, ""},
		"damaged": {Options{Microcode: kabyLake}, bootable(
			imagetest.File("lib/firmware/intel-ucode/06-8e-0a", strings.Replace(blob, "\x01", "\x02", 1))), false,
			"/lib/firmware/intel-ucode/06-8e-0a of the image is not used"},
		"a directory": {Options{Microcode: kabyLake}, bootable(imagetest.Dir("lib/firmware/intel-ucode/06-8e-0a")), false,
			"is not a file"},
		"a loop": {Options{Microcode: kabyLake}, bootable(
			imagetest.Symlink("lib/firmware/intel-ucode/06-8e-0a", "06-8e-0a")), false, "too many levels"},
	} {
		for _, memory := range []Room{{}, room(4<<30, 4<<30)} { // packed, and as it is
			c.opt.Room, c.opt.Single = memory, memory.Total == 0
			p := inspect(t, c.opt, c.entries...)
			if said := texts(p.Warnings); said != "" != (c.warning != "") || !strings.Contains(said, c.warning) {
				t.Errorf("%s: %q, want a warning with %q", name, p.Warnings, c.warning)
			}
			b, err := p.Make(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			head := make([]byte, 4096)
			if _, err := b.Initrd.ReadAt(head, 0); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			found := bytes.HasPrefix(head, []byte("070701")) &&
				bytes.HasPrefix(head[110:], []byte("kernel/x86/microcode/GenuineIntel.bin\x00")) &&
				bytes.Contains(head, []byte(blob))
			if found != c.want || b.Early > 0 != c.want {
				t.Errorf("%s, packing %v: microcode first: %v, %d bytes; want %v", name, b.Packing, found, b.Early, c.want)
			}
			if got := contents(t, b); got["boot/wyrcan.kernel"] != "vmlinuz" || got["bin/sh"] != "a shell" {
				t.Errorf("%s, packing %v: the root has %q", name, b.Packing, got)
			}
		}
	}
}

// TestMicrocodeArm has none for another architecture.
func TestMicrocodeArm(t *testing.T) {
	p := inspect(t, Options{Arch: "arm64", Microcode: microcode.Wanted{All: true}}, bootable(
		imagetest.File("boot/vmlinuz", string(imagetest.Arm64Image(version))),
		imagetest.File("lib/firmware/intel-ucode/06-8e-0a", update(1)))...)
	if p.early != nil {
		t.Errorf("%d bytes of microcode for arm64", len(p.early))
	}
}

// TestMicrocodeMemory packs what would be uncompressed without the microcode: the machine has no room for both.
func TestMicrocodeMemory(t *testing.T) {
	var all strings.Builder
	for revision := range uint32(8 << 10) {
		all.WriteString(update(revision))
	}
	entries := bootable(imagetest.File("usr/data", strings.Repeat("x", 50<<20)),
		imagetest.File("lib/firmware/intel-ucode/06-8e-0a", all.String()))
	for _, c := range []struct {
		wanted microcode.Wanted
		want   initrd.Compression
	}{{microcode.Wanted{}, initrd.None}, {kabyLake, initrd.Zstd}} {
		r := room(4<<30, slack+110<<20)
		r.Copies = 1
		p := inspect(t, Options{Microcode: c.wanted, Room: r}, entries...)
		if p.Packing != c.want {
			t.Errorf("with %d bytes of microcode the packing is %v, want %v", len(p.early), p.Packing, c.want)
		}
	}
}
