package bundle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// bzImage is a kernel at a path, for search tests. Its version is that of the file, which its name need not say.
func bzImage(path, version string) imagetest.Entry {
	return imagetest.File(path, string(imagetest.BzImage(version)))
}

// uki is a unified kernel image with a command line.
func uki(version, cmdline string) string {
	kernel := imagetest.BzImage(version)
	b := make([]byte, 1024)
	copy(b, "MZ")
	le := binary.LittleEndian
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x46:], 2)
	for i, s := range []struct {
		name      string
		size, off int
	}{{".cmdline", len(cmdline), 512}, {".linux", len(kernel), 1024}} {
		at := 0x58 + 40*i
		copy(b[at:], s.name)
		le.PutUint32(b[at+8:], uint32(s.size))
		le.PutUint32(b[at+16:], uint32(s.size))
		le.PutUint32(b[at+20:], uint32(s.off))
	}
	copy(b[512:], cmdline)
	return string(append(b, kernel...))
}

var someInit = imagetest.File("sbin/init", "#!/sbin/init\n").Mode(0o755)

func moduleDirs(versions ...string) (list []imagetest.Entry) {
	for _, v := range versions {
		list = append(list, imagetest.Dir("usr/lib/modules/"+v))
	}
	return append(list, imagetest.Symlink("lib", "usr/lib"))
}

// TestSearch finds the kernels of images that were not made for Wyrcan.
func TestSearch(t *testing.T) {
	type entries = []imagetest.Entry
	for name, c := range map[string]struct {
		entries entries
		file    string // the kernel
		why     string // in Chosen
		warning string
	}{
		"bootc": {
			entries{imagetest.Symlink("lib", "usr/lib"), bzImage("usr/lib/modules/5.14.0-9.el9/vmlinuz", "5.14.0-9.el9"),
				bzImage("usr/lib/modules/5.14.0-10.el9/vmlinuz", "5.14.0-10.el9")},
			"usr/lib/modules/5.14.0-10.el9/vmlinuz",
			"kernel /usr/lib/modules/5.14.0-10.el9/vmlinuz (the newest of 2 with its modules), " +
				"because there is no /boot/wyrcan.kernel",
			"",
		},
		"bootc before /boot": {
			append(moduleDirs("7.0"), bzImage("usr/lib/modules/6.0/vmlinuz", "6.0"), bzImage("boot/vmlinuz-7.0", "7.0")),
			"usr/lib/modules/6.0/vmlinuz", "(the only one with its modules)", "",
		},
		"before /usr was merged": {
			entries{bzImage("lib/modules/6.0/vmlinuz", "6.0")}, "lib/modules/6.0/vmlinuz", "the only one", "",
		},
		"a UKI on the boot partition": {
			append(moduleDirs("6.2", "6.10"),
				imagetest.File("boot/EFI/Linux/a-6.2.efi", uki("6.2", "a")),
				imagetest.File("boot/EFI/Linux/b-6.10.efi", uki("6.10", "b")),
				imagetest.File("boot/EFI/Linux/grub.efi", "MZ"),
				bzImage("boot/vmlinuz-6.10", "6.10")),
			"boot/EFI/Linux/b-6.10.efi", "newest of 2 with its modules", "",
		},
		"a UKI beside its modules": {
			append(moduleDirs(), imagetest.File("usr/lib/modules/6.2/x.efi", uki("6.2", "a"))),
			"usr/lib/modules/6.2/x.efi", "the only one with its modules", "",
		},
		"two in /boot": {
			append(moduleDirs("6.1.0-9-amd64", "6.1.0-10-amd64"),
				bzImage("boot/vmlinuz-6.1.0-9-amd64", "6.1.0-9-amd64"),
				bzImage("boot/vmlinuz-6.1.0-10-amd64", "6.1.0-10-amd64")),
			"boot/vmlinuz-6.1.0-10-amd64", "newest of 2", "",
		},
		"the newest has no modules": {
			append(moduleDirs("6.1.0-9-amd64"),
				bzImage("boot/vmlinuz-6.1.0-9-amd64", "6.1.0-9-amd64"),
				bzImage("boot/vmlinuz-6.1.0-10-amd64", "6.1.0-10-amd64")),
			"boot/vmlinuz-6.1.0-9-amd64", "the only one with its modules", "",
		},
		"a release candidate": {
			append(moduleDirs("6.7.0~rc3-1", "6.7.0-1"),
				bzImage("boot/vmlinuz-6.7.0~rc3-1", "6.7.0~rc3-1"), bzImage("boot/vmlinuz-6.7.0-1", "6.7.0-1")),
			"boot/vmlinuz-6.7.0-1", "newest of 2", "",
		},
		"none has modules": {
			entries{bzImage("boot/vmlinuz-6.2", "6.2"), bzImage("boot/vmlinuz-6.10", "6.10")},
			"boot/vmlinuz-6.10", "(the newest of 2 and none has its modules)", "no /lib/modules/6.10",
		},
		"modules matter more than the place": {
			append(moduleDirs("6.2"), imagetest.File("boot/EFI/Linux/x.efi", uki("6.9", "")),
				bzImage("boot/vmlinuz-6.2", "6.2")),
			"boot/vmlinuz-6.2", "the only one with its modules", "",
		},
		"Arch Linux": {
			append(moduleDirs("6.12.9-arch1-1"), bzImage("boot/vmlinuz-linux", "6.12.9-arch1-1"),
				imagetest.File("boot/initramfs-linux.img", "x")),
			"boot/vmlinuz-linux", "the only one with its modules", "",
		},
		"two packages": {
			append(moduleDirs("6.12.9-arch1-1", "6.6.70-1-lts"), bzImage("boot/vmlinuz-linux", "6.12.9-arch1-1"),
				bzImage("boot/vmlinuz-linux-lts", "6.6.70-1-lts")),
			"boot/vmlinuz-linux", "newest of 2", "",
		},
		"a rescue kernel": { // as Fedora's, of a version that its name does not say
			append(moduleDirs("6.6.1"), bzImage("boot/vmlinuz-6.6.1", "6.6.1"), bzImage("boot/vmlinuz-0-rescue-7f", "6.6.1")),
			"boot/vmlinuz-6.6.1", "newest of 2", "",
		},
		"an old one that was kept": {
			append(moduleDirs("6.6.1"), bzImage("boot/vmlinuz-6.6.1", "6.6.1"), bzImage("boot/vmlinuz-6.6.1.old", "6.5.0")),
			"boot/vmlinuz-6.6.1", "the only one with its modules", "",
		},
		"a link in /": {
			append(moduleDirs("6.6.1"), imagetest.Symlink("vmlinuz", "srv/kernel"), bzImage("srv/kernel", "6.6.1")),
			"srv/kernel", "kernel /vmlinuz (the only one with its modules)", "",
		},
		"a link out of the tree": {
			append(moduleDirs("6.6.1"), imagetest.Symlink("boot/vmlinuz", "../../../k"), bzImage("k", "6.6.1")),
			"k", "kernel /boot/vmlinuz", "",
		},
		"a link to nothing": {
			append(moduleDirs("6.6.1"), imagetest.Symlink("boot/vmlinuz-9", "gone"), bzImage("vmlinuz", "6.6.1")),
			"vmlinuz", "the only one", "",
		},
		"links in circles": {
			append(moduleDirs("6.6.1"), imagetest.Symlink("boot/vmlinuz-9", "vmlinuz-8"),
				imagetest.Symlink("boot/vmlinuz-8", "vmlinuz-9"), imagetest.Symlink("usr/lib/modules/loop", "loop"),
				bzImage("vmlinuz", "6.6.1")),
			"vmlinuz", "the only one", "",
		},
		"/boot leads nowhere": {
			append(moduleDirs(), imagetest.Symlink("boot", "gone"), bzImage("usr/lib/modules/6.6.1/vmlinuz", "6.6.1")),
			"usr/lib/modules/6.6.1/vmlinuz", "the only one", "",
		},
		"the newest is damaged": {
			append(moduleDirs("6.2", "6.10"), bzImage("boot/vmlinuz-6.2", "6.2"), imagetest.File("boot/vmlinuz-6.10", "hello")),
			"boot/vmlinuz-6.2", "the only one with its modules",
			"/boot/vmlinuz-6.10 cannot be used and /boot/vmlinuz-6.2 was taken: /boot/vmlinuz-6.10 is not a Linux kernel",
		},
		"the newest is for arm64": {
			append(moduleDirs("6.2", "6.10"), bzImage("boot/vmlinuz-6.2", "6.2"),
				imagetest.File("boot/vmlinuz-6.10", string(imagetest.Arm64Image("6.10")))),
			"boot/vmlinuz-6.2", "the only one", "/boot/vmlinuz-6.10 is a kernel for arm64",
		},
		"a directory": {
			append(moduleDirs("6.2"), imagetest.Dir("boot/vmlinuz-6.10"), bzImage("boot/vmlinuz-6.2", "6.2")),
			"boot/vmlinuz-6.2", "the only one", "",
		},
	} {
		p, err := Inspect(t.Context(), tree(t, append(c.entries, someInit)...), Options{Wyrinit: []byte("w")})
		if err != nil {
			t.Errorf("%s: Inspect = %v", name, err)
			continue
		}
		defer p.Close()
		if p.File != c.file || !strings.Contains(p.Chosen, c.why) ||
			!strings.HasSuffix(p.Chosen, "; init /sbin/init, because there is no /init") {
			t.Errorf("%s: the kernel is %s, chosen %q, want %s, %q", name, p.File, p.Chosen, c.file, c.why)
		}
		if got := texts(p.Warnings); (got == "") != (c.warning == "") || !strings.Contains(got, c.warning) {
			t.Errorf("%s: warnings %q, want %q", name, got, c.warning)
		}
	}
}

// TestSearchArm64 finds kernels under the names that they have for arm64.
func TestSearchArm64(t *testing.T) {
	image := string(imagetest.Arm64Image("6.4.0-1-default"))
	for _, file := range []string{
		"usr/lib/modules/6.4.0-1-default/Image", "usr/lib/modules/6.4.0-1-default/vmlinuz", "boot/Image-6.4.0-1-default",
		"boot/vmlinuz-6.4.0-1-default", "boot/Image", "vmlinuz", "usr/lib/modules/6.4.0-1-default/vmlinuz.efi",
	} {
		entries := append(moduleDirs("6.4.0-1-default"), imagetest.File(file, image),
			imagetest.File("sbin/init", elfHeader(183)).Mode(0o755))
		p, err := Inspect(t.Context(), tree(t, entries...), Options{Arch: "arm64"})
		if err != nil {
			t.Errorf("%s: Inspect = %v", file, err)
			continue
		}
		if p.File != file {
			t.Errorf("the kernel is %s, want %s", p.File, file)
		}
		p.Close()
	}
}

// TestNothingFound has an error that names the places.
func TestNothingFound(t *testing.T) {
	kernel := bzImage("boot/vmlinuz-6.2", "6.2")
	for name, c := range map[string]struct {
		entries []imagetest.Entry
		opt     Options
		want    string
	}{
		"no kernel": {
			[]imagetest.Entry{someInit}, Options{},
			"/boot/wyrcan.kernel is not in it, and no kernel is at /usr/lib/modules/*/vmlinuz, /usr/lib/modules/*/Image, " +
				"/boot/EFI/Linux/*.efi, /usr/lib/modules/*/*.efi, /boot/vmlinuz-*, /boot/Image-*, /boot/vmlinuz, " +
				"/boot/vmlinuz.efi, /boot/Image or /vmlinuz; install one in it, say where it is (wyr.kernel=/PATH), " +
				"or name an image that brings one (wyr.kernel=IMAGE)",
		},
		"no usable kernel": {
			[]imagetest.Entry{someInit, imagetest.File("vmlinuz", "hello")}, Options{}, "/vmlinuz is not a Linux kernel",
		},
		"no init": {
			[]imagetest.Entry{kernel}, Options{},
			"/init is not in it, and neither is /sbin/init, /usr/lib/systemd/systemd, /usr/bin/init, ",
		},
		"no usable init": {
			[]imagetest.Entry{kernel, imagetest.File("sbin/init", "hello").Mode(0o755)}, Options{},
			"/sbin/init, its /sbin/init, is neither a program nor a script; it has no /init and no other init",
		},
		"wyr.kernel leads nowhere": {
			bootable(), Options{Kernel: "/boot/gone"},
			"/boot/gone is not in it; wyr.kernel is to be the path of a kernel in it",
		},
		"wyr.kernel is a directory": {
			bootable(), Options{Kernel: "/boot"}, "/boot is to be a kernel, and /boot is not a file",
		},
		"wyr.kernel is a circle": {
			bootable(imagetest.Symlink("k", "k")), Options{Kernel: "/k"}, "/k leads nowhere (too many levels",
		},
		"wyr.init leads nowhere": {
			bootable(), Options{Init: "/bin/gone"},
			"/bin/gone is not in it; wyr.init is to be the path of a program in it",
		},
		"wyr.init is no program": {
			bootable(), Options{Init: "/boot/vmlinuz"}, "/boot/vmlinuz is to be a program, and /boot/vmlinuz is not an",
		},
	} {
		p, err := Inspect(t.Context(), tree(t, c.entries...), c.opt)
		if err == nil || !strings.HasPrefix(err.Error(), "the image is not bootable") ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Inspect = %v, %v, want an error with %q", name, p, err, c.want)
		}
	}
}

// TestManyKernels searches among more kernels than anybody has: named by version, and by nothing that says what they
// are.
func TestManyKernels(t *testing.T) {
	const many = 10_000
	link := func(dir string, i int) imagetest.Entry {
		return imagetest.Symlink(fmt.Sprintf("%s/vmlinuz-6.%d-x", dir, i), fmt.Sprintf("/k/%d", i))
	}
	entries := append(moduleDirs("6.9999-x", "6.17"), someInit, bzImage("k/9999", "6.9999-x"), bzImage("vmlinuz", "6.17"))
	for i := range many {
		entries = append(entries, link("boot", i))
		if i < many-1 {
			entries = append(entries, imagetest.File(fmt.Sprintf("k/%d", i), "hello"))
		}
		entries = append(entries, imagetest.Link(fmt.Sprintf("usr/lib/modules/6.%d-y/vmlinuz", i), "k/0"))
	}
	all := tree(t, entries...)
	began := time.Now()
	p, err := Inspect(t.Context(), all, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.File != "k/9999" || len(texts(p.Warnings)) > 1000 {
		t.Errorf("the kernel is %s, warnings %q", p.File, p.Warnings)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("the search took %v", d)
	}
}

// TestSearchEnds ends the search when the memory does: the kernel was not seen, and another one is not to be taken.
func TestSearchEnds(t *testing.T) {
	enough := errors.New("enough")
	entries := append(moduleDirs("6.2", "6.10"), someInit, bzImage("boot/vmlinuz-6.2", "6.2"),
		imagetest.File("boot/vmlinuz-6.10", string(imagetest.BzImage("6.10"))+strings.Repeat("x", 2<<20)))
	p, err := Inspect(t.Context(), tree(t, entries...), Options{Grow: func() error { return enough }})
	if !errors.Is(err, enough) {
		t.Errorf("Inspect = %v, %v, want %v", p, err, enough)
	}
}

// TestNamed has the kernel and the init that the arguments name, in place of those that the image names.
func TestNamed(t *testing.T) {
	p := inspect(t, Options{Kernel: "/k", Init: "/bin/sh", Wyrinit: []byte("w")}, bootable(
		imagetest.Symlink("k", "../../srv/k"), bzImage("srv/k", version),
		imagetest.File("bin/sh", "#!/bin/sh\n").Mode(0o755),
		imagetest.File("usr/lib/bootc/kargs.d/a.toml", "kargs = ['a']"))...)
	const chosen = "kernel /k, because wyr.kernel names it; init /bin/sh, because wyr.init names it"
	if p.File != "srv/k" || p.Init != "bin/sh" || p.Chosen != chosen {
		t.Errorf("kernel %s, init %s, chosen %q, want %q", p.File, p.Init, p.Chosen, chosen)
	}
	if line, err := p.Cmdline(1, 0); line != "" || err != nil { // an image for Wyrcan has its arguments elsewhere
		t.Errorf("Cmdline = %q, %v", line, err)
	}
	if p := inspect(t, Options{}, bootable()...); p.Chosen != "" {
		t.Errorf("of an image that says everything, %q is chosen", p.Chosen)
	}
}

// TestKargs has the arguments of bootc's files.
func TestKargs(t *testing.T) {
	const dir = "usr/lib/bootc/kargs.d/"
	base := append(moduleDirs(), someInit, bzImage("usr/lib/modules/6.2/vmlinuz", "6.2"),
		imagetest.File(dir+"20.toml", "kargs = ['b', 'c=d']"),
		imagetest.File(dir+"10.toml", "kargs = ['a']\nmatch-architectures = ['x86_64']"),
		imagetest.File(dir+"30.toml", "kargs = ['arm']\nmatch-architectures = ['aarch64']"),
		imagetest.File(dir+"README", "kargs = ['no']"))
	with := func(more ...imagetest.Entry) []imagetest.Entry { return append(base[:len(base):len(base)], more...) }
	for name, c := range map[string]struct {
		entries []imagetest.Entry
		opt     Options
		want    string
	}{
		"in order": {base, Options{Wyrinit: []byte("w")}, "a b c=d"},
		"before all other": {
			with(imagetest.File("boot/wyrcan.cmdline", "e")), Options{Args: []string{"f"}, Wyrinit: []byte("w")}, "a b c=d e f",
		},
		"without wyrinit":     {base, Options{}, "a b c=d rdinit=/sbin/init"},
		"wyr.kernel":          {base, Options{Kernel: "/usr/lib/modules/6.2/vmlinuz", Wyrinit: []byte("w")}, "a b c=d"},
		"an image for Wyrcan": {with(bzImage("boot/wyrcan.kernel", "6.2")), Options{Wyrinit: []byte("w")}, ""},
		"a UKI has its own": {
			with(imagetest.File("boot/u.efi", uki("6.2", "quiet"))), Options{Kernel: "/boot/u.efi", Wyrinit: []byte("w")},
			"quiet",
		},
		"rdinit is there": {base, Options{Args: []string{"rdinit=/x"}}, "a b c=d rdinit=/x"},
	} {
		p := inspect(t, c.opt, c.entries...)
		if got, err := p.Cmdline(1<<20, 0); got != c.want || err != nil {
			t.Errorf("%s: Cmdline = %q, %v, want %q", name, got, err, c.want)
		}
	}
	many := base
	for i := range maxKargs {
		many = append(many, imagetest.File(fmt.Sprintf("%s%03d.toml", dir, i), ""))
	}
	for name, c := range map[string]struct {
		entries []imagetest.Entry
		want    string
	}{
		"no TOML": {
			with(imagetest.File(dir+"40.toml", "kargs = [")),
			"the kernel arguments in /usr/lib/bootc/kargs.d/40.toml cannot be used: line 1 is not TOML",
		},
		"too large": {
			with(imagetest.File(dir+"40.toml", strings.Repeat("#", 65<<10))), "cannot read /usr/lib/bootc/kargs.d/40.toml",
		},
		"a directory": {with(imagetest.Dir(dir + "40.toml")), "is not a file"},
		"a circle":    {with(imagetest.Symlink(dir+"40.toml", "40.toml")), "too many levels of symbolic links"},
		"too many":    {many, "more than 256 files"},
		"too much text": {
			with(imagetest.File(dir+"40.toml", "kargs = ['"+strings.Repeat("a", 3000)+"']")), "at most 2047 bytes",
		},
	} {
		p, err := Inspect(t.Context(), tree(t, c.entries...), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Inspect = %v, %v, want an error with %q", name, p, err, c.want)
		}
	}
}

// TestInits finds the inits of images without /init, and hands them on to wyrinit.
func TestInits(t *testing.T) {
	kernel := bzImage("boot/wyrcan.kernel", version)
	program := func(path string) imagetest.Entry { return imagetest.File(path, elfHeader(62)).Mode(0o755) }
	for name, c := range map[string]struct {
		entries     []imagetest.Entry
		start, file string
	}{
		"/sbin/init first": {
			[]imagetest.Entry{program("sbin/init"), program("usr/lib/systemd/systemd"), program("usr/bin/init")},
			"/sbin/init", "sbin/init",
		},
		"a link to systemd": {
			[]imagetest.Entry{
				imagetest.Symlink("sbin", "usr/sbin"), imagetest.Symlink("usr/sbin/init", "../lib/systemd/systemd"),
				program("usr/lib/systemd/systemd"),
			},
			"/sbin/init", "usr/lib/systemd/systemd",
		},
		"systemd before /usr/bin/init": {
			[]imagetest.Entry{program("usr/lib/systemd/systemd"), program("usr/bin/init")},
			"/usr/lib/systemd/systemd", "usr/lib/systemd/systemd",
		},
		"/usr/bin/init": {[]imagetest.Entry{program("usr/bin/init")}, "/usr/bin/init", "usr/bin/init"},
		"busybox": {
			[]imagetest.Entry{program("bin/busybox"), imagetest.Link("bin/init", "bin/busybox")}, "/bin/init", "bin/init",
		},
		"a link to nothing": {
			[]imagetest.Entry{imagetest.Symlink("sbin/init", "/gone"), program("usr/bin/init")},
			"/usr/bin/init", "usr/bin/init",
		},
		"a circle": {
			[]imagetest.Entry{imagetest.Symlink("sbin", "sbin"), program("usr/bin/init")}, "/usr/bin/init", "usr/bin/init",
		},
		"no program": {
			[]imagetest.Entry{imagetest.File("sbin/init", "x").Mode(0o755), program("usr/bin/init")},
			"/usr/bin/init", "usr/bin/init",
		},
	} {
		all := append(c.entries, kernel, imagetest.Dir("lib/modules/"+version))
		p := inspect(t, Options{Wyrinit: []byte("w"), Room: room(4<<30, 4<<30)}, all...)
		if want := "init " + c.start + ", because there is no /init"; p.Init != c.file || p.Chosen != want {
			t.Errorf("%s: init %s, chosen %q, want %s, %q", name, p.Init, p.Chosen, c.file, want)
		}
		if line, err := p.Cmdline(1, 0); line != "" || err != nil {
			t.Errorf("%s: Cmdline = %q, %v", name, line, err)
		}
		if got := listed(t, p).Init; got != c.start {
			t.Errorf("%s: wyrinit is told to start %q, want %q", name, got, c.start)
		}
	}
	p := inspect(t, Options{Wyrinit: []byte("w"), Room: room(4<<30, 4<<30)}, bootable()...)
	if got := listed(t, p).Init; got != "" {
		t.Errorf("for an image with /init, wyrinit is told to start %q", got)
	}
}

// listed returns the list that wyrinit gets.
func listed(t *testing.T, p *Plan) handover.Manifest {
	t.Helper()
	b, err := p.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	names, contents := records(t, b.Initrd)
	list, ok := contents[inTree(handover.List)]
	if !ok {
		t.Fatalf("there is no list in %q", names)
	}
	m, err := handover.Parse([]byte(list))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestKernelUnder takes the kernel of the image that is laid under another one, whatever that one has.
func TestKernelUnder(t *testing.T) {
	under := imagetest.Files(bzImage("boot/vmlinuz-6.2", "6.2"), imagetest.File("lib/modules/6.2/a.ko", "a"))
	for name, c := range map[string]struct {
		upper   []imagetest.Entry
		opt     Options
		warning string
		inTree  bool // the kernel's file is not covered
	}{
		"no kernel":    {nil, Options{}, "", true},
		"a newer one":  {append(moduleDirs("6.9"), bzImage("boot/vmlinuz-6.9", "6.9")), Options{}, "", true},
		"its own":      {[]imagetest.Entry{bzImage("boot/wyrcan.kernel", "6.9")}, Options{}, "", true},
		"the same":     {[]imagetest.Entry{bzImage("boot/vmlinuz-6.2", "6.2")}, Options{}, "", false},
		"no modules":   {[]imagetest.Entry{imagetest.Opaque("lib/modules")}, Options{}, "no /lib/modules/6.2", true},
		"named":        {nil, Options{Kernel: "/boot/vmlinuz-6.2"}, "", true},
		"a merged /us": {moduleDirs(), Options{}, "", true},
	} {
		layers := []rootfs.Layer{under.Blob(t), imagetest.Files(append(c.upper, someInit)...).Blob(t)}
		tree, err := rootfs.Read(t.Context(), layers, rootfs.Options{Under: 1})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Inspect(t.Context(), tree, c.opt)
		if err != nil {
			t.Errorf("%s: Inspect = %v", name, err)
			continue
		}
		if p.File != "boot/vmlinuz-6.2" || p.Kernel.Version != "6.2" {
			t.Errorf("%s: the kernel is %s %s", name, p.File, p.Kernel.Version)
		}
		if got := texts(p.Warnings); (got == "") != (c.warning == "") || !strings.Contains(got, c.warning) {
			t.Errorf("%s: warnings %q, want %q", name, got, c.warning)
		}
		want := p.Stat
		if c.inTree {
			want.Inodes--
			want.Bytes -= p.node.Size
			want.Pages -= (p.node.Size + 4095) &^ 4095
		}
		if got := p.booted(); got != want {
			t.Errorf("%s: of %+v, %+v is booted, want %+v", name, p.Stat, got, want)
		}
		p.Close()
		tree.Close()
	}
}

// TestKernelElsewhere leaves the kernel of the image under another one out of the root, where that one's links lead. A
// file that covers it stays.
func TestKernelElsewhere(t *testing.T) {
	const file = "lib/modules/6.2/vmlinuz"
	for name, c := range map[string]struct {
		upper []imagetest.Entry
		file  string
		stays string // a name with vmlinuz in it
	}{
		"a merged /usr":  {moduleDirs(), "usr/" + file, ""},
		"a file over it": {[]imagetest.Entry{imagetest.File(file, "mine")}, file, file},
		"it is removed":  {[]imagetest.Entry{imagetest.Whiteout(file)}, file, ""},
	} {
		under := imagetest.Files(bzImage(file, "6.2"), imagetest.Link("boot/other", file))
		layers := []rootfs.Layer{under.Blob(t), imagetest.Files(append(c.upper, someInit)...).Blob(t)}
		tree, err := rootfs.Read(t.Context(), layers, rootfs.Options{Under: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		p, err := Inspect(t.Context(), tree, Options{Room: room(4<<30, 4<<30)})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if size, why := p.Kept(); p.File != c.file || size == 0 || why != "by its other names" {
			t.Errorf("%s: the kernel is %s and keeps %d bytes %s, want %s", name, p.File, size, why, c.file)
		}
		b, err := p.Make(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		names, _ := records(t, b.Initrd)
		stays := ""
		for _, n := range names {
			if strings.Contains(n, "vmlinuz") {
				stays += n
			}
		}
		if stays != c.stays {
			t.Errorf("%s: the root has %q, want %q", name, stays, c.stays)
		}
	}
}
