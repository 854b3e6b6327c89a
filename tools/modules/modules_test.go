package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

const version = "6.1.0-test"

// pack compresses b with a tool, as distributions do.
func pack(t *testing.T, b []byte, tool ...string) []byte {
	t.Helper()
	c := exec.Command(tool[0], tool[1:]...)
	c.Stdin = bytes.NewReader(b)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v", tool, err)
	}
	return out
}

// write writes files below a new directory and returns its path.
func write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	root := t.TempDir()
	for name, b := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// kernel creates a module directory with modules of every kind, and returns its path.
func kernel(t *testing.T) string {
	dir := "lib/modules/" + version + "/"
	return filepath.Join(write(t, map[string][]byte{
		dir +
			"kernel/drivers/net/ethernet/realtek/r8169.ko": imagetest.Module("license=GPL",
			"firmware=rtl_nic/rtl8168h-2.fw", "firmware=rtl_nic/gone.fw", "softdep=pre: realtek", "depends=libphy",
			"alias=pci:v000010ECd00008168sv*sd*bc*sc*i*", "name=r8169"),
		dir +
			"kernel/drivers/net/ethernet/cavium/liquidio.ko.xz": pack(t,
			imagetest.Module("firmware=liquidio/lio_*.bin", "depends=", "name=liquidio"), "xz", "--check=crc32"),
		dir +
			"kernel/drivers/net/ethernet/broadcom/bnx2x.ko.gz": pack(t,
			imagetest.Module("depends=libcrc32c,inside", "name=bnx2x"), "gzip"),
		dir + "kernel/drivers/net/phy/libphy.ko": imagetest.Module("depends=", "name=libphy"),
		dir +
			"kernel/elsewhere/realtek.ko.zst": pack(t,
			imagetest.Module("depends=libphy", "name=realtek"), "zstd"),
		dir +
			"kernel/lib/libcrc32c.ko": imagetest.Module("depends=", "softdep=pre: crc32c",
			"name=libcrc32c"),
		dir +
			"kernel/crypto/crc32c-generic.ko": imagetest.Module("depends=", "alias=crc32c",
			"name=crc32c_generic"),
		dir + "kernel/net/8021q/8021q.ko": imagetest.Module("depends=", "name=8021q"),
		dir +
			"kernel/drivers/net/dummy.ko": imagetest.Module("depends=",
			"softdep=post: nothing-of-that-name", "name=dummy"),
		dir + "kernel/drivers/net/dummynot.ko": imagetest.Module("depends=", "name=dummynot"),
		dir +
			"kernel/drivers/infiniband/hw/mlx5/mlx5_ib.ko": imagetest.Module("depends=ib_core",
			"alias=auxiliary:mlx5_core.rdma", "name=mlx5_ib"),
		dir + "kernel/drivers/infiniband/core/ib_core.ko": imagetest.Module("depends=", "name=ib_core"),
		dir +
			"kernel/drivers/infiniband/ulp/ipoib/ib_ipoib.ko": imagetest.Module("depends=ib_core",
			"alias=rtnl-link-ipoib", "name=ib_ipoib"),
		dir +
			"kernel/drivers/reset/reset-soc.ko": imagetest.Module("depends=", "alias=of:N*T*Csoc,reset",
			"name=reset_soc"),
		dir + "kernel/sound/beep.ko":    imagetest.Module("depends=", "name=beep"),
		dir + "modules.builtin":         []byte("kernel/lib/inside.ko\n"),
		dir + "modules.order":           nil,
		dir + "modules.builtin.modinfo": []byte("inside.alias=x\x00"),
	}), dir)
}

// list returns the files of an archive by name, with their contents.
func list(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := make(map[string]string)
	r := cpio.Newc.Reader(f)
	for {
		rec, err := r.ReadRecord()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		link := rec.Mode&cpio.S_IFMT == cpio.S_IFLNK
		if rec.Mode != cpio.S_IFDIR|0o755 && rec.Mode != cpio.S_IFREG|0o644 && !link {
			t.Errorf("%s has mode %o", rec.Name, rec.Mode)
		}
		if link || rec.Mode&cpio.S_IFMT == cpio.S_IFREG {
			b, err := io.ReadAll(io.NewSectionReader(rec.ReaderAt, 0, int64(rec.FileSize)))
			if err != nil {
				t.Fatal(err)
			}
			if link {
				b = append([]byte("-> "), b...)
			}
			files[rec.Name] = string(b)
		}
	}
}

func build(t *testing.T, args ...string) (map[string]string, error) {
	t.Helper()
	files, _, err := buildAndSay(t, args...)
	return files, err
}

// buildAndSay also returns what the program prints.
func buildAndSay(t *testing.T, args ...string) (map[string]string, string, error) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "modules.cpio")
	c, err := command(append([]string{"modules", "-arch", "amd64", "-o", out}, args...))
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	c.stdout = &said
	if err := c.run(); err != nil {
		if _, e := os.Stat(out); !errors.Is(e, fs.ErrNotExist) {
			t.Errorf("after the error %q the archive still exists: %v", err, e)
		}
		return nil, "", err
	}
	return list(t, out), said.String(), nil
}

func TestModules(t *testing.T) {
	from := kernel(t)
	files, err := build(t, "-from", from)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name, b := range files {
		rel := strings.TrimPrefix(name, "lib/modules/"+version+"/")
		got = append(got, rel)
		if strings.HasSuffix(rel, ".ko") && !strings.HasPrefix(b, "\x7fELF") {
			t.Errorf("%s is not a decompressed module", rel)
		}
	}
	slices.Sort(got)
	want := []string{
		"kernel/crypto/crc32c-generic.ko",
		"kernel/drivers/net/dummy.ko",
		"kernel/drivers/net/ethernet/broadcom/bnx2x.ko",
		"kernel/drivers/net/ethernet/cavium/liquidio.ko",
		"kernel/drivers/net/ethernet/realtek/r8169.ko",
		"kernel/drivers/net/phy/libphy.ko",
		"kernel/elsewhere/realtek.ko",
		"kernel/lib/libcrc32c.ko",
		"kernel/net/8021q/8021q.ko",
		"modules.alias", "modules.builtin", "modules.builtin.modinfo", "modules.dep", "modules.softdep",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
	if alias := files["lib/modules/"+version+"/modules.alias"]; !strings.Contains(alias,
		"alias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169\n") {
		t.Errorf("modules.alias lacks r8169:\n%s", alias)
	}
	if soft := files["lib/modules/"+version+"/modules.softdep"]; !strings.Contains(soft,
		"softdep r8169 pre: realtek\n") {
		t.Errorf("modules.softdep lacks r8169:\n%s", soft)
	}
}

// TestRDMA checks that -rdma, and only -rdma, adds the drivers for InfiniBand with their dependencies.
func TestRDMA(t *testing.T) {
	from := kernel(t)
	without, err := build(t, "-from", from)
	if err != nil {
		t.Fatal(err)
	}
	with, err := build(t, "-from", from, "-rdma")
	if err != nil {
		t.Fatal(err)
	}
	var more []string
	for name := range with {
		if _, there := without[name]; !there {
			more = append(more, filepath.Base(name))
		}
	}
	slices.Sort(more)
	if diff := cmp.Diff([]string{"ib_core.ko", "ib_ipoib.ko", "mlx5_ib.ko"}, more); diff != "" {
		t.Errorf("-rdma adds (-want +got):\n%s", diff)
	}
	if alias := with["lib/modules/"+version+"/modules.alias"]; !strings.Contains(alias,
		"alias rtnl-link-ipoib ib_ipoib\n") {
		t.Errorf("modules.alias lacks ib_ipoib:\n%s", alias)
	}
}

// TestArchitecture checks that the drivers of a chip's parts are in the archive where a network card waits for them.
func TestArchitecture(t *testing.T) {
	from := kernel(t)
	for _, arch := range []string{"amd64", "arm64"} {
		files, err := build(t, "-from", from, "-arch", arch)
		if err != nil {
			t.Fatal(err)
		}
		_, got := files["lib/modules/"+version+"/kernel/drivers/reset/reset-soc.ko"]
		if want := arch == "arm64"; got != want {
			t.Errorf("%s: reset-soc.ko is there: %v, want %v", arch, got, want)
		}
	}
}

// TestFirmware checks that the archive has the firmware that the modules name, and nothing else.
func TestFirmware(t *testing.T) {
	dir := write(t, map[string][]byte{
		"rtl_nic/rtl8168h-2.fw":            []byte("h2"),
		"rtl_nic/rtl8125b-2.fw":            []byte("not named by a module"),
		"liquidio/lio_23xx.bin.xz":         pack(t, []byte("23"), "xz", "--check=crc32"),
		"liquidio/lio_410nv.bin.zst":       pack(t, []byte("410"), "zstd"),
		"liquidio/variants/lio_210.bin.xz": pack(t, []byte("210"), "xz", "--check=crc32"),
	})
	for name, target := range map[string]string{
		"liquidio/lio_210nv.bin.xz": "variants/lio_210.bin.xz",
		"liquidio/lio_210sv.bin.xz": "variants/lio_210.bin.xz",
		"liquidio/lio_gone.bin":     "in/another/package.bin",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// A path with a symlink in it, as that of the build's own directory.
	linked := filepath.Join(t.TempDir(), "files")
	if err := os.Symlink(dir, linked); err != nil {
		t.Fatal(err)
	}
	files, said, err := buildAndSay(t, "-from", kernel(t), "-firmware", linked)
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if !strings.HasPrefix(name, "lib/firmware/") {
			delete(files, name)
		}
	}
	want := map[string]string{
		"lib/firmware/rtl_nic/rtl8168h-2.fw":  "h2",
		"lib/firmware/liquidio/lio_23xx.bin":  "23",
		"lib/firmware/liquidio/lio_410nv.bin": "410",
		"lib/firmware/liquidio/lio_210nv.bin": "210",
		"lib/firmware/liquidio/lio_210sv.bin": "-> lio_210nv.bin",
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("firmware (-want +got):\n%s", diff)
	}
	if !strings.Contains(said, "4 firmware files, 0.0 MB\n") || strings.Contains(said, "without") {
		t.Errorf("it prints %q", said)
	}
}

// TestWithoutFirmware checks that the modules are named whose firmware is not there.
func TestWithoutFirmware(t *testing.T) {
	from := kernel(t)
	some := write(t, map[string][]byte{"liquidio/lio_1.bin": nil})
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "without firmware, which they may need to work: liquidio r8169; make FIRMWARE=debian adds what Debian has\n"},
		{[]string{"-firmware", some}, "without firmware, which they may need to work: r8169\n"},
	} {
		_, said, err := buildAndSay(t, append([]string{"-from", from}, tt.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(said, "\n"+tt.want) {
			t.Errorf("%v: it prints %q, want %q at the end", tt.args, said, tt.want)
		}
	}
	c, err := command([]string{"modules", "-from", from, "-names"})
	if err != nil {
		t.Fatal(err)
	}
	var names strings.Builder
	c.stdout = &names
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	if want := "liquidio/lio_*.bin\nrtl_nic/gone.fw\nrtl_nic/rtl8168h-2.fw\n"; names.String() != want {
		t.Errorf("-names prints %q, want %q", names.String(), want)
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name string
		file string
		b    []byte
		want string
	}{
		{"a missing dependency", "kernel/drivers/net/dummy.ko", imagetest.Module("depends=absent"),
			"module dummy depends on absent, which is not in "},
		{"no module", "kernel/drivers/net/dummy.ko", []byte("#!/bin/sh" + strings.Repeat(" ", 64)),
			"dummy.ko: not a kernel module: bad magic number"},
		{"cut short", "kernel/drivers/net/dummy.ko.xz", []byte("\xfd7zXZ\x00"), "cannot decompress "},
		{"firmware from outside", "kernel/drivers/net/dummy.ko", imagetest.Module("firmware=../../etc/shadow"),
			`firmware name "../../etc/shadow" leaves the firmware directory`},
		{"nothing there", "kernel/README", nil, "no kernel modules in "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := write(t, map[string][]byte{version + "/" + tt.file: tt.b})
			_, err := build(t, "-from", filepath.Join(root, version), "-firmware", root)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"modules"},
		{"modules", "-from", "x"},
		{"modules", "-from", "x", "-o", "y", "z"},
		{"modules", "-from", "x", "-o", "y", "-names"},
	} {
		if _, err := command(args); err == nil {
			t.Errorf("command(%q) succeeded", args)
		}
	}
}
