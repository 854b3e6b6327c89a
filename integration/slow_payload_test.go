//go:build slow

package integration

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// serial is what the demo container's kernel needs, in the image itself: nobody else names arguments.
const serial = "console=ttyS0 demo=once"

// A site is a place with machines whose firmware starts Wyrcan: a registry with TLS, and what the site has put into the
// firmware besides: the certificate of its authority, and a name for this host.
type site struct {
	image string // its name for the machines
	files []byte // a cpio archive
}

func newSite(t *testing.T) site {
	t.Helper()
	registry := imagetest.ServeTLS(t)
	_, port, err := net.SplitHostPort(registry.Host)
	if err != nil {
		t.Fatal(err)
	}
	registry.Push(t, "demo",
		imagetest.Image(t, kernelLayer(t), initLayer(t), imagetest.Files(imagetest.File("boot/wyrcan.cmdline", serial))))
	const name = "example.com" // the name in the certificate
	dir := t.TempDir()
	for file, content := range map[string]string{
		"etc/hosts":              "10.0.2.2 " + name + "\n",
		"etc/ssl/certs/site.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: registry.CA().Raw})),
	} {
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, file, content)
	}
	archive := exec.Command("sh", "-c", "find . | cpio -o -H newc --quiet")
	archive.Dir = dir
	files, err := archive.Output()
	if err != nil {
		t.Fatal(err)
	}
	return site{net.JoinHostPort(name, port) + "/demo", files}
}

// flash returns a ROM with coreboot and Wyrcan's kernel, the initrd and the site's files, and the command line if it is
// not empty.
func (s site) flash(t *testing.T, line string) string {
	t.Helper()
	dir := t.TempDir()
	initrd, err := os.ReadFile(vm.Artefact(t, "payload/initrd"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "initrd"), string(initrd)+string(s.files))
	rom := newROM(t)
	arguments := []string{"add-payload", "-n", "fallback/payload", "-c", "none", "-f", vm.Artefact(t, "payload/kernel"),
		"-I", filepath.Join(dir, "initrd")}
	if line != "" {
		arguments = append(arguments, "-C", line)
	}
	rom.cbfstool(t, arguments...)
	return string(rom)
}

// A rom is the name of a file with coreboot.
type rom string

// newROM returns a ROM without a payload.
func newROM(t *testing.T) rom {
	t.Helper()
	b, err := os.ReadFile(vm.Artefact(t, "payload/coreboot.rom"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "coreboot.rom")
	write(t, file, string(b))
	return rom(file)
}

func (r rom) cbfstool(t *testing.T, arguments ...string) {
	t.Helper()
	run(t, ".", append([]string{"cbfstool", string(r)}, arguments...)...)
}

// machine returns a machine with this ROM. Its network card is not a boot device, and it is the machine's only way to
// say anything: there is no command line.
func machine(rom string, network string, more ...string) vm.Machine {
	return vm.Machine{NICs: []string{}, Firmware: append([]string{"-machine", "q35", "-bios", rom}, more...),
		QEMU: []string{"-netdev", "user,id=net" + network, "-device", "virtio-net-pci,netdev=net,romfile="}}
}

// vpd returns Vital Product Data in the form that coreboot reads (src/drivers/vpd/vpd_tables.h): behind a table that
// tools for ChromeOS read comes the information where the data begin, then the pairs.
func vpd(pairs ...string) []byte {
	var data bytes.Buffer
	text := func(s string) {
		if len(s) > 127 { // more than seven bits
			data.WriteByte(byte(len(s)>>7) | 0x80)
		}
		data.WriteByte(byte(len(s) & 0x7f))
		data.WriteString(s)
	}
	for pair := range slices.Chunk(pairs, 2) {
		const isText = 1
		data.WriteByte(isText)
		text(pair[0])
		text(pair[1])
	}
	data.WriteByte(0) // the end
	const begin = 0x600
	area := append(bytes.Repeat([]byte{0xff}, begin), "\xfe\x09\x01gVpdInfo\x04"...)
	area = binary.LittleEndian.AppendUint32(area, uint32(data.Len()))
	return append(area, data.Bytes()...)
}

// store writes Vital Product Data into a region of the flash map.
func (r rom) store(t *testing.T, region string, pairs ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), region)
	write(t, file, string(vpd(pairs...)))
	r.cbfstool(t, "write", "-u", "-r", region, "-f", file)
}

// TestSlowCoreboot starts coreboot, which starts Wyrcan without a boot loader and, but for the first machine, without a
// command line.
func TestSlowCoreboot(t *testing.T) {
	t.Parallel()
	boots := func(t *testing.T, m vm.Machine, from string) {
		t.Helper()
		v := m.Start(t)
		v.Wait(`wyrboot: configuration: .*`+from, vm.Patience)
		if line := spoke(t, v); line != serial {
			t.Errorf("the container's command line is %q", line)
		}
		v.Never(`without a driver|cannot load driver`)
	}
	t.Run("a command line", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		boots(t, machine(s.flash(t, "wyr.img="+s.image), ""), "command line")
	})
	t.Run("fw_cfg", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		boots(t, machine(s.flash(t, ""), "", "-fw_cfg", "name=opt/io.systemd.credentials/wyr.img,string="+s.image), "fw_cfg")
	})
	// Kernel and initrd in one file, and all arguments in one text.
	t.Run("bzImage", func(t *testing.T) {
		t.Parallel()
		r := newROM(t)
		r.cbfstool(t, "add-payload", "-n", "fallback/payload", "-c", "none", "-f", vm.Artefact(t, "payload/bzImage"))
		arguments := filepath.Join(t.TempDir(), "arguments")
		write(t, arguments, "# all of it\n"+strings.ReplaceAll(consoles+" "+vm.Boot(demo(t)), " ", "\n")+"\n")
		boots(t, machine(string(r), "", "-fw_cfg", "name=opt/io.systemd.credentials/wyr.config,file="+arguments), "fw_cfg")
	})
	t.Run("DHCP", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		boots(t, machine(s.flash(t, ""), ",bootfile=oci://"+s.image), "DHCP")
	})
	// What can be written counts before what is read-only.
	t.Run("VPD", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		r := rom(s.flash(t, ""))
		r.store(t, "RO_VPD", "serial_number", "42", "wyr_img", "nobody.example/old")
		r.store(t, "RW_VPD", "wyr_img", s.image, "wyr_arg", strings.Repeat("x", 200))
		v := machine(string(r), "").Start(t)
		v.Wait(`wyrboot: configuration: .*RW_VPD`, vm.Patience)
		if line := spoke(t, v); line != serial+" "+strings.Repeat("x", 200) {
			t.Errorf("the container's command line is %q", line)
		}
	})
	t.Run("an entry in the read-only VPD", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		r := rom(s.flash(t, ""))
		r.store(t, "RO_VPD", "Boot0001", `{"type": "localboot"}`, "Boot0002", `{"type": "wyrcan", "image": "`+s.image+`"}`)
		boots(t, machine(string(r), ""), "RO_VPD.*Boot0002")
	})
}

// TestSlowPayloadCards gives the payload's kernel network cards of each kind that QEMU has, and one that it has no
// driver for, which is the only one that is named.
func TestSlowPayloadCards(t *testing.T) {
	t.Parallel()
	m := vm.Machine{Kernel: vm.Artefact(t, "payload/kernel"), Initrd: vm.Artefact(t, "payload/initrd"),
		Cmdline: consoles + " " + vm.Boot(demo(t)),
		QEMU: []string{"-device", "qemu-xhci", "-netdev", "hubport,id=usb,hubid=1", "-device", "usb-net,netdev=usb",
			"-device", "usb-kbd"}}
	for _, model := range []string{"e1000", "e1000e", "vmxnet3", "rtl8139", "pcnet"} {
		m.NICs = append(m.NICs, "hubport,hubid=1,model="+model)
	}
	m.NICs = append(m.NICs, vm.UserNIC("virtio-net-pci"))
	v := m.Start(t)
	v.Wait(`^wyrboot: no driver of this kernel takes the Ethernet controller 1022:2000 at `, vm.Patience)
	spoke(t, v)
	if n := strings.Count(v.Said(), "no driver of this kernel takes"); n != 1 {
		t.Errorf("%d cards are named as having no driver, want one", n)
	}
	v.Never(`without a driver|makes no network interface`)
}
