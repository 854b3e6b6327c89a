package network_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// guestModules are the modules for access to the host's files, for devices that the host's kernel may lack, and for
// the guest's network cards.
var guestModules = []string{
	"virtio_pci", "9pnet_virtio", "9p", "af_packet", "ipv6", "veth", "bridge", "8021q", "bonding", "dummy", "macvlan",
	"ipvlan", "vxlan", "vrf",
	"virtio_net", "e1000", "e1000e", "8139cp", "vmxnet3", "xhci_pci", "cdc_ether",
}

// moduleParameters stop bonding and dummy from making a device on their own.
var moduleParameters = map[string]string{"bonding": "max_bonds=0", "dummy": "numdummies=0"}

// passInGuest runs cases of a test in a guest with these network cards, and fails if one does not pass there.
func passInGuest(t *testing.T, test string, cases []string, cards ...string) {
	t.Helper()
	kernel, modules := os.Getenv("KERNEL"), os.Getenv("MODULES")
	if kernel == "" {
		kernel, modules = "../../out/kernel/vmlinuz", "../../out/kernel/modules"
	}
	if _, err := os.Stat(kernel); err != nil {
		t.Fatalf("%v: run make first", err)
	}
	self, err := static()
	if err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(t.TempDir(), "initrd")
	f, err := os.Create(initrd)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeGuest(f, self, modules, test+"/^("+strings.Join(cases, "|")+")$"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	v := vm.Machine{
		Kernel: kernel, Initrd: initrd, Cmdline: "panic=-1", NICs: []string{"none"},
		QEMU: append([]string{"-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
			"-device", "virtio-9p-pci,fsdev=host,mount_tag=host"}, cards...),
	}.Start(t)
	v.Exit(9 * time.Minute)
	said := v.Said()
	for _, name := range cases {
		if !regexp.MustCompile(`--- PASS: ` + test + `/` + regexp.QuoteMeta(name) + ` `).MatchString(said) {
			t.Errorf("%s has not passed in the guest", name)
		}
	}
	if t.Failed() {
		t.Logf("the guest says:\n%s", said)
	}
}

// static returns these tests as a static program, which is built once. The running one may be linked with the C
// library, because go test does that if it finds a compiler.
var static = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "init")
	build := exec.Command("go", "test", "-c", "-o", file, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	return os.ReadFile(file)
})

// writeGuest writes an initramfs with these tests as the first process, wyrnet and the modules.
func writeGuest(w io.Writer, self []byte, modules, pattern string) error {
	command, err := os.ReadFile(wyrnet)
	if err != nil {
		return err
	}
	records := []cpio.Record{
		cpio.Directory("dev", 0o755), cpio.Directory("host", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.StaticFile("init", string(self), 0o755), cpio.StaticFile("wyrnet", string(command), 0o755),
		cpio.StaticFile("pattern", pattern, 0o644),
	}
	paths, err := resolveModules(modules)
	if err != nil {
		return err
	}
	var list strings.Builder
	for i, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("module%d", i)
		fmt.Fprintf(&list, "%s %s\n", name, moduleParameters[moduleName(p)])
		records = append(records, cpio.StaticFile(name, string(b), 0o644))
	}
	records = append(records, cpio.StaticFile("modules", list.String(), 0o644))
	archive := cpio.Newc.Writer(w)
	for _, r := range records {
		if err := archive.WriteRecord(r); err != nil {
			return err
		}
	}
	return cpio.WriteTrailer(archive)
}

func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// resolveModules returns the paths of the guest's modules and of those they depend on, dependencies first. Modules
// that are built into the kernel are left out. dir contains kernel/ and, after following links, is named after the
// kernel release.
func resolveModules(dir string) ([]string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	if inside, _ := filepath.Glob(filepath.Join(real, "*/kernel")); len(inside) == 1 {
		real = filepath.Dir(inside[0])
	}
	base := strings.TrimSuffix(filepath.Dir(real), "/lib/modules")
	dep, err := exec.Command("depmod", "-n", "-b", base, filepath.Base(real)).Output()
	if err != nil {
		return nil, fmt.Errorf("depmod: %w", err)
	}
	needs := map[string][]string{}
	where := map[string]string{}
	for line := range strings.Lines(string(dep)) {
		path, deps, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || !strings.Contains(path, ".ko") || strings.ContainsAny(path, " \t") {
			continue // an alias or a symbol
		}
		if _, twice := where[moduleName(path)]; twice {
			continue
		}
		where[moduleName(path)] = path
		needs[moduleName(path)] = strings.Fields(deps)
	}
	var out []string
	var add func(path string)
	add = func(path string) {
		for _, d := range needs[moduleName(path)] {
			add(d)
		}
		if full := filepath.Join(real, path); !slices.Contains(out, full) {
			out = append(out, full)
		}
	}
	for _, m := range guestModules {
		if p, ok := where[m]; ok {
			add(p)
		}
	}
	return out, nil
}

// guest is what this program does as the first process of the guest: it makes the host's root its own, read-only, and
// runs the tests.
func guest() error {
	// Kernel messages about cards that come and go would mix with the output of the tests. Level 1 lets only the
	// worst pass.
	if _, err := unix.Klogctl(unix.SYSLOG_ACTION_CONSOLE_LEVEL, make([]byte, 1)); err != nil {
		return err
	}
	list, err := os.ReadFile("/modules")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		name, parameters, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := os.ReadFile("/" + name)
		if err != nil {
			return err
		}
		if err := unix.InitModule(b, parameters); err != nil && err != unix.EEXIST {
			fmt.Printf("module %s: %v\n", line, err)
		}
	}
	if err := unix.Mount("host", "/host", "9p", unix.MS_RDONLY,
		"trans=virtio,version=9p2000.L,cache=loose,msize=262144"); err != nil {
		return fmt.Errorf("cannot mount the host's root: %w", err)
	}
	for _, m := range []struct{ dir, kind string }{
		{"proc", "proc"}, {"sys", "sysfs"}, {"dev", "devtmpfs"}, {"tmp", "tmpfs"}, {"run", "tmpfs"},
	} {
		if err := unix.Mount(m.kind, "/host/"+m.dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("cannot mount %s: %w", m.dir, err)
		}
	}
	for _, name := range []string{"init", "wyrnet"} {
		b, err := os.ReadFile("/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile("/host/run/"+name, b, 0o755); err != nil {
			return err
		}
	}
	pattern, err := os.ReadFile("/pattern")
	if err != nil {
		return err
	}
	tests := exec.Command("/run/init", "-test.v", "-test.timeout=8m", "-test.run", string(pattern))
	tests.SysProcAttr = &unix.SysProcAttr{Chroot: "/host"}
	tests.Dir = "/"
	tests.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=/tmp", "WYRNET=/run/wyrnet", "IN_GUEST=1"}
	tests.Stdin, tests.Stdout, tests.Stderr = os.Stdin, os.Stdout, os.Stderr // there is no /dev/null outside the chroot
	return tests.Run()
}
