package boot

import (
	"errors"
	"math/rand/v2"
	"os"
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

// TestRefusedInPlace puts the image into the initrd where the running kernel refuses to leave it in memory, unless the
// next kernel has no loop device or the memory is too little.
func TestRefusedInPlace(t *testing.T) {
	const drivers = "CONFIG_BLK_DEV_PMEM=y\nCONFIG_X86_PMEM_LEGACY=y\nCONFIG_EROFS_FS=y\n" +
		"CONFIG_EROFS_FS_XATTR=y\nCONFIG_EROFS_FS_POSIX_ACL=y\nCONFIG_EROFS_FS_SECURITY=y\n"
	refused := errors.New("no place is large enough for the image")
	const and = "no place is large enough for the image; and with the image of the root in the initrd: "
	for name, c := range map[string]struct {
		root   bundle.Root
		config string
		holds  bool  // a load without copies is tried, too
		more   int   // MiB of files
		total  int64 // of the memory, in MiB; 0 is enough
		err    string
	}{
		"refused":       {root: bundle.SquashFS, config: mounts + drivers},
		"refused twice": {root: bundle.SquashFS, config: mounts + drivers, holds: true},
		"EROFS":         {root: bundle.EROFS, config: mounts + drivers},
		"EROFS, twice":  {root: bundle.EROFS, config: mounts + drivers, holds: true},
		"EROFS, too much": {root: bundle.EROFS, config: mounts + drivers, more: 60, total: 180, err: and +
			"too little memory: the container needs 18"},
		"no loop device": {root: bundle.SquashFS, config: strings.Replace(mounts, "CONFIG_BLK_DEV_LOOP=y\n", "", 1) + drivers,
			err: and + "the kernel " + version + " has no module loop"},
	} {
		w := newWorld(t, users()["wyrboot"])
		w.Root, w.leaves, w.refusesImage = c.root, true, refused
		w.Record = func() record.Record { return record.Record{Image: record.Image{Asked: "x"}} }
		if c.holds {
			w.Hold = func(_, _, image *os.File, _ string) (func() error, error) { return nil, refused }
		}
		if c.total > 0 {
			w.Budget.Read = func() (memory.Info, error) { return memory.Info{Total: c.total << 20, Available: 1 << 30}, nil }
		}
		img := w.push(bootable(imagetest.File("boot/config-"+version, c.config), imagetest.File("more", string(random(c.more<<20)))))
		magic := map[bundle.Root]string{bundle.SquashFS: "hsqs", bundle.EROFS: "\xe2\xe1\xf5\xe0"}[c.root]
		switch step, err := w.run(t.Context(), img); {
		case c.err != "":
			if err == nil || step != "load" || !strings.Contains(err.Error(), c.err) || w.loads > 0 {
				t.Errorf("%s: %s = %v, want %q", name, step, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %s = %v", name, step, err)
		default:
			if w.loads != 1 || w.image != "" || !strings.Contains(w.initrd, magic) {
				t.Errorf("%s: %d loads, an image of %d bytes beside an initrd of %d", name, w.loads, len(w.image),
					len(w.initrd))
			}
			if r, ok := inInitrd(t, w.initrd); !ok || r.Initrd.Root != string(c.root) || r.Initrd.Bytes < 12<<20 {
				t.Errorf("%s: the record says %+v", name, r.Initrd)
			}
			if !slices.Contains(w.said, "the image of the root goes into the initrd: "+refused.Error()) {
				t.Errorf("%s: it said %q", name, w.said)
			}
		}
	}
}

func random(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// TestAuto chooses the form by the memory, whatever form was expected by the size of the layers, and by the kernel.
func TestAuto(t *testing.T) {
	zeros := imagetest.Files(imagetest.File("zeros", strings.Repeat("0", 200<<20))) // 200 kB as they are stored
	noise := imagetest.Files(imagetest.File("more", string(random(24<<20))))        // there are 12 MiB already
	noise.Compression = imagetest.Plain
	little := []imagetest.Layer{noise}
	for name, c := range map[string]struct {
		config   string
		more     []imagetest.Layer
		total    int64 // of the memory
		expected bool  // to be an image
		want     string
		says     string
		err      string
	}{
		"plenty": {mounts, nil, 2 << 30, false, "tmpfs", "", ""},
		"little": {mounts, little, 150 << 20, true, "squashfs", "the files stay packed in memory (SquashFS)", ""},
		"little, for that kernel": {"CONFIG_SQUASHFS=y\n", little, 150 << 20, true, "tmpfs",
			"the root cannot be a SquashFS image, so its files are unpacked into memory, of which they leave less than " +
				"half free: the kernel " + version + " was built without CONFIG_SQUASHFS_ZSTD", ""},
		"more than it seemed": {mounts, []imagetest.Layer{zeros}, 400 << 20, false, "squashfs",
			"the files stay packed in memory (SquashFS), because unpacked files would leave less than half of the " +
				"400 MiB of memory free", ""},
		"more than it seemed, for that kernel": {"", []imagetest.Layer{zeros}, 240 << 20, false, "", "",
			"too little memory: the container needs more than 29"},
		"less than it seemed": {mounts, []imagetest.Layer{imagetest.Files(imagetest.Whiteout("noise"))}, 120 << 20, true,
			"tmpfs", "", ""},
		"an engine": {mounts, append(little, imagetest.Files(imagetest.File("usr/bin/podman", "x"))), 150 << 20, true,
			"tmpfs", "", ""},
	} {
		w := newWorld(t, users()["wyrboot"])
		w.Root = bundle.Auto
		w.Record = func() record.Record { return record.Record{Image: record.Image{Asked: "x"}} }
		w.Budget.Read = func() (memory.Info, error) {
			return memory.Info{Total: c.total, Available: 2 << 30}, nil
		}
		img := w.push(append([]imagetest.Layer{bootable(imagetest.File("boot/config-"+version, c.config))},
			c.more...)...)
		tree, err := w.Read(t.Context(), img)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if packed := len(tree.Spools()) == 0; packed != c.expected {
			t.Errorf("%s: the contents wait packed for an image: %v", name, packed)
		}
		made, err := w.Convert(t.Context(), tree, bundle.Options{Wyrinit: []byte("wyrinit")})
		if err != nil {
			if c.err == "" || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
			continue
		}
		said := strings.Join(w.said, "\n")
		if string(made.Root) != c.want || !strings.Contains(said, c.says) || c.says == "" && said != "" {
			t.Errorf("%s: the root is %s, and it said %q; want %s, %q", name, made.Root, said, c.want, c.says)
		}
		if err := w.Boot.Load(t.Context(), made); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if image := strings.Contains(w.initrd, "hsqs"); image != (c.want == "squashfs") {
			t.Errorf("%s: the initrd has an image: %v", name, image)
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
