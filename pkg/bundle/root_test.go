package bundle

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// squashed reads a tree as the root wants it, and inspects it.
func squashed(t *testing.T, opt Options, entries ...imagetest.Entry) (*Plan, error) {
	t.Helper()
	p, err := squashfs.New(squashfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{imagetest.Files(entries...).Blob(t)}, rootfs.Options{
		Store: p.Store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	opt.Packer = p
	plan, err := Inspect(t.Context(), tree, opt)
	if err == nil {
		t.Cleanup(func() { plan.Close() })
	}
	return plan, err
}

// made is the bundle of such a tree.
func made(t *testing.T, opt Options, entries ...imagetest.Entry) *Bundle {
	t.Helper()
	p, err := squashed(t, opt, entries...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// mountable is a container whose kernel can mount a SquashFS image: squashfs is a module that depends on another one,
// loop is a module, overlay is built in.
func mountable(more ...imagetest.Entry) []imagetest.Entry {
	const dir = "lib/modules/" + version + "/"
	return bootable(append([]imagetest.Entry{
		imagetest.File(dir+"modules.builtin", "kernel/fs/overlayfs/overlay.ko\n"),
		imagetest.File(dir+"modules.dep", "squashfs.ko: zstd.ko\nzstd.ko:\nloop.ko:\n"),
		imagetest.File(dir+"squashfs.ko", string(imagetest.Module("name=squashfs"))),
		imagetest.File(dir+"zstd.ko", string(imagetest.Module("name=zstd"))),
		imagetest.File(dir+"loop.ko", string(imagetest.Module("name=loop"))),
	}, more...)...)
}

// config is a kernel's configuration with these changes.
func config(changes ...string) imagetest.Entry {
	lines := []string{"CONFIG_SQUASHFS_ZSTD=y", "CONFIG_SQUASHFS_XATTR=y", "CONFIG_TMPFS_XATTR=y", "CONFIG_DEVTMPFS=y",
		"CONFIG_RD_ZSTD=y"}
	for _, c := range changes {
		option, _, _ := strings.Cut(c, "=")
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, option+"=") })
		lines = append(lines, c)
	}
	return imagetest.File("boot/config-"+version, strings.Join(lines, "\n")+"\n")
}

// owned returns files that together have so many owners and groups, root among them.
func owned(number int) []imagetest.Entry {
	var e []imagetest.Entry
	for id := 1; id < number; id += 2 {
		e = append(e, imagetest.File("owned/"+strconv.Itoa(id), "").Owner(id, min(id+1, number-1)))
	}
	return e
}

// TestRoot decides about the form of the root.
func TestRoot(t *testing.T) {
	old := imagetest.File("boot/vmlinuz", string(imagetest.BzImage("4.16.18")))
	builtin := []string{"CONFIG_SQUASHFS=y", "CONFIG_OVERLAY_FS=y", "CONFIG_BLK_DEV_LOOP=y"}
	for name, c := range map[string]struct {
		entries []imagetest.Entry
		modules string
		why     string // why not
	}{
		"modules":               {mountable(), "loop zstd squashfs", ""},
		"configuration":         {mountable(config()), "loop zstd squashfs", ""},
		"squashfs is built in":  {mountable(config("CONFIG_SQUASHFS=y")), "loop", ""},
		"no modules are needed": {bootable(config(builtin...)), "", ""},
		"devices": {mountable(imagetest.Char("dev/null", 1, 3), imagetest.Block("dev/zero", 0, 0)), "loop zstd squashfs",
			""},

		"nothing of modules": {bootable(), "", "the kernel " + version + " has no module loop, neither built in nor in " +
			"/lib/modules/" + version + " of the image"},
		"one is missing": {mountable(imagetest.File("lib/modules/"+version+"/modules.builtin", "")), "",
			"the kernel " + version + " has no module overlay"},
		"no directory": {bootable(imagetest.File("boot/vmlinuz", string(imagetest.BzImage("6.9")))), "",
			"the image has no modules for its kernel 6.9, and so not loop, squashfs, overlay"},
		"damaged": {mountable(imagetest.File("lib/modules/"+version+"/zstd.ko", "text")), "",
			"/lib/modules/" + version + "/zstd.ko is no module"},
		"no zstd":       {mountable(config("CONFIG_SQUASHFS_ZSTD=n")), "", "was built without CONFIG_SQUASHFS_ZSTD"},
		"no attributes": {mountable(config("CONFIG_SQUASHFS_XATTR=")), "", "was built without CONFIG_SQUASHFS_XATTR"},
		"old":           {mountable(old), "", "the kernel 4.16.18 is older than 4.17"},
		"a whiteout of an overlay": {mountable(imagetest.Char("var/gone", 0, 0)), "",
			`"var/gone" is a part of an overlay itself, which cannot be in another one`},
		"an opaque directory": {mountable(imagetest.Dir("var").Xattr("trusted.overlay.opaque", "y")), "",
			`"var" is a part of an overlay itself, which cannot be in another one`},
		"a path that only an image has room for": {mountable(imagetest.File(strings.Repeat("n/", 2048)+"f", "")),
			"loop zstd squashfs", ""},
		"as many owners as an image holds": {mountable(owned(1<<16 - 1)...), "loop zstd squashfs", ""},
		"too many owners":                  {mountable(owned(1 << 16)...), "", "more than 65535 owners and groups"},
		"taken": {mountable(imagetest.Dir(".wyrcan")), "",
			"wyrinit, which mounts it, has no place in this container"},
	} {
		p, err := squashed(t, Options{Wyrinit: []byte("wyrinit"), Room: room(4<<30, 4<<30)}, c.entries...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var names []string
		for _, m := range p.modules {
			names = append(names, m.Name)
		}
		warnings := texts(p.Warnings)
		said := strings.Contains(warnings, "the root cannot be a SquashFS image (wyr.root=squashfs), "+
			"so its files are unpacked into memory: ")
		if (p.Root == SquashFS) != (c.why == "") || said != (c.why != "") || !strings.Contains(warnings, c.why) ||
			strings.Join(names, " ") != c.modules {
			t.Errorf("%s: the root is %s, with the modules %q and the warnings %q; want %q, %q", name, p.Root, names,
				warnings, c.modules, c.why)
		}
		// It boots in any case.
		b, err := p.Make(t.Context())
		if err != nil {
			t.Errorf("%s: Make = %v", name, err)
			continue
		}
		if b.Root != p.Root {
			t.Errorf("%s: the bundle's root is %s", name, b.Root)
		}
		if all, _ := records(t, b.Initrd); slices.Contains(all, "bin/sh") != (c.why != "") {
			t.Errorf("%s: the initrd has %q", name, all)
		}
		b.Close()
	}
}

// TestPlace leaves the image beside the initrd where somebody can leave it there, and the kernel can use it.
func TestPlace(t *testing.T) {
	const dir = "lib/modules/" + version + "/"
	drivers := []imagetest.Entry{
		imagetest.File(dir+"modules.dep", "loop.ko:\nsquashfs.ko:\nnd_pmem.ko: libnvdimm.ko\nlibnvdimm.ko:\n"+
			"nd_e820.ko: libnvdimm.ko\n"),
		imagetest.File(dir+"libnvdimm.ko", string(imagetest.Module())),
		imagetest.File(dir+"nd_pmem.ko", string(imagetest.Module())),
		imagetest.File(dir+"nd_e820.ko", string(imagetest.Module())),
	}
	noise := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	data := imagetest.File("data", string(noise))
	for name, c := range map[string]struct {
		inPlace bool
		entries []imagetest.Entry
		modules string
		beside  bool
	}{
		"both":          {true, append(drivers, data), "libnvdimm nd_pmem nd_e820 squashfs", true},
		"nobody leaves": {false, append(drivers, data), "loop squashfs", false},
		"no drivers":    {true, []imagetest.Entry{data}, "loop zstd squashfs", false},
	} {
		opt := Options{Wyrinit: []byte("wyrinit"), InPlace: c.inPlace, Room: room(1<<30, 1<<30)}
		p, err := squashed(t, opt, mountable(c.entries...)...)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range p.modules {
			names = append(names, m.Name)
		}
		if got := strings.Join(names, " "); got != c.modules {
			t.Errorf("%s: the modules are %q, want %q", name, got, c.modules)
		}
		b, err := p.Make(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, contents := records(t, b.Initrd)
		m, err := handover.Parse([]byte(contents[".wyrcan/list"]))
		_, in := contents[".wyrcan/root.image"]
		if err != nil || (m.Image == handover.InMemory) != c.beside || in == c.beside || (b.Image != nil) != c.beside {
			t.Errorf("%s: the list says %+v, %v; the initrd has the image: %v", name, m, err, in)
		}
		if small := b.Size < 1<<20; small != c.beside || b.Beside > 0 != c.beside {
			t.Errorf("%s: the initrd has %d bytes, and %d are beside it", name, b.Size, b.Beside)
		}
		// In memory once, or twice.
		image := max(b.Size, b.Beside)
		if c.beside && b.Memory-image > kernelNeeds+processNeeds+1<<20 || b.Memory-image < kernelNeeds+processNeeds {
			t.Errorf("%s: the container needs %d bytes of memory", name, b.Memory)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSquash looks at all that is in the initrd.
func TestSquash(t *testing.T) {
	data := strings.Repeat("0123456789", 1<<20)
	opt := Options{Wyrinit: []byte("wyrinit"), Init: "/bin/init", Room: room(1<<30, 1<<30)}
	b := made(t, opt, mountable(
		imagetest.Dir(".").Mode(0o711).Xattr("user.root", "x").At(imagetest.Epoch),
		imagetest.Dir("var").Xattr("system.posix_acl_default", "acl").Xattr("user.kept", "in the image"),
		imagetest.File("data", data),
	)...)
	names, contents := records(t, b.Initrd)
	want := []string{".", ".wyrcan", ".wyrcan/list", "init", ".wyrcan/module-1", ".wyrcan/module-2", ".wyrcan/module-3",
		".wyrcan/root.image", ".wyrcan/complete"}
	if !slices.Equal(names, want) {
		t.Fatalf("the initrd has %q, want %q", names, want)
	}
	if contents["init"] != "wyrinit" || !strings.Contains(contents[".wyrcan/module-2"], "name=zstd") {
		t.Errorf("the initrd has /init %q and the second module %q", contents["init"], contents[".wyrcan/module-2"])
	}
	if image := contents[".wyrcan/root.image"]; !strings.HasPrefix(image, "hsqs") || len(image)%4096 != 0 {
		t.Errorf("the image has %d bytes and begins with %.4q", len(image), image)
	}
	m, err := handover.Parse([]byte(contents[".wyrcan/list"]))
	if err != nil {
		t.Fatal(err)
	}
	attributes := []handover.Xattr{
		{Path: "/.", Name: "user.root", Value: "x"},
		{Path: "/var", Name: "system.posix_acl_default", Value: "acl"},
	}
	if m.Image != handover.InFile || m.Modules != 3 || m.Init != "/bin/init" || m.RootMTime != imagetest.Epoch.Unix() ||
		len(m.Joins) > 0 || !slices.Equal(m.Xattrs, attributes) {
		t.Errorf("the list is %+v", m)
	}
	// The files are 10 MiB, of which next to nothing stays.
	if most := int64(kernelNeeds + processNeeds + 1<<20); b.Memory > most || b.Size > 1<<20 {
		t.Errorf("the initrd has %d bytes and the container needs %d bytes of memory, want %d at most", b.Size, b.Memory,
			most)
	}
}

// TestSquashMemory refuses what is too large, with numbers, and lifts the limit of the kernel's first root where the
// image needs that.
func TestSquashMemory(t *testing.T) {
	noise := make([]byte, 60<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	entries := mountable(imagetest.File("data", string(noise)))
	for total, want := range map[int64]string{
		1 << 30: "", 170 << 20: "initramfs_options=size=100%,nr_inodes=0",
		158 << 20: "too little memory: the container needs 161 MiB to boot (61 MiB of files, 61 MiB of initrd) and the " +
			"machine has 158 MiB",
	} {
		p, err := squashed(t, Options{Wyrinit: []byte("wyrinit"), Room: room(total, total)}, entries...)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if b, err := p.Make(t.Context()); err != nil {
			got = err.Error()
		} else {
			got = b.Cmdline
			b.Close()
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("with %s MiB: %q, want %q", strconv.FormatInt(total>>20, 10), got, want)
		}
	}
}

// TestSquashCap lifts the limit also where it would be enough by the numbers alone, but not on a machine of that size.
func TestSquashCap(t *testing.T) {
	p := &Plan{Root: SquashFS, packed: &rootfs.Stat{Pages: 88 << 20, Page: 4096, Inodes: 9}}
	p.Kernel = &kernel.Kernel{MaxCmdline: 2047}
	for total, want := range map[int64]string{0: "", 270 << 20: liftCap, 480 << 20: ""} {
		if line, err := p.Cmdline(86<<20, total); line != want || err != nil {
			t.Errorf("with %d MiB the command line is %q, %v, want %q", total>>20, line, err, want)
		}
	}
}
