package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

const release = "6.1.0-40-amd64"

// bootable is a bootable container. Tests add mistakes to it.
func bootable() []imagetest.Entry {
	return []imagetest.Entry{
		imagetest.Dir("boot"),
		imagetest.File("boot/vmlinuz", string(imagetest.BzImage(release))),
		imagetest.Symlink("boot/wyrcan.kernel", "vmlinuz"),
		imagetest.File("boot/wyrcan.cmdline", "quiet\n"),
		imagetest.Dir("bin"),
		imagetest.File("bin/sh", "a shell").Mode(0o755),
		imagetest.File("bin/init", "#!/bin/sh\n").Mode(0o755),
		imagetest.Symlink("init", "bin/init"),
		imagetest.Symlink("lib", "usr/lib"),
		imagetest.File("usr/lib/modules/"+release+"/kernel/x.ko", string(imagetest.Module("license=GPL"))),
		imagetest.File("usr/lib/firmware/x.bin", "firmware"),
	}
}

// withWyrinit puts a fake wyrinit beside the tool.
func withWyrinit(t *testing.T, c *cmd) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.home, "wyrinit"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	good := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...)))
	bad := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...),
		imagetest.Files(imagetest.Whiteout("init"), imagetest.Whiteout("bin/init"))))
	bare := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...), imagetest.Files(imagetest.Whiteout("usr"))))
	empty := onDisk(t, imagetest.Image(t,
		imagetest.Files(bootable()...), imagetest.Files(imagetest.Opaque("usr/lib/modules/"+release))))
	mountable := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...), imagetest.Files(
		imagetest.File("usr/lib/modules/"+release+"/modules.builtin", "loop.ko\nsquashfs.ko\noverlay.ko\ndm-verity.ko\n"+
			"sha256_generic.ko\n"))))
	for _, row := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{
			"bootable", []string{good, "-arg", "debug"}, 0,
			[]string{
				"kernel        /boot/vmlinuz (" + release + ", bzImage)",
				"init          /bin/init\n" +
					"signature     this kernel is not signed: a machine with Secure Boot will refuse it\n",
				"command line  quiet debug",
				"drivers       1 module, 1 firmware file\ncommand",
				" MiB at least",
				"bootable      yes",
			},
		},
		{"memory as QEMU takes it", []string{good, "-m", "4096"}, 0, []string{"bootable      yes"}},
		{"too little of it", []string{good, "-m", "32"}, notBootable, []string{"bootable      no: too little memory"}},
		{"enough memory", []string{good, "-m", "4G"}, 0, []string{"bootable      yes"}},
		{
			"too little memory", []string{good, "-m", "32M"}, notBootable,
			[]string{"bootable      no: too little memory"},
		},
		{"no memory", []string{good, "-m", "much"}, 2, nil},
		{
			"no init", []string{bad}, notBootable,
			[]string{
				"bootable      no: /init is not in it, and neither is /sbin/init, ",
			},
		},
		{
			"no modules", []string{bare}, 0,
			[]string{"warning       the image has no /lib/modules/" + release, "bootable      yes"},
		},
		{
			"no module", []string{empty}, 0,
			[]string{
				"warning       there are no modules in /lib/modules/" + release,
				"drivers       0 modules, 1 firmware file\n",
			},
		},
		{
			"a root that is mounted", []string{mountable, "-root", "squashfs"}, 0,
			[]string{"root          squashfs\n", "bootable      yes"},
		},
		{"the same, unpacked", []string{mountable, "-root", "tmpfs"}, 0, []string{"root          tmpfs\n"}},
		{
			"a root that is not", []string{good, "-root", "squashfs"}, 0,
			[]string{"root          tmpfs\n", "warning       the root cannot be a SquashFS image", "bootable      yes"},
		},
		{
			"a root that is checked", []string{mountable, "-verity", "yes"}, 0,
			[]string{"\ncommand line  wyr.roothash=", "\nroot          squashfs\nroot hash     ", "bootable      yes"},
		},
		{
			"a root that cannot be checked", []string{good, "-verity", "yes"}, notBootable,
			[]string{"bootable      no: the root cannot be an image, which wyr.verity=yes asks the kernel to check: "},
		},
		{"a root that need not be checked", []string{good, "-verity", "no"}, 0, []string{"bootable      yes"}},
		{"neither yes nor no", []string{good, "-verity", "maybe"}, 2, nil},
		{"no image", []string{"oci:/nowhere"}, notExamined, nil},
		{"wrong use", []string{good, "-root", "nfs"}, 2, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, stdout, _ := tool(t, append([]string{"check"}, row.args...)...)
			withWyrinit(t, c)
			err := c.run(context.Background())
			if code(err) != row.code {
				t.Errorf("status %d (%v), want %d", code(err), err, row.code)
			}
			for _, want := range row.want {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("%q is not in\n%s", want, stdout)
				}
			}
		})
	}
	c, stdout, _ := tool(t, "check", "-json", good)
	withWyrinit(t, c)
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || !r.Bootable || r.Version != release || r.Memory == 0 {
		t.Errorf("-json gives %+v, %v", r, err)
	}
	// The memory that it names is enough, and 1 MiB less is not.
	for size, want := range map[int64]int{r.Memory: 0, r.Memory - 1<<20: notBootable} {
		c, stdout, _ := tool(t, "check", good, "-m", fmt.Sprintf("%dM", size>>20))
		withWyrinit(t, c)
		if err := c.run(context.Background()); code(err) != want {
			t.Errorf("with %d MiB, where %d are the least: status %d, want %d\n%s",
				size>>20, r.Memory>>20, code(err), want, stdout)
		}
	}
}

func TestMorph(t *testing.T) {
	img := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...)))
	dir := t.TempDir()
	c, stdout, _ := tool(t, "morph", img,
		"-kernel", dir+"/k", "-initrd", dir+"/i.x", "-cmdline", dir+"/c", "-arg", "a b", "-arg=debug")
	withWyrinit(t, c)
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(dir + "/c"); err != nil || string(b) != "quiet a b debug\n" || stdout.Len() > 0 {
		t.Errorf("the command line is %q, %v; printed %q", b, err, stdout)
	}
	if b, err := os.ReadFile(dir + "/k"); err != nil || !bytes.Equal(b, imagetest.BzImage(release)) {
		t.Errorf("the kernel is not the image's: %v", err)
	}
	files := cpioNames(t, dir+"/i.x")
	for _, want := range []string{"bin/init", "init", "usr/lib/firmware/x.bin", "boot/wyrcan.cmdline"} {
		if !slices.Contains(files, want) {
			t.Errorf("the initrd has no %s: %q", want, files)
		}
	}
	if slices.Contains(files, "boot/vmlinuz") {
		t.Error("the initrd holds the kernel too")
	}
	if got := names(t, dir); !cmp.Equal(got, []string{"c", "i.x", "k"}) {
		t.Errorf("morph left %q", got)
	}
}

// cpioNames lists a compressed archive with the system's own programs.
func cpioNames(t *testing.T, file string) []string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `zstd -dcq <"$0" | cpio -t --quiet`, file).CombinedOutput()
	if err != nil {
		t.Fatalf("zstd and cpio: %v\n%s", err, out)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "./"), "/"))
	}
	return names
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestMorphFails checks that existing files stay as they were and that no new file is left.
func TestMorphFails(t *testing.T) {
	good := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...)))
	bad := onDisk(t, imagetest.Image(t,
		imagetest.Files(bootable()...), imagetest.Files(imagetest.Whiteout("boot/vmlinuz"))))
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/k", []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{good}, "-kernel and -initrd"},
		{[]string{bad, "-kernel", dir + "/k", "-initrd", dir + "/i"}, "not bootable"},
		{[]string{good, "-kernel", dir + "/k", "-initrd", dir + "/absent/i"}, "absent"},
		{[]string{good, "-kernel", dir + "/k", "-initrd", "/dev/full"}, "no space left"},
		{[]string{good, "-kernel", dir + "/k", "-initrd", "/"}, "cannot write /: it is a directory"},
		{[]string{good, "-kernel", "-", "-initrd", "-", "-cmdline", dir + "/c"}, "not several"},
		{[]string{good, "-kernel", dir + "/k", "-initrd", "-"}, "not several"},
		{[]string{good, "-kernel", dir + "/k", "-initrd", dir + "/i", "-wyrinit", "/nowhere"}, "cannot find /nowhere"},
	} {
		c, _, _ := tool(t, append([]string{"morph"}, row.args...)...)
		withWyrinit(t, c)
		if err := c.run(context.Background()); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("morph %q = %v, want an error with %q", row.args, err, row.want)
		}
		if b, err := os.ReadFile(dir + "/k"); err != nil || string(b) != "before" || len(names(t, dir)) != 1 {
			t.Errorf("morph %q left %q, and in k %q", row.args, names(t, dir), b)
		}
	}
}

// TestMorphElsewhere writes to standard output, to a device and through a link, all of which stay what they are.
func TestMorphElsewhere(t *testing.T) {
	img := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...)))
	dir := t.TempDir()
	if err := os.Symlink("kernel-1", dir+"/kernel"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/kernel-1", []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, stdout, _ := tool(t, "morph", img, "-kernel", dir+"/kernel", "-initrd", "-", "-cmdline", "/dev/null")
	withWyrinit(t, c)
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/initrd", stdout.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if files := cpioNames(t, dir+"/initrd"); !slices.Contains(files, "bin/init") {
		t.Errorf("on standard output came an initrd of %q", files)
	}
	if b, err := os.ReadFile(dir + "/kernel-1"); err != nil || !bytes.Equal(b, imagetest.BzImage(release)) {
		t.Errorf("where the link leads is not the kernel: %v", err)
	}
	if got := names(t, dir); !cmp.Equal(got, []string{"initrd", "kernel", "kernel-1"}) {
		t.Errorf("morph left %q", got)
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode().IsRegular() {
		t.Errorf("/dev/null is now %v, %v", info.Mode(), err)
	}
}

func TestLostConsole(t *testing.T) {
	for _, row := range []struct{ own, next, want string }{
		{"", "", ""},
		{"quiet", "quiet", ""},
		{"console=ttyS0,115200n8 quiet", "quiet", "ttyS0,115200n8"},
		{"console=tty0 console=ttyS1", "", "ttyS1"},
		{"console=ttyS1 console=tty0", "", ""},
		{"console=tty1", "", ""},
		{"console=ttyS0", "console=hvc0", ""},
		{"console=ttyAMA0", "noconsole=1", "ttyAMA0"},
		{"console=", "", ""},
	} {
		if got := lostConsole(row.own, row.next); got != row.want {
			t.Errorf("lostConsole(%q, %q) = %q, want %q", row.own, row.next, got, row.want)
		}
	}
}

// TestKexecRefused has images that kexec refuses before it loads anything, and systems that it refuses before it reads
// anything.
func TestKexecRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, as kexec does")
	}
	bad := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...),
		imagetest.Files(imagetest.Whiteout("init"), imagetest.Whiteout("bin/init"))))
	const (
		loaded   = "sys/kernel/kexec_loaded"
		disabled = "proc/sys/kernel/kexec_load_disabled"
		systemd  = "run/systemd/system/x"
	)
	const meminfo = "MemTotal: 4000000 kB\nMemAvailable: 2000000 kB\n"
	able := map[string]string{loaded: "0\n", disabled: "0\n", systemd: ""}
	for _, row := range []struct {
		args   []string
		system map[string]string
		code   int
		want   string
	}{
		{nil, able, 2, "usage"},
		{[]string{"a", "b"}, able, 2, "usage"},
		{[]string{bad, "-load", "-force"}, able, 2, "exclude each other"},
		{[]string{"-unload", "-load"}, able, 2, "exclude each other"},
		{[]string{"-unload", bad}, able, 2, "takes no IMAGE"},
		{[]string{bad}, able, 1, "not bootable"},
		{[]string{bad, "-load"}, map[string]string{loaded: "0\n"}, 1, "not bootable"},
		{[]string{"oci:/nowhere"}, map[string]string{loaded: "0\n"}, 1, "not run by systemd"},
		{[]string{"oci:/nowhere"}, map[string]string{systemd: ""}, 1, "built without kexec"},
		{
			[]string{"oci:/nowhere"}, map[string]string{loaded: "0\n", disabled: "1\n", systemd: ""}, 1,
			"kexec_load_disabled=1",
		},
		{[]string{"oci:/nowhere"}, able, 1, "/nowhere"},
	} {
		c, _, _ := tool(t, append([]string{"kexec"}, row.args...)...)
		withWyrinit(t, c)
		c.root = t.TempDir()
		system := maps.Clone(row.system)
		system["proc/meminfo"] = meminfo
		for name, content := range system {
			file := filepath.Join(c.root, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := c.run(context.Background())
		if code(err) != row.code || err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("kexec %q on %q = %v, want status %d and an error with %q",
				row.args, row.system, err, row.code, row.want)
		}
	}
}
