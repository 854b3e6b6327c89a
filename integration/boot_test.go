package integration

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// Time limits for steps under plain emulation on a busy host, with another machine
// running. Each is many times the usual time.
const (
	bootTime  = 180 * time.Second // from power-on to wyrboot's first line
	stepTime  = 120 * time.Second // one stage of wyrboot
	kexecTime = 240 * time.Second // from the last stage to the container's first word
)

// TestMain lets more tests start than machines can run.
func TestMain(m *testing.M) { vm.Main(m) }

// words is the start of the lines that the test container's /init prints.
const words = "wyrcan-demo: "

// containerKernel returns the name of the kernel of containers in which only the demo runs. For amd64 it is Debian's
// for machines in clouds, which is packed with LZ4: it has started /init after 2.5 seconds of the host's processors,
// where the kernel that Wyrcan ships with takes 5.9.
func containerKernel() string {
	if runtime.GOARCH == "amd64" {
		return "kernels/bookworm-cloud-amd64/vmlinuz"
	}
	return "wyrcan.kernel"
}

// kernelLayer returns a layer with a kernel at the path of a distribution, and the
// link to it.
func kernelLayer(t *testing.T) imagetest.Layer {
	t.Helper()
	return layerOf(t, containerKernel())
}

// layerOf returns such a layer with a kernel that make has built or downloaded.
func layerOf(t *testing.T, kernel string) imagetest.Layer {
	t.Helper()
	return imagetest.Layer{Compression: imagetest.Zstd, Entries: []imagetest.Entry{
		imagetest.Dir("boot"),
		imagetest.File("boot/vmlinuz-test", string(read(t, vm.Artefact(t, kernel)))),
		imagetest.Symlink("boot/wyrcan.kernel", "/boot/vmlinuz-test"),
	}}
}

// initLayer returns a layer with an /init that prints what it finds, and more files.
func initLayer(t *testing.T, more ...imagetest.Entry) imagetest.Layer {
	t.Helper()
	init := read(t, vm.Artefact(t, "wyrcan.demo"))
	return imagetest.Files(append([]imagetest.Entry{
		imagetest.Dir("usr"), imagetest.Dir("usr/sbin"),
		imagetest.File("usr/sbin/init", string(init)).Mode(0o755),
		imagetest.Symlink("init", "usr/sbin/init"),
	}, more...)...)
}

// fromGuest returns the name of an image on this host for a machine in QEMU's user network.
func fromGuest(ref string) string { return strings.Replace(ref, "127.0.0.1:", "10.0.2.2:", 1) }

// rebootsOnEnter waits for the last message of a failure, presses Enter, and checks
// that nothing was booted.
func rebootsOnEnter(t *testing.T, v *vm.VM) {
	t.Helper()
	v.Wait(`press Enter to reboot now`, stepTime)
	v.Send("\r")
	v.Exit(50 * time.Second) // earlier than it would reboot without Enter
	v.Never(`wyrboot: starts kernel|` + words)
}

// TestBoot tests a whole boot: DHCP, an index with images for two architectures, a
// kernel behind an absolute link, a command line from the image and from two
// arguments, one of them quoted.
func TestBoot(t *testing.T) {
	t.Parallel()
	registry := imagetest.Serve(t)
	mine := imagetest.Image(t, kernelLayer(t), initLayer(t,
		imagetest.File("boot/wyrcan.cmdline", " console=ttyS0\n\tpanic=-1\n")))
	other := imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: "s390x"}}.Image(t)
	ref := fromGuest(registry.Push(t, "bootable:1", imagetest.Index(t, other, mine)))

	v := vm.Machine{
		CPUs:    2,
		QEMU:    vm.Max,
		Cmdline: `quiet ` + vm.Boot(ref) + ` wyr.arg="quiet log-buf-len=1M" wyr.arg=demo=once`,
	}.Start(t)
	v.Wait(`^wyrboot: Wyrcan `+regexp.QuoteMeta(vm.Version(t))+`, the container bootloader$`, bootTime)
	v.Wait(`^wyrboot: stage drivers [0-9.]+ s$`, stepTime)
	v.Wait(`^wyrboot: eth0 .*10\.0\.2\.15/24.*gateway 10\.0\.2\.2.*$`, stepTime)
	for _, stage := range []string{"network", "pull", "convert", "load"} {
		v.Wait(`^wyrboot: stage `+stage+` [0-9.]+ s$`, stepTime)
	}
	const line = "console=ttyS0 panic=-1 quiet log-buf-len=1M demo=once"
	if got := v.Wait(`^`+words+`command line +(.*)\n`, kexecTime)[1]; got != line {
		t.Errorf("the container's command line is %q, want %q", got, line)
	}
	v.Wait(`^`+words+`the container's own words`, stepTime)
	v.Exit(stepTime)
	v.Never(`kexec_file_load`)
}

// TestKeptNetwork boots with a static address and a VLAN, whose driver no device requests. It passes the address to a
// container without systemd-networkd, as ip=. Nothing may ask the DHCP server that QEMU's user network always has.
//
// The header of the container's kernel is too short for kexec_load. So kexec_file_load loads it, as it loads every
// kernel under lockdown.
func TestKeptNetwork(t *testing.T) {
	t.Parallel()
	kernel := read(t, vm.Artefact(t, "wyrcan.kernel"))
	kernel[0x201] = 0x62 // it ends before handover_offset, which is for firmware
	ref := pushed(t, kernel)

	frames := filepath.Join(t.TempDir(), "frames")
	v := vm.Machine{
		Kernel: vm.Unpacked(t),
		CPUs:   1,
		NICs:   []string{vm.UserNIC("virtio-net-pci", "id=lan")},
		QEMU:   []string{"-object", "filter-dump,id=frames,netdev=lan,file=" + frames},
		Cmdline: vm.Boot(ref) + " wyr.arg=console=ttyS0 wyr.arg=demo=once wyr.net.keep=yes" +
			" wyr.net.lan.Match.Name=eth0 wyr.net.lan.Network.Address=10.0.2.77/24 " +
			"wyr.net.lan.Network.Gateway=10.0.2.2" +
			" wyr.net.lan.Network.DNS=10.0.2.3 wyr.net.lan.Network.VLAN=v7" +
			" wyr.net.netdev.v7.NetDev.Name=v7 wyr.net.netdev.v7.NetDev.Kind=vlan wyr.net.netdev.v7.VLAN.Id=7" +
			" wyr.net.v7.Match.Name=v7 wyr.net.v7.Network.Address=192.0.2.7/24",
	}.Start(t)
	v.Wait(`^wyrboot: v7 .*192\.0\.2\.7/24`, bootTime+stepTime)
	v.Step(t, "short header", func(*testing.T) {
		v.Wait(`wyrboot: loaded the kernel with kexec_file_load, which takes longer: `+
			`a bzImage with a damaged header`, 4*stepTime)
	})
	v.Wait(`^wyrboot: stage load`, 4*stepTime)
	const line = "console=ttyS0 demo=once ip=10.0.2.77::10.0.2.2:255.255.255.0::eth0:off:10.0.2.3:"
	if got := v.Wait(`^`+words+`command line +(.*)\n`, kexecTime)[1]; got != line {
		t.Errorf("the container's command line is %q, want %q", got, line)
	}
	v.Wait(`^`+words+`the container's own words`, stepTime)
	v.Exit(stepTime)
	sent, asked := toPort(t, frames, 67)
	if sent == 0 {
		t.Error("no frame has IPv4: the dump is not from this machine")
	}
	if asked > 0 {
		t.Errorf("the machine has sent %d packets to DHCP servers, although its files do not ask for DHCP", asked)
	}
}

// toPort counts the IPv4 packets in a dump of QEMU, a pcap file of Ethernet frames, and how many of them go to the UDP
// port.
func toPort(t *testing.T, dump string, port uint16) (all, to int) {
	t.Helper()
	b, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	const file, record, ethernet = 24, 16, 14 // lengths of headers
	for b = b[min(file, len(b)):]; len(b) > record; {
		n := int(binary.NativeEndian.Uint32(b[8:]))
		if n > len(b)-record {
			break // QEMU ended while it wrote this frame
		}
		frame := b[record : record+n]
		b = b[record+n:]
		if n < ethernet+20 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
			continue
		}
		all++
		packet := frame[ethernet:]
		if header := int(packet[0]&0xf) * 4; packet[9] == 17 && len(packet) >= header+4 &&
			binary.BigEndian.Uint16(packet[header+2:]) == port {
			to++
		}
	}
	return all, to
}

// TestNoImage boots without arguments: the help, Enter, a reboot.
func TestNoImage(t *testing.T) {
	t.Parallel()
	v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1}.Start(t)
	v.Wait(`^wyrboot: no container image is named`, bootTime)
	for _, argument := range []string{"wyr.img=IMAGE", "wyr.arg=ARG", `wyr.net.\[KIND.\]FILE.SECTION.KEY=VALUE`,
		"wyr.efi=write", "wyr.efi=clear"} {
		v.Wait(`^ +`+argument, stepTime)
	}
	v.Wait(`Press Enter to reboot\.`, stepTime)
	v.Send("\r")
	v.Exit(stepTime)
}

// TestRefusals tries images that cannot be booted, with each value of wyr.fail. TestRunStatus has one without a kernel,
// and the default.
func TestRefusals(t *testing.T) {
	t.Parallel()
	registry := imagetest.Serve(t)
	noInit := fromGuest(registry.Push(t, "noinit", imagetest.Image(t, kernelLayer(t))))
	foreign := fromGuest(registry.Push(t, "foreign", imagetest.Spec{
		Platform: v1.Platform{OS: "linux", Architecture: "s390x"}, Layers: []imagetest.Layer{initLayer(t)},
	}.Image(t)))
	absent := strings.Replace(noInit, "noinit", "absent", 1)

	for _, tt := range []struct {
		name, cmdline, want string
		end                 func(*testing.T, *vm.VM)
	}{
		{"no init", vm.Boot(noInit) + " wyr.fail=poweroff", `cannot boot \S+/noinit\S*: the image is not bootable: /?init`,
			func(t *testing.T, v *vm.VM) {
				v.Wait(`the machine powers off in 60 s; press Enter to power off now`, stepTime)
				v.Send("\r")
				v.Wait(`reboot: Power down`, stepTime)
				v.Exit(stepTime)
				v.Never(`wyrboot: starts kernel|` + words)
			}},
		{"wrong platform", vm.Boot(foreign) + " wyr.fail=halt", `cannot get \S+/foreign\S*: .*s390x`,
			func(t *testing.T, v *vm.VM) {
				v.Wait(`the machine halts in 60 s; press Enter to halt now`, stepTime)
				v.Send("\r")
				v.Wait(`reboot: System halted`, stepTime)
				v.Never(`wyrboot: starts kernel|` + words)
			}},
		{"absent", vm.Boot(absent) + " wyr.fail=shell", `cannot get \S+/absent\S*: .*does not have it`,
			func(t *testing.T, v *vm.VM) {
				v.Wait(`^\$ `, stepTime)
				v.Never(`press Enter`)
				v.Send("exit 0\r") // too soon for a person: as if there were no keyboard
				v.Wait(`the machine reboots in 60 s; press Enter to get a shell`, stepTime)
				v.Send("\r")
				v.Wait(`^\$ `, stepTime)
				v.Send("exit 0\r")
				v.Wait(`^wyrboot: reboots`, stepTime)
				v.Exit(stepTime)
				v.Never(`wyrboot: starts kernel|` + words)
			}},
		{"reboot", vm.Boot(absent) + " wyr.fail=reboot", `cannot get \S+/absent\S*: .*does not have it`, rebootsOnEnter},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1, Cmdline: tt.cmdline}.Start(t)
			v.Wait(`^wyrboot: `+tt.want, bootTime+stepTime)
			tt.end(t, v)
		})
	}
}
