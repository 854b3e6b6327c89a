package bundle

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

const version = "6.1.0-40-amd64"

// bootable is the smallest container that boots. A test adds entries, or replaces some by name.
func bootable(more ...imagetest.Entry) []imagetest.Entry {
	return append([]imagetest.Entry{
		imagetest.Dir("."),
		imagetest.Dir("boot"),
		imagetest.File("boot/vmlinuz", string(imagetest.BzImage(version))),
		imagetest.Symlink("boot/wyrcan.kernel", "vmlinuz"),
		imagetest.Dir("bin"),
		imagetest.File("bin/sh", "a shell").Mode(0o755),
		imagetest.File("bin/init", "#! /bin/sh -e\n").Mode(0o755),
		imagetest.Symlink("init", "bin/init"),
		imagetest.Dir("lib/modules/" + version),
	}, more...)
}

func tree(t *testing.T, entries ...imagetest.Entry) *rootfs.Tree {
	t.Helper()
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{imagetest.Files(entries...).Blob(t)}, rootfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

// room is a machine with so much memory.
func room(total, available int64) Room {
	return Room{Info: memory.Info{Total: total, Available: available}, Remedy: "close a program"}
}

func inspect(t *testing.T, opt Options, entries ...imagetest.Entry) *Plan {
	t.Helper()
	p, err := Inspect(t.Context(), tree(t, entries...), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestInspect(t *testing.T) {
	p := inspect(t, Options{}, bootable()...)
	if p.File != "boot/vmlinuz" || p.Init != "bin/init" || p.Kernel.Version != version || len(p.Warnings) != 0 {
		t.Errorf("Inspect = kernel %s %s, init %s, warnings %q", p.File, p.Kernel.Version, p.Init, p.Warnings)
	}
}

func TestNotBootable(t *testing.T) {
	kernel := string(imagetest.BzImage(version))
	for name, c := range map[string]struct {
		entries []imagetest.Entry
		want    string
	}{
		"no kernel": {bootable()[:2], "/boot/wyrcan.kernel is not in it, and no kernel is at"},
		"dangling kernel": {
			bootable(imagetest.Symlink("boot/wyrcan.kernel", "gone")),
			"/boot/wyrcan.kernel is a link to gone, which is not in it",
		},
		"kernel is a loop": {
			bootable(imagetest.Symlink("boot/wyrcan.kernel", "wyrcan.kernel")),
			"/boot/wyrcan.kernel leads nowhere (too many levels of symbolic links)",
		},
		"kernel is a dir": {
			bootable(imagetest.Symlink("boot/wyrcan.kernel", "/bin")),
			"/boot/wyrcan.kernel is to be a kernel, and /bin is not a file",
		},
		"kernel is text": {
			bootable(imagetest.File("boot/vmlinuz", "hello")), "boot/vmlinuz is not a Linux kernel",
		},
		"kernel is cut short": {bootable(imagetest.File("boot/vmlinuz", kernel[:len(kernel)-1])), "cut short"},
		"kernel for arm64": {
			bootable(imagetest.File("boot/vmlinuz", strings.Repeat("\x00", 56)+"ARM\x64")),
			"not bootable on amd64: /boot/vmlinuz is a kernel for arm64",
		},
		"no init": {bootable()[:6], "/init is not in it, and neither is"},
		"dangling init": {
			bootable(imagetest.Symlink("init", "/sbin/gone")), "/init is a link to /sbin/gone, which is not in it",
		},
		"init is not executable": {
			bootable(imagetest.File("bin/init", "#!/bin/sh")),
			"/init is to be a program, and /bin/init is not an executable file",
		},
		"init is text": {
			bootable(imagetest.File("bin/init", "hello").Mode(0o755)), "neither a program nor a script",
		},
		"init is empty": {bootable(imagetest.File("bin/init", "").Mode(0o755)), "an empty file"},
		"no interpreter": {
			bootable(imagetest.File("bin/init", "#!/usr/bin/perl\n").Mode(0o755)),
			"/usr/bin/perl is not in it; /bin/init, its /init, cannot run without it",
		},
		"the interpreter is a directory": {
			bootable(imagetest.File("bin/init", "#!/bin\n").Mode(0o755)),
			"/bin is not an executable file; /bin/init, its /init, cannot run without it",
		},
		"the interpreter is not executable": {
			bootable(imagetest.File("bin/sh", "a shell")), "/bin/sh is not an executable file; /bin/init, its /init",
		},
		"lines end as in Windows": {
			bootable(imagetest.File("bin/init", "#!/bin/sh\r\nset -e\r\n").Mode(0o755)),
			`the kernel looks for an interpreter "/bin/sh\r"; convert it`,
		},
		"init for arm64": {
			bootable(imagetest.File("bin/init", elfHeader(183)).Mode(0o755)), "another architecture (EM_AARCH64)",
		},
		"init is damaged": {bootable(imagetest.File("bin/init", "\x7fELF").Mode(0o755)), "a damaged program"},
		"a name too long": {
			bootable(imagetest.File(strings.Repeat("n", 256), "")), "has a name of 256 bytes in it; Linux takes 255",
		},
		"a path too long": {
			bootable(imagetest.File(strings.Repeat("n/", 2048)+"f", "")), "has a path of 4097 bytes; Linux takes 4095",
		},
		"a link too long": {
			bootable(imagetest.Symlink("l", strings.Repeat("n", 4096))),
			`"l" is a symbolic link to a path of 4096 bytes; Linux takes 4095`,
		},
		"command line too long": {
			bootable(imagetest.File("boot/wyrcan.cmdline", strings.Repeat("a", 2048))), "at most 2047 bytes",
		},
		"command line is huge": {
			bootable(imagetest.File("boot/wyrcan.cmdline", strings.Repeat(" ", 100<<10))), "sensible",
		},
	} {
		p, err := Inspect(t.Context(), tree(t, c.entries...), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Inspect = %v, %v, want an error with %q", name, p, err, c.want)
		}
	}
}

// TestArch decides by the architecture of the machine that will boot, not by that of this machine.
func TestArch(t *testing.T) {
	arm := []imagetest.Entry{
		imagetest.File("boot/vmlinuz", string(imagetest.Arm64Image(version))),
		imagetest.File("bin/init", elfHeader(183)).Mode(0o755),
	}
	amd := []imagetest.Entry{imagetest.File("bin/init", elfHeader(62)).Mode(0o755)}
	for _, c := range []struct {
		arch    string
		entries []imagetest.Entry
		want    string
	}{
		{"arm64", arm, ""},
		{"amd64", amd, ""},
		{"arm64", amd, "not bootable on arm64: /boot/vmlinuz is a kernel for amd64"},
		{"arm64", append(amd, arm[0]), "another architecture (EM_X86_64)"},
		{
			"amd64", append(arm, imagetest.File("boot/vmlinuz", string(imagetest.BzImage(version)))),
			"another architecture (EM_AARCH64)",
		},
		{"riscv64", arm, "not bootable on riscv64"},
	} {
		p, err := Inspect(t.Context(), tree(t, bootable(c.entries...)...), Options{Arch: c.arch})
		if err == nil {
			defer p.Close()
		}
		if c.want == "" && (err != nil || p.Kernel.Arch != c.arch) {
			t.Errorf("on %s: Inspect = %v, %v", c.arch, p, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("on %s: Inspect = %v, %v, want an error with %q", c.arch, p, err, c.want)
		}
	}
}

// elfHeader is an empty program for the given machine.
func elfHeader(machine byte) string {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16], b[18], b[20], b[52], b[54], b[58] = 2, machine, 1, 64, 56, 64
	return string(b)
}

func TestCmdline(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		args []string
		want string
	}{
		"nothing": {"", nil, ""},
		"the README's": {
			"", []string{"quiet log-buf-len=1M", "print-fatal-signals=1"}, "quiet log-buf-len=1M print-fatal-signals=1",
		},
		"file first":  {"console=ttyS0\n", []string{"quiet"}, "console=ttyS0 quiet"},
		"file folded": {"\n a \t b\r\nc\n\n", nil, "a b c"},
		"quotes kept": {`a="b  c"  d`, []string{`dyndbg="file x +p"`}, `a="b  c" d dyndbg="file x +p"`},
		"empty args":  {"", []string{"", "a", " "}, "a"},
	} {
		p := inspect(t, Options{Args: c.args}, bootable(imagetest.File("boot/wyrcan.cmdline", c.file))...)
		if got, err := p.Cmdline(1<<20, 0); got != c.want || err != nil {
			t.Errorf("%s: Cmdline = %q, %v, want %q", name, got, err, c.want)
		}
	}
}

func TestCmdlineLiftsTheCap(t *testing.T) {
	entries := bootable(imagetest.File("usr/data", strings.Repeat("x", 20<<20)))
	for name, c := range map[string]struct {
		args  []string
		total int64
		want  string
	}{
		"unknown memory":    {nil, 0, ""},
		"room enough":       {nil, 1 << 30, ""},
		"half is too small": {nil, 40 << 20, liftCap},
		"already lifted":    {[]string{"initramfs_options=size=70%"}, 40 << 20, "initramfs_options=size=70%"},
		"ramfs has no cap":  {[]string{"rootfstype=ramfs"}, 40 << 20, "rootfstype=ramfs"},
	} {
		p := inspect(t, Options{Args: c.args}, entries...)
		if got, err := p.Cmdline(5<<20, c.total); got != c.want || err != nil {
			t.Errorf("%s: Cmdline = %q, %v, want %q", name, got, err, c.want)
		}
	}
}

// TestLargePages has small files and a kernel with pages of 64 KiB: each of them takes one, and the kernel's root has
// as many inodes as half of the memory has pages.
func TestLargePages(t *testing.T) {
	const files = 1500 // 94 MiB in such pages
	plan := func(page byte) *Plan {
		kernel := imagetest.Arm64Image(version)
		kernel[24] = page << 1
		entries := []imagetest.Entry{imagetest.File("boot/wyrcan.kernel", string(kernel)),
			imagetest.File("init", "#!/bin/sh\n").Mode(0o755), imagetest.File("bin/sh", "shell").Mode(0o755)}
		for i := range files {
			entries = append(entries, imagetest.File(fmt.Sprint("etc/", i), "x"))
		}
		return inspect(t, Options{Arch: "arm64"}, entries...)
	}
	for page, want := range map[byte]string{1: "", 3: liftCap} {
		p := plan(page)
		if got, err := p.Cmdline(5<<20, 180<<20); got != want || err != nil {
			t.Errorf("with the page of flag %d: Cmdline = %q, %v, want %q", page, got, err, want)
		}
	}
	small, large := needs(plan(1).booted(), 0), needs(plan(3).booted(), 0)
	if want := int64((64 - 4) << 10 * files); large-small < want || large-small > want+want/64 {
		t.Errorf("larger pages need %d bytes more, want %d or a little more", large-small, want)
	}
}

// texts returns what warnings say.
func texts(list []Warning) string {
	var all []string
	for _, w := range list {
		all = append(all, w.Text)
	}
	return strings.Join(all, "\n")
}

func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		entry imagetest.Entry
		opt   Options
		want  string
	}{
		"initrd-release": {imagetest.File("etc/initrd-release", "x"), Options{}, "emergency mode"},
		"its cure": {
			imagetest.File("etc/initrd-release", "x"), Options{Args: []string{"SYSTEMD_IN_INITRD=0"}}, "",
		},
		"root=": {imagetest.Dir("a"), Options{Args: []string{"root=/dev/sda1"}}, "ramfs"},
		"machine-id": {
			imagetest.File("etc/machine-id", strings.Repeat("a", 32)+"\n"), Options{}, "/etc/machine-id",
		},
		"empty id": {imagetest.File("etc/machine-id", ""), Options{}, ""},
		"D-Bus id": {
			imagetest.File("var/lib/dbus/machine-id", strings.Repeat("a", 32)+"\n"), Options{},
			"/var/lib/dbus/machine-id",
		},
		"xattrs lost": {
			imagetest.File("bin/ping", "x").Xattr("security.capability", "y"), Options{},
			"1 files lose their extended attributes",
		},
		"xattrs kept": {
			imagetest.File("bin/ping", "x").Xattr("security.capability", "y"), Options{Wyrinit: []byte("w")}, "",
		},
		"wyrinit's dir": {imagetest.File(".wyrcan/x", "x"), Options{Wyrinit: []byte("w")}, "boots without wyrinit"},
		"a link to nothing in its place": {
			imagetest.Symlink(".wyrcan", "gone"), Options{Wyrinit: []byte("w")}, "/.wyrcan, which wyrinit needs",
		},
	} {
		p := inspect(t, c.opt, bootable(c.entry)...)
		if got := texts(p.Warnings); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: warnings %q, want %q", name, got, c.want)
		}
	}
	modules := bootable()
	p := inspect(t, Options{}, modules[:len(modules)-1]...)
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0].Text, "no /lib/modules/"+version) {
		t.Errorf("without modules: warnings %q", p.Warnings)
	}
}

func TestMemory(t *testing.T) {
	entries := bootable(imagetest.File("usr/data", strings.Repeat("x", 20<<20)))
	for name, total := range map[string]int64{"far too little": 64 << 20, "a little too little": 92 << 20} {
		p, err := Inspect(t.Context(), tree(t, entries...), Options{Room: room(total, total)})
		if err == nil || !strings.Contains(err.Error(), "too little memory: the container needs ") ||
			!strings.HasSuffix(err.Error(), "; use a smaller image or add memory") {
			t.Errorf("%s: Inspect = %v, %v, want a refusal", name, p, err)
		}
	}
	half := room(1<<30, 1<<29)
	for size, want := range map[int64]string{
		1 << 30:         "takes 1072 MiB and this machine has 512 MiB free; close a program",
		1 << 29:         "takes 560 MiB and this machine has 512 MiB free",
		1<<29 - reserve: "",
	} {
		if got := fmt.Sprint(half.CanDownload(size)); !strings.Contains(got, cmp.Or(want, "<nil>")) {
			t.Errorf("CanDownload(%d) = %v, want %q", size, got, want)
		}
	}
	b := &Bundle{held: 220 << 20, Size: 200 << 20, kernel: 20 << 20}
	half.Copies = 2
	if err := b.CanLoad(half); err != nil {
		t.Errorf("CanLoad = %v", err)
	}
	half.Available = 450 << 20
	want := "takes 456 MiB and this machine has 450 MiB free; close a program"
	if err := b.CanLoad(half); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("CanLoad = %v, want a refusal", err)
	}
	half.Copies = 1 // 220 MiB and what the kernel keeps free
	if err := b.CanLoad(half); err != nil {
		t.Errorf("CanLoad with one copy = %v", err)
	}
	half.Available = 235 << 20
	if err := b.CanLoad(half); err == nil {
		t.Error("CanLoad has taken less than one copy")
	}
	small := room(430<<20, 1<<30)
	small.Copies = 1
	want = "take 220 MiB, and a kernel loads no more than half of the 430 MiB of this machine; " +
		"use a smaller image or add memory" // to close a program would not help
	if err := b.CanLoad(small); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("CanLoad = %v, want a refusal", err)
	}
	// Without a copy there is no such limit, and hardly any memory is needed.
	without := room(230<<20, 20<<20)
	if err := b.CanLoad(without); err != nil {
		t.Errorf("CanLoad without a copy = %v", err)
	}
	without.Available = 18 << 20
	if err := b.CanLoad(without); err == nil {
		t.Error("CanLoad has taken no memory at all")
	}
}

// TestGrow stops Make when Grow says that the memory is used up.
func TestGrow(t *testing.T) {
	enough := errors.New("enough")
	left := 2
	random := make([]byte, 6<<20)
	rand.NewChaCha8([32]byte{}).Read(random)
	p := inspect(t, Options{Grow: func() error {
		if left--; left < 0 {
			return enough
		}
		return nil
	}}, bootable(imagetest.File("usr/data", string(random)))...)
	if b, err := p.Make(t.Context()); !errors.Is(err, enough) {
		t.Errorf("Make = %v, %v, want %v", b, err, enough)
	}
}

// TestSpool leaves room for all layers, packed, and for a plain initrd of the spool's size to be loaded.
func TestSpool(t *testing.T) {
	for _, c := range []struct {
		available, size int64
		copies          int
		want            int64
	}{
		{1 << 30, 100 << 20, 2, 960 << 20 * 2 / 7},
		{1 << 30, 100 << 20, 1, 960 << 20 * 2 / 5},
		{300 << 20, 100 << 20, 2, 236 << 20 * 2 / 7},
		{250 << 20, 120 << 20, 2, 22 << 20},
		{198 << 20, 100 << 20, 1, 1},
		{100 << 20, 100 << 20, 1, 1},
		{1 << 30, 100 << 20, 0, 960 << 20 * 2 / 3},
	} {
		r := room(2<<30, c.available)
		r.Copies = c.copies
		if got := r.spool(c.size); got != c.want {
			t.Errorf("spool of %d MiB with %d MiB and %d copies = %d, want %d",
				c.size>>20, c.available>>20, c.copies, got, c.want)
		}
	}
}

// TestWorthSqueezing packs more tightly, which takes long, only for machines that boot because of it.
func TestWorthSqueezing(t *testing.T) {
	// With the kernel's needs 318 MiB, beside the initrd.
	s := rootfs.Stat{Pages: 270 << 20, Page: memory.Page, Inodes: 8 << 10}
	for mib, want := range map[int64]bool{512: false, 419: false, 417: true, 369: true, 367: false, 128: false} {
		if got := worthSqueezing(mib<<20, s, 100<<20); got != want {
			t.Errorf("worthSqueezing with %d MiB = %v, want %v", mib, got, want)
		}
	}
}

// TestChoose takes a smaller form the less memory there is.
func TestChoose(t *testing.T) {
	// 421 MiB with the kernel's needs.
	s := rootfs.Stat{Bytes: 360 << 20, Pages: 370 << 20, Page: memory.Page, Inodes: 11_000, Entries: 11_000}
	all, old := byVersion("6.1"), byVersion("4.19")
	for _, c := range []struct {
		total, available    int64 // MiB
		packed, loose, held int64
		copies              int
		known               []initrd.Compression
		want                initrd.Compression
		plain               int64
	}{
		{2048, 1600, 0, 360, 400, 1, all, initrd.None, 0},
		{2048, 1600, 20, 300, 350, 1, all, initrd.Mixed, 300},
		{2048, 1600, 20, 300, 350, 1, old, initrd.None, 300},
		{1024, 560, 60, 180, 260, 1, all, initrd.Mixed, 180},
		{1024, 560, 60, 180, 260, 1, old, initrd.Gzip, 180},
		{1024, 400, 60, 180, 260, 2, all, initrd.Mixed, 2 * ((400+260-96)/3 - 60 - 90)}, // to be loaded twice
		{704, 560, 60, 180, 260, 1, all, initrd.Mixed, 2 * (272 - 60 - 90)},             // to boot
		{576, 560, 60, 180, 260, 1, all, initrd.Zstd, 0},
		{1024, 560, 0, 180, 260, 1, all, initrd.Zstd, 0},
	} {
		r := room(c.total<<20, c.available<<20)
		r.Copies = c.copies
		got, plain := choose(c.known, r, s, waiting{c.packed << 20, c.loose << 20, c.held << 20})
		if got != c.want || plain>>20 != min(c.plain, c.loose) {
			t.Errorf("%+v: %v, %d MiB plain", c, got, plain>>20)
		}
	}
}

func TestPacking(t *testing.T) {
	config := "boot/config-" + version
	for name, c := range map[string]struct {
		entry imagetest.Entry
		room  Room
		want  initrd.Compression
	}{
		"by version":       {imagetest.Dir("a"), Room{}, initrd.Zstd},
		"by configuration": {imagetest.File(config, "CONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n"), Room{}, initrd.Zstd},
		"only gzip": {
			imagetest.File(config, "CONFIG_RD_GZIP=y\n# CONFIG_RD_ZSTD is not set\n"), Room{}, initrd.Gzip,
		},
		"neither":          {imagetest.File(config, "CONFIG_RD_XZ=y\n"), Room{}, initrd.None},
		"plenty of memory": {imagetest.Dir("a"), room(4<<30, 4<<30), initrd.None},
		"little memory":    {imagetest.Dir("a"), room(100<<20, 80<<20), initrd.Zstd},
	} {
		entries := bootable(c.entry, imagetest.File("usr/data", strings.Repeat("x", 6<<20)))
		if p := inspect(t, Options{Room: c.room}, entries...); p.Packing != c.want {
			t.Errorf("%s: packing %v, want %v", name, p.Packing, c.want)
		}
	}
	for v, zstd := range map[string]bool{
		"6.1.0": true, "5.10": true, "5.9.0-x": true, "10.0": true,
		"5.8.18": false, "4.19": false, "": false, "x.y": false,
	} {
		if got := slices.Contains(byVersion(v), initrd.Zstd); got != zstd {
			t.Errorf("byVersion(%q) has zstd: %v, want %v", v, got, zstd)
		}
	}
}

// records reads an uncompressed archive back.
func records(t *testing.T, r io.ReaderAt) (names []string, content map[string]string) {
	t.Helper()
	content = map[string]string{}
	all, err := cpio.ReadAllRecords(cpio.Newc.Reader(r))
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range all {
		b, err := io.ReadAll(io.NewSectionReader(rec, 0, int64(rec.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, rec.Name)
		content[rec.Name] = string(b)
	}
	return names, content
}

func TestMake(t *testing.T) {
	entries := bootable(imagetest.File("bin/ping", "ping").Xattr("security.capability", "cap"),
		imagetest.Link("boot/wyrcan.kernel.again", "boot/vmlinuz"))
	p := inspect(t, Options{Wyrinit: []byte("wyrinit"), Room: room(4<<30, 4<<30)}, entries...)
	b, err := p.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	kernel, err := io.ReadAll(io.NewSectionReader(b.Kernel, 0, 1<<20))
	if err != nil || !bytes.Equal(kernel, imagetest.BzImage(version)) {
		t.Errorf("the bundle's kernel has %d bytes, %v", len(kernel), err)
	}
	names, content := records(t, b.Initrd)
	if want := []string{".", ".wyrcan", ".wyrcan/list", "init"}; !slices.Equal(names[:4], want) {
		t.Errorf("the archive begins with %q, want %q", names[:4], want)
	}
	if last := names[len(names)-1]; last != ".wyrcan/complete" {
		t.Errorf("the archive ends with %q", last)
	}
	if slices.Contains(names, "boot/vmlinuz") {
		t.Error("the kernel is in the initrd as boot/vmlinuz")
	}
	for name, want := range map[string]string{
		"init": "wyrinit", ".wyrcan/init": "bin/init", "bin/ping": "ping", "boot/wyrcan.kernel": "vmlinuz",
		"boot/wyrcan.kernel.again": string(imagetest.BzImage(version)),
	} {
		if content[name] != want {
			t.Errorf("%s holds %q, want %q", name, content[name], want)
		}
	}
	m, err := handover.Parse([]byte(content[".wyrcan/list"]))
	want := []handover.Xattr{{Path: "/bin/ping", Name: "security.capability", Value: "cap"}}
	if err != nil || !slices.Equal(m.Xattrs, want) {
		t.Errorf("the list holds %v, %v, want %v", m.Xattrs, err, want)
	}
}

// TestLarge has files that no initramfs can hold, one of them with two names: wyrinit joins them, or the image is
// refused.
func TestLarge(t *testing.T) {
	entries := bootable(
		imagetest.PAXSparse("bin/a", "end", 1<<31-3, 1<<31),
		imagetest.PAXSparse("bin/b", "end", 0, 5<<30),
		imagetest.Link("bin/c", "bin/a"),
		imagetest.PAXSparse("bin/most", "end", 0, 1<<31-1),
	)
	p := inspect(t, Options{Wyrinit: []byte("wyrinit")}, entries...)
	want := map[string]string{"bin/a": ".wyrcan/part-1-", "bin/b": ".wyrcan/part-2-", "bin/c": ".wyrcan/part-1-"}
	if opt, err := p.initrdOptions(t.Context()); err != nil || !maps.Equal(opt.Split, want) {
		t.Errorf("Split is %v, %v, want %v", opt.Split, err, want)
	}
	var joins []string
	m, err := p.manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range m.Joins {
		joins = append(joins, fmt.Sprint(j.Path, " ", j.Parts, " ", j.Size))
	}
	wantJoins := []string{"/bin/a /.wyrcan/part-1- 2147483648", "/bin/b /.wyrcan/part-2- 5368709120"}
	if !slices.Equal(joins, wantJoins) {
		t.Errorf("wyrinit joins %q, want %q", joins, wantJoins)
	}
	// Without wyrinit, or with its directory in the image, nothing could join them.
	taken := append(entries, imagetest.File(".wyrcan/x", "x"))
	for name, c := range map[string]struct {
		tree *rootfs.Tree
		opt  Options
	}{
		"without wyrinit": {p.tree, Options{}},
		"with .wyrcan":    {tree(t, taken...), Options{Wyrinit: []byte("wyrinit")}},
	} {
		_, err := Inspect(t.Context(), c.tree, c.opt)
		if err == nil || !strings.Contains(err.Error(), "without wyrinit: /bin/a has 2147483648 bytes") {
			t.Errorf("%s: Inspect = %v, want an error that names /bin/a", name, err)
		}
	}
}

// TestInitDirectory boots an image whose init is named, and which has a directory in the place of wyrinit.
func TestInitDirectory(t *testing.T) {
	entries := append(bootable()[:6:6], imagetest.File("init/motd", "x"),
		imagetest.File("sbin/init", elfHeader(62)).Mode(0o755))
	p := inspect(t, Options{Wyrinit: []byte("w"), Init: "/sbin/init", Room: room(4<<30, 4<<30)}, entries...)
	const want = "the image has the directory /init, which wyrinit needs for itself"
	if got := texts(p.Warnings); !strings.Contains(got, want) {
		t.Errorf("the warnings are %q", got)
	}
	b, err := p.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if names, _ := records(t, b.Initrd); b.Cmdline != "rdinit=/sbin/init" || !slices.Contains(names, "init/motd") {
		t.Errorf("the command line is %q, the initrd has %q", b.Cmdline, names)
	}
}

func TestMakeWithoutWyrinit(t *testing.T) {
	p := inspect(t, Options{Room: room(4<<30, 4<<30)}, bootable()...)
	b, err := p.Make(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, content := records(t, b.Initrd)
	want := []string{
		".", "bin", "bin/init", "bin/sh", "boot", "boot/wyrcan.kernel", "init",
		"lib", "lib/modules", "lib/modules/" + version,
	}
	if got := slices.Sorted(maps.Keys(content)); !slices.Equal(got, want) {
		t.Errorf("the archive holds %q, want %q", got, want)
	}
}
