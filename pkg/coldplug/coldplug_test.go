package coldplug

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const release = "6.1.0-test"

// indexes are the files that depmod writes, with a few of Debian's modules.
var indexes = map[string]string{
	"modules.dep": `kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko:
kernel/drivers/net/ethernet/realtek/r8169.ko: kernel/drivers/net/phy/libphy.ko
kernel/drivers/net/ethernet/realtek/8139too.ko: kernel/drivers/net/mii.ko
kernel/drivers/net/ethernet/realtek/8139cp.ko: kernel/drivers/net/mii.ko
kernel/drivers/net/ethernet/broadcom/bnx2x/bnx2x.ko: kernel/lib/libcrc32c.ko
kernel/drivers/net/mii.ko:
kernel/drivers/net/phy/libphy.ko:
kernel/drivers/net/phy/realtek.ko: kernel/drivers/net/phy/libphy.ko
kernel/drivers/net/bonding/bonding.ko:
kernel/drivers/infiniband/ulp/ipoib/ib_ipoib.ko:
kernel/lib/libcrc32c.ko:
kernel/crypto/crc32c_generic.ko:
kernel/fs/efivarfs/efivarfs.ko:
kernel/drivers/usb/host/ehci-pci.ko:
kernel/drivers/usb/host/ohci-pci.ko:
kernel/drivers/net/usb/cdc_ether.ko:
kernel/drivers/net/usb/cdc_subset.ko:
kernel/a/chicken.ko:
kernel/a/egg.ko:
`,
	"modules.alias": `# Aliases extracted from modules themselves.
alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e
alias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169
alias pci:v000010ECd00008139sv*sd*bc*sc*i* 8139too
alias pci:v000010ECd00008139sv*sd*bc*sc*i* 8139cp
alias pci:v000014E4d0000168Asv*sd*bc*sc*i* bnx2x
alias pci:v*d*sv*sd*bc0Csc03i20* ehci_pci
alias pci:v*d*sv*sd*bc0Csc03i10* ohci_pci
alias usb:v*p*d*dc*dsc*dp*ic02isc06ip00in* cdc_ether
alias usb:v0525pA4A2d*dc*dsc*dp*ic*isc*ip*in* cdc_subset
alias mdio:0000000000011100110010010001???? realtek
alias fs-efivarfs efivarfs
alias crc32c-generic crc32c_generic
alias crc32c crc32c_generic
alias rtnl-link-bond bonding
alias rtnl-link-ipoib ib_ipoib
`,
	"modules.softdep": `# Soft dependencies extracted from modules themselves.
softdep libcrc32c pre: crc32c
softdep r8169 pre: realtek
softdep ohci_pci pre: ehci_pci
softdep chicken pre: egg
softdep egg post: chicken
softdep bonding crypto
`,
	"modules.builtin":         "kernel/drivers/virtio/virtio.ko\n",
	"modules.builtin.modinfo": "virtio.description=x\x00igb.alias=pci:v00008086d00001563sv*sd*bc*sc*i*\x00",
}

// write writes a file and makes its directory.
func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// machine creates a root with the indexes and the given devices. The keys of
// devices are bus/name for the file modalias, or bus/name/file for another file;
// the values are the contents. It returns a Loader that loads nothing, and a
// function that returns the modules it would have loaded.
func machine(t *testing.T, devices map[string]string) (*Loader, func() []string) {
	t.Helper()
	root := t.TempDir()
	for name, content := range indexes {
		write(t, filepath.Join(root, "lib/modules", release, name), content)
	}
	for name, content := range devices {
		file := filepath.Join(root, "sys/bus", filepath.Dir(name), "devices", filepath.Base(name), "modalias")
		if strings.Count(name, "/") == 2 {
			dir, base := filepath.Split(name)
			file = filepath.Join(root, "sys/bus", filepath.Dir(filepath.Clean(dir)), "devices", filepath.Base(dir),
				base)
		}
		write(t, file, content+"\n")
	}

	var mu sync.Mutex
	var loaded []string
	l := &Loader{Root: root, Release: release, Logf: t.Logf, dryRun: func(path string) {
		mu.Lock()
		defer mu.Unlock()
		loaded = append(loaded, moduleName(path))
	}}
	return l, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(loaded)
	}
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name    string
		devices map[string]string
		want    []string   // modules, sorted
		order   [][]string // pairs: the first must load before the second
	}{
		{name: "nothing there"},
		{
			name: "one card, twice",
			devices: map[string]string{"pci/0000:00:03.0": "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00",
				"pci/0000:00:04.0": "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00"},
			want: []string{"e1000e"},
		},
		{
			name:    "two drivers want the card",
			devices: map[string]string{"pci/0000:00:03.0": "pci:v000010ECd00008139sv00001AF4sd00001100bc02sc00i00"},
			want:    []string{"8139cp", "8139too", "mii"},
			order:   [][]string{{"mii", "8139too"}, {"8139too", "8139cp"}},
		},
		{
			name: "two drivers want the interfaces of one USB device",
			devices: map[string]string{
				"usb/1-1:1.0": "usb:v0525pA4A2d0000dc02dsc00dp00ic02isc06ip00in00",
				"usb/1-1:1.1": "usb:v0525pA4A2d0000dc02dsc00dp00ic0Aisc00ip00in01",
			},
			want:  []string{"cdc_ether", "cdc_subset"},
			order: [][]string{{"cdc_ether", "cdc_subset"}},
		},
		{
			name:    "a PHY driver before the card's",
			devices: map[string]string{"pci/0000:00:03.0": "pci:v000010ECd00008168sv000010ECsd00008168bc02sc00i00"},
			want:    []string{"libphy", "r8169", "realtek"},
			order:   [][]string{{"libphy", "realtek"}, {"realtek", "r8169"}},
		},
		{
			name:    "a dependency's soft dependency, by its alias",
			devices: map[string]string{"pci/0000:00:03.0": "pci:v000014E4d0000168Asv00000000sd00000000bc02sc00i00"},
			want:    []string{"bnx2x", "crc32c_generic", "libcrc32c"},
			order:   [][]string{{"crc32c_generic", "libcrc32c"}, {"libcrc32c", "bnx2x"}},
		},
		{
			name:    "a soft dependency before",
			devices: map[string]string{"pci/0000:00:05.0": "pci:v00008086d00000001sv0sd0bc0Csc03i10"},
			want:    []string{"ehci_pci", "ohci_pci"},
			order:   [][]string{{"ehci_pci", "ohci_pci"}},
		},
		{
			name:    "a PHY by its identifier",
			devices: map[string]string{"mdio_bus/r8169-0-300:00/phy_id": "0x001cc916"},
			want:    []string{"libphy", "realtek"},
		},
		{
			name:    "a PHY without identifier",
			devices: map[string]string{"mdio_bus/fixed-0:00/phy_id": "0x00000000"},
		},
		{
			name:    "a device without a driver",
			devices: map[string]string{"pci/0000:00:09.0": "pci:v0000DEADd0000BEEFsv0sd0bc02sc00i00"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, loaded := machine(t, tt.devices)
			if _, err := l.Load(context.Background()); err != nil {
				t.Fatal(err)
			}
			got := loaded()
			for _, pair := range tt.order {
				if slices.Index(got, pair[0]) > slices.Index(got, pair[1]) {
					t.Errorf("loaded %q after %q", pair[0], pair[1])
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("loaded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadEFI(t *testing.T) {
	l, loaded := machine(t, nil)
	if err := os.MkdirAll(filepath.Join(l.Root, "sys/firmware/efi"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"efivarfs"}, loaded()); diff != "" {
		t.Errorf("loaded on an EFI machine (-want +got):\n%s", diff)
	}
}

// TestLoadInfiniBand checks that an adapter gets network links, although no device has a modalias for them.
func TestLoadInfiniBand(t *testing.T) {
	l, loaded := machine(t, nil)
	if err := os.MkdirAll(filepath.Join(l.Root, "sys/class/infiniband/mlx5_0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ib_ipoib"}, loaded()); diff != "" {
		t.Errorf("loaded beside an adapter (-want +got):\n%s", diff)
	}
}

func TestMissing(t *testing.T) {
	l, _ := machine(t, map[string]string{
		"pci/0000:01:00.0":        "pci:v00008086d00001572sv00008086sd00000000bc02sc00i00", // no driver
		"pci/0000:02:00.0":        "pci:v00008086d00001563sv00008086sd00000000bc02sc00i00", // built in
		"pci/0000:03:00.0":        "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00", // a module
		"pci/0000:04:00.0":        "pci:v0000DEADd00000001sv00000000sd00000000bc01sc08i02", // a disk
		"pci/0000:05:00.0":        "pci:v0000DEADd00000002sv00000000sd00000000bc02sc80i00", // bound already
		"pci/0000:05:00.0/driver": "",
		"virtio/virtio0":          "virtio:d00000001v00001AF4",
		"virtio/virtio1":          "virtio:d00000002v00001AF4",
	})
	r, err := l.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range r.Missing {
		got = append(got, d.String())
	}
	want := []string{"Ethernet controller 8086:1572 at 0000:01:00.0", "virtio network card at virtio0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

// TestIdle has network cards with and without drivers, firmware and network interfaces.
func TestIdle(t *testing.T) {
	l, _ := machine(t, map[string]string{
		"pci/0000:01:00.0":    "pci:v00008086d00001572sv00008086sd00000000bc02sc00i00", // no driver: missing, not idle
		"pci/0000:02:00.0":    "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00", // its driver does not take it
		"pci/0000:03:00.0":    "pci:v000014E4d0000168Asv00000000sd00000000bc02sc00i00", // no firmware
		"pci/0000:04:00.0":    "pci:v000010ECd00008139sv00000000sd00000000bc02sc00i00", // barred
		"pci/0000:05:00.0":    "pci:v000010ECd00008168sv00000000sd00000000bc02sc00i00", // an interface
		"pci/0000:06:00.0":    "pci:v00001AF4d00001000sv00000000sd00000000bc02sc00i00", // carries virtio0
		"pci/0000:07:00.0":    "pci:v0000DEADd00000002sv00000000sd00000000bc02sc80i00", // bound, but no interface
		"virtio/virtio0":      "virtio:d00000001v00001AF4",
		"usb/1-1:1.0":         "usb:v0525pA4A2d0505dc02dsc00dp00ic02isc06ip00in00",
		"usb/1-2:1.0":         "usb:v0525p1234d0505dc02dsc00dp00ic02isc0dip00in00", // NCM, no driver
		"usb/1-3:1.0":         "usb:v0525p1235d0505dc00dsc00dp00ic08isc06ip50in00", // a disk
		"platform/ethernet.0": "of:NethernetT(null)Cvendor,gmac",
		"platform/serial.0":   "of:NserialT(null)Cvendor,uart",
		"pci/0000:08:00.0":    "pci:v00008086d00001563sv00008086sd00000000bc02sc00i00", // built in, not bound
		"virtio/virtio1":      "virtio:d00000002v00001AF4",
		"pci/0000:09:00.0":    "pci:v000010ECd00008168sv00000000sd00000000bc02sc00i00", // its child is an interface
	})
	for name, target := range map[string]string{
		"pci/devices/0000:06:00.0/driver": "../../drivers/virtio-pci",
		"pci/devices/0000:07:00.0/driver": "../../drivers/wireless",
		"pci/devices/0000:01:00.0/physfn": "../0000:05:00.0",
		"pci/devices/0000:05:00.0/driver": "../../drivers/r8169",
	} {
		if err := os.Symlink(target, filepath.Join(l.Root, "sys/bus", name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"proc/cmdline": "modprobe.blacklist=8139too,8139cp",
		"dev/kmsg": "4,700,3000000,-;bnx2x 0000:03:00.0: Direct firmware load for bnx2x/a.fw failed with error -2\n" +
			" SUBSYSTEM=pci\n" +
			"3,701,3000001,-;bnx2x 0000:03:00.0: firmware: failed to load bnx2x/b.fw (-2)\n" +
			"3,702,3000002,-;bnx2x 0000:03:00.0: firmware: failed to load bnx2x/b.fw (-2)\n" +
			"3,703,3000003,-;platform regulatory.0: Direct firmware load for regulatory.db failed with error -2\n" +
			"3,704,3000004,-;r8169 0000:05:00.0: firmware: failed to load rtl.fw (-2)\n" +
			"6,705,1,-;firmware: failed to load\n",
		"sys/bus/pci/devices/0000:05:00.0/net/eth0/x":     "",
		"sys/bus/pci/devices/0000:09:00.0/eth/net/eth1/x": "",
	} {
		write(t, filepath.Join(l.Root, name), content)
	}
	r, err := l.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range slices.Concat(r.Missing, r.Idle, r.Wanting) {
		got = append(got, d.Trouble())
	}
	if len(r.Wanting) != 1 || !slices.Equal(r.Wanting[0].Links, []string{"eth0"}) {
		t.Errorf("interfaces without firmware: %+v, want eth0", r.Wanting)
	}
	want := []string{
		"driver r8169 of the Ethernet controller 10ec:8168 at 0000:05:00.0 lacks its firmware rtl.fw",
		"this initrd has no driver for the Ethernet controller 8086:1572 at 0000:01:00.0",
		"this initrd has no driver for the Ethernet controller at ethernet.0",
		"this initrd has no driver for the USB network adapter 0525:1234 at 1-2:1.0",
		"this initrd has no driver for the virtio network card at virtio0",
		"driver e1000e does not take the Ethernet controller 8086:10d3 at 0000:02:00.0, the kernel's log (dmesg) may " +
			"say why",
		"driver bnx2x of the Ethernet controller 14e4:168a at 0000:03:00.0 lacks its firmware bnx2x/a.fw, bnx2x/b.fw",
		"the command line bars driver 8139too or 8139cp of the Ethernet controller 10ec:8139 at 0000:04:00.0",
		"driver wireless makes no network interface of the network controller dead:0002 at 0000:07:00.0, the " +
			"kernel's log (dmesg) may say why",
		"driver igb does not take the Ethernet controller 8086:1563 at 0000:08:00.0, the kernel's log (dmesg) may " +
			"say why",
		"driver cdc_ether or cdc_subset does not take the USB network adapter 0525:a4a2 at 1-1:1.0, the kernel's log " +
			"(dmesg) may say why",
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cards that cannot be used (-want +got):\n%s", diff)
	}
}

func TestAdd(t *testing.T) {
	for _, tt := range []struct {
		name string
		want []string
		err  string
	}{
		{name: "bonding", want: []string{"bonding"}},
		{name: "rtnl-link-bond", want: []string{"bonding"}},
		{name: "ehci-pci", want: []string{"ehci_pci"}},
		{name: "virtio"},
		{name: "rtnl-link-wormhole", err: `this initrd has no kernel module for "rtnl-link-wormhole"`},
		{name: "chicken", want: []string{"egg", "chicken"}}, // a circle
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, loaded := machine(t, nil)
			var got string
			if err := l.Add(context.Background(), tt.name); err != nil {
				got = err.Error()
			}
			if got != tt.err {
				t.Errorf("Add(%q) = %q, want %q", tt.name, got, tt.err)
			}
			if diff := cmp.Diff(tt.want, loaded()); diff != "" {
				t.Errorf("Add(%q) loaded (-want +got):\n%s", tt.name, diff)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	l, loaded := machine(t, map[string]string{
		"pci/0000:00:03.0": "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00",
		"pci/0000:00:04.0": "pci:v000010ECd00008139sv00001AF4sd00001100bc02sc00i00",
	})
	l.Params = map[string]string{"e1000e": "debug=1"}
	if err := os.MkdirAll(l.path("proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	const line = `quiet wyr.img=x e1000e.IntMode=0,1 bonding.max_bonds=2 mii.x="a b" ` +
		`bonding.flag modprobe.blacklist=8139too,no-such .a= b.=` + "\n"
	if err := os.WriteFile(l.path("proc/cmdline"), []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := loaded()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"8139cp", "e1000e", "mii"}, got); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
	if !slices.Contains(l.Result().Loaded, "mii") {
		t.Error("mii was loaded as a dependency, without its parameter")
	}
	for module, want := range map[string]string{
		"e1000e":  "debug=1 IntMode=0,1",
		"bonding": "max_bonds=0 max_bonds=2 flag",
		"mii":     `x="a b"`,
		"dummy":   "numdummies=0",
		"8139cp":  "",
	} {
		if got := l.params(module); got != want {
			t.Errorf("params(%q) = %q, want %q", module, got, want)
		}
	}
	if err := l.Add(context.Background(), "8139too"); err != nil || !slices.Contains(loaded(), "8139too") {
		t.Errorf("a module that no alias may load does not load by its name: %v", err)
	}
}

func TestLoadFails(t *testing.T) {
	l, _ := machine(t, map[string]string{
		"pci/0000:00:03.0": "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00",
	})
	l.dryRun = nil // really load; there is no such file
	r, err := l.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Failed) != 1 || !errors.Is(r.Failed[0], fs.ErrNotExist) ||
		!strings.Contains(r.Failed[0].Error(), "cannot load driver e1000e: ") {
		t.Errorf("Failed = %v, want one that names e1000e", r.Failed)
	}
	if err := l.Add(context.Background(), "e1000e"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Add after that = %v, want the same error", err)
	}
}

func TestNoModules(t *testing.T) {
	l := &Loader{Root: t.TempDir(), Release: "9.9.9"}
	if _, err := l.Load(context.Background()); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "kernel 9.9.9") {
		t.Errorf("Load without modules = %v, want a missing file and the kernel's release", err)
	}
	select {
	case <-l.Settled():
	case <-time.After(time.Second):
		t.Error("Settled waits although no device can come")
	}
}

// TestBuiltIn has kernels whose modules are nowhere: one could load some, the other was built without.
func TestBuiltIn(t *testing.T) {
	l := &Loader{Root: t.TempDir(), Release: "9.9.9"}
	for name, content := range map[string]string{
		"proc/cmdline": "quiet",
		"sys/bus/pci/devices/0000:01:00.0/modalias":         "pci:v00008086d00001572sv00008086sd00000000bc02sc00i00",
		"sys/bus/pci/devices/0000:02:00.0/modalias":         "pci:v00008086d00001563sv00008086sd00000000bc02sc00i00",
		"sys/bus/pci/devices/0000:02:00.0/net/eth0/address": "52:54:00:12:34:56",
		"sys/bus/pci/devices/0000:02:00.0/driver/bind":      "",
		"sys/module/i40e/parameters/debug":                  "",
		"sys/module/dm_mod/version":                         "",
	} {
		write(t, filepath.Join(l.Root, name), content)
	}
	r, err := l.Load(context.Background())
	if err != nil || !r.BuiltIn || len(r.Failed) > 0 {
		t.Errorf("Load of a kernel without modules = %+v, %v, want that all its drivers are built in", r, err)
	}
	const trouble = "no driver of this kernel takes the Ethernet controller 8086:1572 at 0000:01:00.0, " +
		"the kernel's log (dmesg) may say why"
	if len(r.Missing) != 1 || r.Missing[0].Trouble() != trouble || len(r.Idle) > 0 {
		t.Errorf("cards that cannot be used: %+v, want %s", r, trouble)
	}
	for _, name := range []string{"i40e", "dm-mod"} {
		if err := l.Add(context.Background(), name); err != nil {
			t.Errorf("Add of %s, which is built in: %v", name, err)
		}
	}
	for _, name := range []string{"rtnl-link-vxlan", "..", "i40e/parameters"} {
		if err := l.Add(context.Background(), name); !errors.Is(err, fs.ErrNotExist) ||
			!strings.Contains(err.Error(), "without modules") {
			t.Errorf("Add of %s = %v, want that it is not built in", name, err)
		}
	}

	if err := os.WriteFile(filepath.Join(l.Root, "proc/modules"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	modular := &Loader{Root: l.Root, Release: "9.9.9"}
	if _, err := modular.Load(context.Background()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a kernel whose modules are missing = %v, want a missing file", err)
	}
}

// TestWatch sends events to the watcher through a pipe instead of the socket.
func TestWatch(t *testing.T) {
	l, loaded := machine(t, nil)
	l.Quiet = 50 * time.Millisecond
	load := l.dryRun
	l.dryRun = func(path string) { // while a slow driver loads, the devices have not settled
		time.Sleep(4 * l.Quiet)
		select {
		case <-l.Settled():
			t.Error("Settled is closed while a driver loads")
		default:
		}
		load(path)
	}
	if _, err := l.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	l.events = &uevents{r}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Watch(ctx) }()

	event := "add@/devices/x\x00ACTION=add\x00DEVPATH=/devices/x\x00SUBSYSTEM=usb\x00" +
		"MODALIAS=pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00\x00SEQNUM=1\x00"
	if _, err := w.WriteString(event); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(5 * time.Second)
	for len(loaded()) == 0 {
		select {
		case <-deadline:
			t.Fatal("the driver of a late device was not loaded")
		case <-time.After(time.Millisecond):
		}
	}
	if diff := cmp.Diff([]string{"e1000e"}, loaded()); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
	select {
	case <-l.Settled():
	case <-deadline:
		t.Error("Settled was not closed")
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v, want %v", err, context.Canceled)
	}
}

// TestListen opens the kernel's socket and closes it during a read.
func TestListen(t *testing.T) {
	u, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		for {
			if _, err := u.next(); err != nil {
				got <- err
				return
			}
		}
	}()
	u.Close()
	select {
	case err := <-got:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("next after Close = %v, want %v", err, os.ErrClosed)
		}
	case <-time.After(5 * time.Second):
		t.Error("Close did not end next")
	}
}
