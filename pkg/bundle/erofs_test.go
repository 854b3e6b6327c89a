package bundle

import (
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/erofs"
	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// kept reads a tree for an EROFS root, and inspects it.
func kept(t *testing.T, opt Options, entries ...imagetest.Entry) *Plan {
	t.Helper()
	p := erofs.New(erofs.Options{})
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{imagetest.Files(entries...).Blob(t)}, rootfs.Options{
		Store: p.Store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	opt.Packer, opt.Wyrinit, opt.Room = p, []byte("wyrinit"), room(4<<30, 4<<30)
	plan, err := Inspect(t.Context(), tree, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plan.Close() })
	return plan
}

// TestEROFS leaves the image in memory where that can be, and unpacks the files otherwise.
func TestEROFS(t *testing.T) {
	const dir = "lib/modules/" + version + "/"
	drivers := []imagetest.Entry{
		imagetest.File(dir+"modules.builtin", "kernel/fs/overlayfs/overlay.ko\n"),
		imagetest.File(dir+"modules.dep", "nd_pmem.ko:\nnd_e820.ko:\nerofs.ko: libcrc32c.ko\nlibcrc32c.ko:\n"),
	}
	for _, name := range []string{"nd_pmem", "nd_e820", "erofs", "libcrc32c"} {
		drivers = append(drivers, imagetest.File(dir+name+".ko", string(imagetest.Module())))
	}
	options := []string{"CONFIG_EROFS_FS_XATTR=y", "CONFIG_EROFS_FS_POSIX_ACL=y", "CONFIG_EROFS_FS_SECURITY=y"}
	data := strings.Repeat("some data ", 100_000)
	files := bootable(append(drivers, imagetest.File("data", data), imagetest.File("less", data[:100]),
		imagetest.Dir("var").Xattr("system.posix_acl_default", "acl").Xattr("user.large", strings.Repeat("x", 1<<16)))...)
	for name, c := range map[string]struct {
		inPlace bool
		more    []imagetest.Entry
		why     string // why not
	}{
		"in place":      {true, nil, ""},
		"configuration": {true, []imagetest.Entry{config(options...)}, ""},
		"nobody leaves": {false, nil, "only kexec_load on amd64 does that"},
		"no attributes": {true, []imagetest.Entry{config(options[0], options[2])},
			"was built without CONFIG_EROFS_FS_POSIX_ACL"},
		"old": {true, []imagetest.Entry{imagetest.File("boot/vmlinuz", string(imagetest.BzImage("5.14.21")))},
			"the kernel 5.14.21 is older than 5.15"},
		"no driver": {true, []imagetest.Entry{imagetest.File(dir+"modules.dep", "erofs.ko: libcrc32c.ko\nlibcrc32c.ko:\n")},
			"has no module nd_pmem"},
		"no file system": {true, []imagetest.Entry{imagetest.File(dir+"modules.dep", "nd_pmem.ko:\nnd_e820.ko:\n")},
			"has no module erofs"},
	} {
		p := kept(t, Options{InPlace: c.inPlace}, append(slices.Clone(files), c.more...)...)
		warnings := texts(p.Warnings)
		said := strings.Contains(warnings, "the root cannot be an EROFS image (wyr.root=erofs), so its files are unpacked "+
			"into memory: ")
		if (p.Root == EROFS) != (c.why == "") || said != (c.why != "") || !strings.Contains(warnings, c.why) {
			t.Errorf("%s: the root is %s, with the warnings %q", name, p.Root, warnings)
			continue
		}
		b, err := p.Make(t.Context())
		if err != nil {
			t.Errorf("%s: Make = %v", name, err)
			continue
		}
		_, contents := records(t, b.Initrd)
		list, err := handover.Parse([]byte(contents[".wyrcan/list"]))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.why != "" {
			if b.Image != nil || contents["data"] != data || contents["less"] != data[:100] || list.Image != handover.Nowhere {
				t.Errorf("%s: the initrd does not have the files, or there is an image", name)
			}
			b.Close()
			continue
		}
		lost := []handover.Xattr{{Path: "/var", Name: "user.large", Value: strings.Repeat("x", 1<<16)}}
		if list.Image != handover.InMemory || list.Kind != "erofs" || list.Modules != 4 || !slices.Equal(list.Xattrs, lost) {
			t.Errorf("%s: the list is %.200v", name, list)
		}
		var magic [4]byte
		if _, err := b.Image.ReadAt(magic[:], 1024); err != nil || binary.LittleEndian.Uint32(magic[:]) != 0xe0f5e1e2 {
			t.Errorf("%s: the image has the magic number %x, %v", name, magic, err)
		}
		if _, in := contents["data"]; in || b.Size > 1<<20 || b.Beside < int64(len(data)) {
			t.Errorf("%s: the initrd has %d bytes, and %d are beside it", name, b.Size, b.Beside)
		}
		b.Close()
	}
}

// TestEROFSNeeds says how much memory such a root takes: that of all files, whose image is as large as they are.
func TestEROFSNeeds(t *testing.T) {
	const dir = "lib/modules/" + version + "/"
	files := bootable(
		imagetest.File(dir+"modules.builtin", "nd_pmem.ko\nnd_e820.ko\nerofs.ko\noverlay.ko\n"),
		imagetest.File("data", strings.Repeat("0123456789abcdef", 64<<16))) // 64 MiB
	p := kept(t, Options{InPlace: true}, files...)
	forms, err := p.Forms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made, err := p.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	for name, s := range map[string]Sizes{"estimated": p.Sizes(1<<20, nil), "true": p.Sizes(1<<20, made)} {
		n := p.Needs(forms, s)[2]
		if n.Root != EROFS || n.Why != nil || n.Auto != 0 || n.Resident < 65<<20 || n.Resident > 67<<20 ||
			n.Least < n.Resident+reserve+environment {
			t.Errorf("%s: %+v", name, n)
		}
	}
	unpacked := p.Needs(forms, p.Sizes(1<<20, made))[0]
	if unpacked.Auto != unpacked.Least {
		t.Errorf("no SquashFS can be mounted, and unpacked files are chosen from %d bytes on, not from %d", unpacked.Auto,
			unpacked.Least)
	}
}

// TestPageStructures counts the structure that the kernel has for each page of an image that is left in memory.
func TestPageStructures(t *testing.T) {
	for size, want := range map[int64]int64{0: 0, 1 << 30: 16 << 20, 20 << 30: 320 << 20} {
		p := &Plan{Root: EROFS, packed: &rootfs.Stat{Page: 4096}, Kernel: &kernel.Kernel{MaxCmdline: 2047}}
		b := &Bundle{}
		for _, f := range []**os.File{&b.Kernel, &b.Initrd, &b.Image} {
			var err error
			if *f, err = memory.File("test"); err != nil {
				t.Fatal(err)
			}
		}
		defer b.Close()
		if err := b.Image.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if err := p.finish(b); err != nil || b.Memory != kernelNeeds+processNeeds+size+want {
			t.Errorf("an image of %d MiB needs %d bytes more, %v, want %d", size>>20, b.Memory-size-kernelNeeds-processNeeds,
				err, want)
		}
	}
}
