package boot

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// mounts is the configuration of a kernel that mounts a root without any module.
const mounts = "CONFIG_SQUASHFS=y\nCONFIG_SQUASHFS_ZSTD=y\nCONFIG_SQUASHFS_XATTR=y\nCONFIG_OVERLAY_FS=y\n" +
	"CONFIG_BLK_DEV_LOOP=y\nCONFIG_TMPFS_XATTR=y\nCONFIG_DEVTMPFS=y\n"

// TestSquashFS loads a root that stays an image, for a kernel that can mount it, and another root for one that cannot.
func TestSquashFS(t *testing.T) {
	upper := strings.Repeat("a layer above ", 1000)
	for name, budget := range users() {
		for root, config := range map[string]string{"squashfs": mounts, "tmpfs": "CONFIG_SQUASHFS=y\n"} {
			w := newWorld(t, budget)
			w.Root = bundle.SquashFS
			w.Record = func() record.Record { return record.Record{By: name, Image: record.Image{Asked: "x"}} }
			img := w.push(bootable(imagetest.File("boot/config-"+version, config)),
				imagetest.Files(imagetest.File("upper", upper)))
			// An attempt that fails leaves nothing to the next one.
			w.onBlobs(imagetest.Status(404, ""))
			if tree, err := w.Read(t.Context(), img); err == nil {
				tree.Close()
				t.Fatalf("%s: a registry without the layers gives a tree", name)
			}
			w.registry.Heal()
			if step, err := w.run(t.Context(), img); err != nil {
				t.Errorf("%s: %s: %s = %v", name, root, step, err)
				continue
			}
			if r, ok := inInitrd(t, w.initrd); !ok || r.Initrd.Root != root {
				t.Errorf("%s: the record says that the root is %q, want %s", name, r.Initrd.Root, root)
			}
			image := strings.Contains(w.initrd, ".wyrcan/root.image")
			if mounted := root == "squashfs"; image != mounted || strings.Contains(w.initrd, upper) == mounted {
				t.Errorf("%s: %s: the initrd has an image: %v", name, root, image)
			}
			warned := slices.ContainsFunc(w.said, func(s string) bool {
				return strings.Contains(s, "the root cannot be a SquashFS image (wyr.root=squashfs)")
			})
			if warned != (root == "tmpfs") {
				t.Errorf("%s: %s: it said %q", name, root, w.said)
			}
		}
	}
}

// TestInPlace leaves the image in memory where the running kernel can and the next one can use it, and else in the
// initrd.
func TestInPlace(t *testing.T) {
	const drivers = "CONFIG_BLK_DEV_PMEM=y\nCONFIG_X86_PMEM_LEGACY=y\n"
	for name, c := range map[string]struct {
		leaves bool
		config string
		want   bool
	}{
		"both":                        {true, mounts + drivers, true},
		"the running kernel does not": {false, mounts + drivers, false},
		"the next one does not":       {true, mounts, false},
	} {
		w := newWorld(t, users()["wyrboot"])
		w.Root, w.leaves = bundle.SquashFS, c.leaves
		w.Record = func() record.Record { return record.Record{Image: record.Image{Asked: "x"}} }
		if step, err := w.run(t.Context(), w.push(bootable(imagetest.File("boot/config-"+version, c.config)))); err != nil {
			t.Errorf("%s: %s = %v", name, step, err)
			continue
		}
		left, in := strings.HasPrefix(w.image, "hsqs"), strings.Contains(w.initrd, "hsqs")
		if left != c.want || in == c.want {
			t.Errorf("%s: the image is in memory: %v, in the initrd: %v", name, left, in)
		}
		if small := len(w.initrd) < 1<<20; small != c.want {
			t.Errorf("%s: the initrd has %d bytes", name, len(w.initrd))
		}
		if r, ok := inInitrd(t, w.initrd); !ok || r.Initrd.Root != "squashfs" {
			t.Errorf("%s: the record says that the root is %q", name, r.Initrd.Root)
		}
	}
}

// TestEROFS leaves the image in memory, and has the files unpacked if nobody can.
func TestEROFS(t *testing.T) {
	const config = mounts + "CONFIG_BLK_DEV_PMEM=y\nCONFIG_X86_PMEM_LEGACY=y\nCONFIG_EROFS_FS=y\n" +
		"CONFIG_EROFS_FS_XATTR=y\nCONFIG_EROFS_FS_POSIX_ACL=y\nCONFIG_EROFS_FS_SECURITY=y\n"
	data := strings.Repeat("the data of a file ", 1000)
	for leaves, root := range map[bool]string{true: "erofs", false: "tmpfs"} {
		w := newWorld(t, users()["wyrboot"])
		w.Root, w.leaves = bundle.EROFS, leaves
		w.Record = func() record.Record { return record.Record{Image: record.Image{Asked: "x"}} }
		img := w.push(bootable(imagetest.File("boot/config-"+version, config)), imagetest.Files(imagetest.File("data", data)))
		if step, err := w.run(t.Context(), img); err != nil {
			t.Errorf("%s: %s = %v", root, step, err)
			continue
		}
		if strings.Contains(w.image, data) != leaves || strings.Contains(w.initrd, data) == leaves {
			t.Errorf("%s: the image has %d bytes, the initrd %d", root, len(w.image), len(w.initrd))
		}
		if r, ok := inInitrd(t, w.initrd); !ok || r.Initrd.Root != root {
			t.Errorf("%s: the record says that the root is %q", root, r.Initrd.Root)
		}
	}
}

// TestImageMemory ends the packing when the memory does.
func TestImageMemory(t *testing.T) {
	for name, budget := range users() {
		for _, root := range []bundle.Root{bundle.SquashFS, bundle.EROFS} {
			w := newWorld(t, budget)
			w.Root = root
			img := w.push(bootable(imagetest.File("boot/config-"+version, mounts)))
			reads := 0
			w.Budget.Read = func() (memory.Info, error) {
				if reads++; reads > 3 {
					return memory.Info{Total: 2 << 30, Available: 1 << 20}, nil
				}
				return memory.Info{Total: 2 << 30, Available: 1 << 30}, nil
			}
			_, err := w.Read(t.Context(), img)
			if shortage := new(bundle.Shortage); !errors.As(err, &shortage) || !strings.Contains(err.Error(), budget.Remedy) {
				t.Errorf("%s: Read = %v, want a refusal with the remedy", name, err)
			}
		}
	}
}
