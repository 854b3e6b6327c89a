// Package integration tests the files that make builds under out/: it examines
// them and boots them in QEMU. It does not build them.
package integration

import (
	"bytes"
	"crypto/tls"
	"debug/elf"
	"debug/gosym"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// initrd returns the records of out/wyrcan.initrd by name.
func initrd(t *testing.T) map[string]cpio.Record {
	t.Helper()
	return initrdOf(t, "wyrcan.initrd")
}

// initrdOf returns the records of an initrd below out/. It is an error if a name
// occurs twice, in one archive or in both: the kernel would append the content of
// the second file to the first.
func initrdOf(t *testing.T, artefact string) map[string]cpio.Record {
	t.Helper()
	f, err := os.Open(vm.Artefact(t, artefact))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b, err := io.ReadAll(z)
	if err != nil && !errors.Is(err, zstd.ErrMagicMismatch) && !errors.Is(err, io.ErrUnexpectedEOF) { // the padding
		t.Fatal(err)
	}

	records := make(map[string]cpio.Record)
	for archive := range 2 {
		r := bytes.NewReader(b)
		reader := cpio.Newc.Reader(r)
		for {
			rec, err := reader.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("archive %d of the initrd: %v", archive+1, err)
			}
			if _, twice := records[rec.Name]; twice && rec.Mode&cpio.S_IFMT != cpio.S_IFDIR {
				t.Errorf("%s is in the initrd twice", rec.Name)
			}
			records[rec.Name] = rec
		}
		end := trailer(b)
		if end < 0 {
			t.Fatalf("archive %d of the initrd has no end", archive+1)
		}
		b = bytes.TrimLeft(b[end:], "\x00")
	}
	return records
}

// trailer returns the end of the first archive in b. The busybox contains the
// trailer's name too, but not after a header of 110 bytes.
func trailer(b []byte) int {
	const name, header = cpio.Trailer, 110
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(name))
		if i < 0 {
			return -1
		}
		at += i
		if at >= header && bytes.HasPrefix(b[at-header:], []byte("070701")) {
			return at + len(name)
		}
		at += len(name)
	}
}

// content returns the content of a file in the initrd.
func content(t *testing.T, records map[string]cpio.Record, name string) []byte {
	t.Helper()
	rec, ok := records[name]
	if !ok {
		t.Fatalf("the initrd has no %s", name)
	}
	b, err := io.ReadAll(io.NewSectionReader(rec.ReaderAt, 0, int64(rec.FileSize)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

// TestInitrdSize checks that the initrd, with all Ethernet drivers, is small enough
// for the slow network stack of firmware.
func TestInitrdSize(t *testing.T) {
	const limit = 20 << 20
	fi, err := os.Stat(vm.Artefact(t, "wyrcan.initrd"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f MiB", float64(fi.Size())/(1<<20))
	if fi.Size() > limit {
		t.Errorf("wyrcan.initrd has %d bytes, want %d at most", fi.Size(), limit)
	}
	if fi.Size()%4 != 0 {
		t.Errorf("wyrcan.initrd has %d bytes: the kernel would lose an archive appended to it", fi.Size())
	}
}

// TestInitrdFiles checks the files in the initrd, because the parser of the template
// does not report misspelled keys.
func TestInitrdFiles(t *testing.T) {
	records := initrd(t)

	for _, name := range []string{"cat", "dmesg", "free", "gosh", "init", "ip", "ls", "lsmod", "modprobe", "mount",
		"ping", "ps", "shutdown", "wget", "wyrboot", "wyrefi", "wyrnet"} {
		rec, ok := records["bbin/"+name]
		if !ok {
			t.Errorf("no command %s", name)
			continue
		}
		if rec.Mode&cpio.S_IFMT != cpio.S_IFLNK || string(content(t, records, "bbin/"+name)) != "bb" {
			t.Errorf("bbin/%s is not a link to the busybox", name)
		}
	}
	for name, want := range map[string]string{"init": "bbin/init", "bin/uinit": "../bbin/wyrboot",
		"bin/sh": "../bbin/wyrboot"} {
		if got := string(content(t, records, name)); got != want {
			t.Errorf("%s is a link to %q, want %q", name, got, want)
		}
	}
	if rec := records["usr/lib/wyrcan/wyrinit"]; rec.Mode != cpio.S_IFREG|0o755 {
		t.Errorf("usr/lib/wyrcan/wyrinit has mode %o, want a program", rec.Mode)
	}
	if got := string(content(t, records, "etc/resolv.conf")); strings.Contains(got, "nameserver") {
		t.Errorf("etc/resolv.conf names a server of its own: %q", got)
	}

	var modules []string
	for name, rec := range records {
		if rec.UID != 0 || rec.GID != 0 || rec.MTime != 0 {
			t.Errorf("%s has owner %d:%d and time %d: builds will differ", name, rec.UID, rec.GID, rec.MTime)
		}
		if strings.HasPrefix(name, "lib/modules/") {
			modules = append(modules, name)
		}
	}
	slices.Sort(modules)
	for _, suffix := range []string{
		"/modules.dep", "/modules.alias", "/modules.softdep", "/modules.builtin.modinfo",
		"/e1000e.ko", "/igb.ko", "/ixgbe.ko", "/i40e.ko", "/ice.ko", "/mlx5_core.ko", "/mlx4_en.ko", "/tg3.ko",
		"/bnxt_en.ko", "/r8169.ko", "/realtek.ko", "/virtio_net.ko", "/vmxnet3.ko", "/hv_netvsc.ko", "/hv_vmbus.ko",
		"/xen-netfront.ko", "/ena.ko", "/gve.ko", "/xhci-pci.ko", "/ehci-pci.ko", "/usbhid.ko", "/hid-generic.ko",
		"/hid-hyperv.ko", "/ax88179_178a.ko", "/r8152.ko", "/8021q.ko", "/bonding.ko", "/bridge.ko", "/stp.ko",
		"/llc.ko", "/macvlan.ko", "/dummy.ko", "/vxlan.ko", "/vrf.ko", "/efivarfs.ko", "/crc32c_generic.ko",
	} {
		if !slices.ContainsFunc(modules, func(s string) bool { return strings.HasSuffix(s, suffix) }) {
			t.Errorf("no %s among the modules", suffix[1:])
		}
	}
}

// functions returns the functions of the busybox, which has no other names of what it was compiled from.
func functions(t *testing.T) []gosym.Func {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(content(t, initrd(t), "bbin/bb")))
	if err != nil {
		t.Fatal(err)
	}
	section := f.Section(".gopclntab")
	if section == nil {
		t.Fatal("the busybox has no table of its functions")
	}
	lines, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(lines, f.Section(".text").Addr))
	if err != nil {
		t.Fatal(err)
	}
	return table.Funcs
}

// TestInlined checks the effect of INLINED in the Makefile: without it gobusybox makes
// each access to a machine word a function call, which costs a third of the time for
// the conversion of layers into an initramfs.
func TestInlined(t *testing.T) {
	found := false
	for _, f := range functions(t) {
		found = found || f.Name == "gitlab.com/wyrcan/wyrcan/pkg/inflate.(*content[go.shape.uint8]).symbols"
		if f.Name == "gitlab.com/wyrcan/wyrcan/pkg/inflate.bitsOf" ||
			strings.HasPrefix(f.Name, "github.com/klauspost/compress/internal/le.Load") {
			t.Errorf("%s is called, not inlined", f.Name)
		}
	}
	if !found {
		t.Error("the busybox has no decompressor")
	}
}

// TestHello checks the TLS hello of the busybox's wget. gobusybox builds programs
// outside of a module. Such a program has the defaults of Go 1.20, which offer cipher
// suites without forward secrecy, unless a linker flag changes them.
func TestHello(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bb"), content(t, initrd(t), "bbin/bb"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("bb", filepath.Join(dir, "wget")); err != nil {
		t.Fatal(err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hellos := make(chan *tls.ClientHelloInfo, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		tls.Server(conn, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			hellos <- hello
			return nil, errors.New("that was all")
		}}).Handshake()
	}()

	wget := exec.Command(filepath.Join(dir, "wget"), "-O", filepath.Join(dir, "x"),
		fmt.Sprintf("https://%s/", l.Addr()))
	if out, err := wget.CombinedOutput(); err == nil {
		t.Errorf("wget succeeded: %s", out)
	}
	var hello *tls.ClientHelloInfo
	select {
	case hello = <-hellos:
	case <-time.After(10 * time.Second):
		t.Fatal("wget has sent no TLS hello")
	}

	for _, suite := range hello.CipherSuites {
		if name := tls.CipherSuiteName(suite); strings.HasPrefix(name, "TLS_RSA_") || strings.Contains(name, "3DES") {
			t.Errorf("the busybox offers %s", name)
		}
	}
	if !slices.Contains(hello.SupportedCurves, tls.X25519MLKEM768) {
		t.Errorf("the busybox offers the key exchanges %v, want X25519MLKEM768 among them", hello.SupportedCurves)
	}
}
