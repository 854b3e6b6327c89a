package bundle

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// checkable is a container whose kernel can mount an image and check it: dm-verity is a module that depends on others,
// SHA-256 is built in, and has a faster driver.
func checkable(more ...imagetest.Entry) []imagetest.Entry {
	const dir = "lib/modules/" + version + "/"
	return mountable(append([]imagetest.Entry{
		imagetest.File(dir+"modules.builtin", "kernel/fs/overlayfs/overlay.ko\nkernel/crypto/sha256_generic.ko\n"),
		imagetest.File(dir+"modules.dep", "squashfs.ko: zstd.ko\nzstd.ko:\nloop.ko:\n"+
			"dm-verity.ko: dm-bufio.ko dm-mod.ko zstd.ko\ndm-bufio.ko: dm-mod.ko\ndm-mod.ko:\n"+
			"sha256-ssse3.ko: crypto.ko\ncrypto.ko:\nsha256.ko:\n"),
		imagetest.File(dir+"dm-verity.ko", string(imagetest.Module())),
		imagetest.File(dir+"dm-bufio.ko", string(imagetest.Module())),
		imagetest.File(dir+"dm-mod.ko", string(imagetest.Module())),
		imagetest.File(dir+"sha256-ssse3.ko", string(imagetest.Module())),
		imagetest.File(dir+"crypto.ko", string(imagetest.Module())),
		imagetest.File(dir+"sha256.ko", string(imagetest.Module())),
	}, more...)...)
}

// TestVerity decides whether the kernel checks the root.
func TestVerity(t *testing.T) {
	const dir = "lib/modules/" + version + "/"
	const all = "loop zstd squashfs dm_mod dm_bufio dm_verity crypto sha256_ssse3"
	only := func(list string) imagetest.Entry { return imagetest.File(dir+"modules.dep", list) }
	small := imagetest.File("boot/vmlinuz", string(imagetest.BzImage(version)))
	for name, c := range map[string]struct {
		entries []imagetest.Entry
		wanted  Verity
		modules string
		refused string // by an error
		warned  string
	}{
		"asked for":  {checkable(), Checked, all, "", ""},
		"by default": {checkable(), CheckedIfPossible, all, "", ""},
		"no":         {checkable(), Unchecked, "loop zstd squashfs", "", ""},
		"built in": {checkable(config("CONFIG_DM_VERITY=y", "CONFIG_CRYPTO_SHA256=y", "CONFIG_CRYPTO_SHA256_SSSE3=y")),
			Checked, "loop zstd squashfs", "", ""},
		"SHA-256 is a module": {checkable(imagetest.File(dir+"modules.builtin", "overlay.ko\n")), Checked,
			"loop zstd squashfs dm_mod dm_bufio dm_verity sha256 crypto sha256_ssse3", "", ""},
		"nothing is faster": {checkable(only("squashfs.ko:\nloop.ko:\ndm-verity.ko:\n")), Checked,
			"loop squashfs dm_verity", "", ""},
		"a faster one is damaged": {checkable(imagetest.File(dir+"sha256-ssse3.ko", "text")), Checked,
			"loop zstd squashfs dm_mod dm_bufio dm_verity", "", ""},

		"cannot": {mountable(), Checked, "", "the kernel cannot check the root's image, as wyr.verity=yes asks: the kernel " +
			version + " has no module dm_verity, neither built in nor in /lib/modules/" + version + " of the image; use a", ""},
		"cannot, by default": {mountable(), CheckedIfPossible, "loop zstd squashfs", "",
			"nothing checks the root while the system runs (wyr.verity): the kernel " + version + " has no module dm_verity"},
		"no SHA-256": {checkable(imagetest.File(dir+"modules.builtin", "overlay.ko\n"),
			only("squashfs.ko:\nloop.ko:\ndm-verity.ko:\n")), Checked, "", "has no module sha256_generic", ""},
		"one is missing": {checkable(imagetest.Whiteout(dir+"dm-bufio.ko"), imagetest.File(dir+"dm-bufio.ko", "text")),
			Checked, "", dir + "dm-bufio.ko is no module", ""},
		"unpacked": {bootable(), Checked, "", "the root cannot be an image, which wyr.verity=yes asks the kernel to " +
			"check: the kernel " + version + " has no module loop, neither built in nor in /lib/modules/" + version +
			" of the image; use a kernel that can mount one, with its modules, or leave wyr.verity=yes out", ""},
		"unpacked, by default": {bootable(), CheckedIfPossible, "", "", "so its files are unpacked into memory"},
		"room for the hash": {checkable(small, imagetest.File("boot/wyrcan.cmdline", strings.Repeat("x", 2047-78))),
			Checked, all, "", ""},
		"no room": {checkable(small, imagetest.File("boot/wyrcan.cmdline", strings.Repeat("x", 2047-77))), Checked, "",
			"takes a command line of at most 2047 bytes and this one has 2048", ""},
	} {
		opt := Options{Wyrinit: []byte("wyrinit"), Room: room(4<<30, 4<<30), Verity: c.wanted}
		p, err := squashed(t, opt, c.entries...)
		if err != nil || c.refused != "" {
			if err == nil || c.refused == "" || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: Inspect = %v, want %q", name, err, c.refused)
			}
			continue
		}
		var names []string
		for _, m := range p.modules {
			names = append(names, m.Name)
		}
		if got := strings.Join(names, " "); got != c.modules {
			t.Errorf("%s: the modules are %q, want %q", name, got, c.modules)
		}
		warned := slices.ContainsFunc(p.Warnings, func(w Warning) bool { return w.ID == RootUnchecked })
		if !strings.Contains(texts(p.Warnings), c.warned) || warned != (c.warned != "" && p.Root == SquashFS) {
			t.Errorf("%s: the warnings are %q, want %q", name, texts(p.Warnings), c.warned)
		}
		b, err := p.Make(t.Context())
		if err != nil {
			t.Errorf("%s: Make = %v", name, err)
			continue
		}
		_, contents := records(t, b.Initrd)
		m, err := handover.Parse([]byte(contents[".wyrcan/list"]))
		checked := c.wanted != Unchecked && c.warned == ""
		if err != nil || (m.Verity.Blocks > 0) != checked || (b.RootHash != "") != checked {
			t.Errorf("%s: the list is %+v, %v, and the hash %q", name, m, err, b.RootHash)
		}
		if has := strings.HasPrefix(b.Cmdline, "wyr.roothash="+b.RootHash); checked && !has ||
			!checked && strings.Contains(b.Cmdline, "roothash") {
			t.Errorf("%s: the command line is %q and the hash %q", name, b.Cmdline, b.RootHash)
		}
		b.Close()
	}
}

// TestVerityUnasked says that a root that nobody wanted as an image is none.
func TestVerityUnasked(t *testing.T) {
	for root, wyrinit := range map[Root][]byte{Tmpfs: []byte("wyrinit"), Initramfs: nil} {
		tree := tree(t, checkable()...)
		_, err := Inspect(t.Context(), tree, Options{Wyrinit: wyrinit, Verity: Checked})
		if want := "the root is " + string(root) + ": files that are unpacked into memory, where nothing checks " +
			"them; use wyr.root=squashfs"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Inspect = %v, want %q", err, want)
		}
		p, err := Inspect(t.Context(), tree, Options{Wyrinit: wyrinit, Verity: CheckedIfPossible})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(texts(p.Warnings), "verity") {
			t.Errorf("%s: the warnings are %q", root, texts(p.Warnings))
		}
		p.Close()
	}
}

// TestVerityAuto has an image to check where unpacked files would be the root.
func TestVerityAuto(t *testing.T) {
	for wanted, root := range map[Verity]Root{Checked: SquashFS, CheckedIfPossible: Tmpfs, Unchecked: Tmpfs} {
		p, err := squashed(t, Options{Wyrinit: []byte("wyrinit"), Room: room(4<<30, 4<<30), Verity: wanted, Root: Auto},
			checkable(imagetest.File("usr/bin/podman", ""))...)
		if err != nil {
			t.Fatal(err)
		}
		if p.Root != root || p.checked != (wanted == Checked) {
			t.Errorf("%d: the root is %s, because %s; it is checked: %v", wanted, p.Root, p.Why, p.checked)
		}
	}
	_, err := squashed(t, Options{Wyrinit: []byte("wyrinit"), Room: room(4<<30, 4<<30), Verity: Checked, Root: Auto},
		bootable()...)
	if err == nil || !strings.HasPrefix(err.Error(), "the root cannot be an image, which wyr.verity=yes asks") {
		t.Errorf("Inspect = %v", err)
	}
}

// TestSealed has veritysetup check the image of a bundle, in the initrd and beside it, by nothing but the hash on the
// command line, which is the same for the same image; and ends when the memory does.
func TestSealed(t *testing.T) {
	imagetest.NeedsPrograms(t, "veritysetup")
	const dir = "lib/modules/" + version + "/"
	noise := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	entries := checkable(imagetest.File("data", string(noise)),
		imagetest.File(dir+"modules.builtin", "overlay.ko\nsha256_generic.ko\nnd_pmem.ko\nnd_e820.ko\n"))
	seen := map[string]bool{}
	for _, inPlace := range []bool{false, true} {
		opt := Options{Wyrinit: []byte("wyrinit"), Room: room(1<<30, 1<<30), Verity: Checked, InPlace: inPlace,
			Args: []string{"console=ttyS0", `open="quote`}}
		b := made(t, opt, entries...)
		_, contents := records(t, b.Initrd)
		m, err := handover.Parse([]byte(contents[".wyrcan/list"]))
		if err != nil {
			t.Fatal(err)
		}
		image := []byte(contents[".wyrcan/root.image"])
		if inPlace {
			image = make([]byte, b.Beside)
			if _, err := b.Image.ReadAt(image, 0); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(file, image, 0o600); err != nil {
			t.Fatal(err)
		}
		hash, rest, _ := strings.Cut(strings.TrimPrefix(b.Cmdline, "wyr.roothash="), " ")
		out, err := exec.Command("veritysetup", "verify", file, file, hash,
			"--hash-offset="+strconv.FormatInt(m.Verity.Blocks*handover.BlockSize, 10)).CombinedOutput()
		if err != nil || hash != b.RootHash || rest != `console=ttyS0 open="quote` {
			t.Errorf("veritysetup: %v: %s; the command line is %q", err, out, b.Cmdline)
		}
		seen[hash] = true
		if n := int64(len(image)) - m.Verity.Blocks*handover.BlockSize; n > int64(len(image))/100 {
			t.Errorf("the tree has %d of %d bytes", n, len(image))
		}
	}

	if len(seen) != 1 {
		t.Errorf("the same image has %d hashes", len(seen))
	}

	// An image that was to stay beside the initrd goes into it, as it is.
	opt := Options{Wyrinit: []byte("wyrinit"), Room: room(1<<30, 1<<30), Verity: Checked, InPlace: true}
	b := made(t, opt, entries...)
	before := b.Cmdline
	if err := b.InFile(t.Context()); err != nil {
		t.Fatal(err)
	}
	names, contents := records(t, b.Initrd)
	m, err := handover.Parse([]byte(contents[".wyrcan/list"]))
	if err != nil || m.Verity.Blocks == 0 || m.Image != handover.InFile || b.Cmdline != before {
		t.Errorf("the list is %+v, %v, the command line %q and before %q", m, err, b.Cmdline, before)
	}
	if modules := len(slices.DeleteFunc(names, func(n string) bool { return !strings.Contains(n, "module-") })); modules !=
		int(m.Modules) || modules != 8 {
		t.Errorf("the initrd has %d modules, and the list says %d", modules, m.Modules)
	}

	full := errors.New("the memory is full")
	opt.InPlace, opt.Grow = false, func() error { return full }
	p, err := squashed(t, opt, checkable(imagetest.File("data", string(noise)))...)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := p.Make(t.Context()); !errors.Is(err, full) {
		t.Errorf("Make = %v, %v, want %v", b, err, full)
	}
}
