//go:build slow

package integration

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/integration/ovmf"
	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// zboot returns a kernel as EFI zboot image: the header of the kernel's drivers/firmware/efi/libstub/zboot-header.S and
// the packed Image. The program that unpacks it under EFI is not in it: here nobody starts it.
func zboot(t *testing.T, kernel []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	payload := z.EncodeAll(kernel, nil)
	le := binary.LittleEndian
	b := append([]byte("MZ\x00\x00"), "zimg"...)
	const header = 64
	b = le.AppendUint32(b, header)
	b = le.AppendUint32(b, uint32(len(payload)))
	b = append(b, make([]byte, 8)...)
	b = append(b, "zstd22"...)
	b = append(b, bytes.Repeat([]byte{0}, 56-len(b))...)
	b = append(b, "\xcd\x23\x82\x81"...) // LINUX_PE_MAGIC
	b = le.AppendUint32(b, header)
	return append(b, payload...)
}

// aavmf returns the options for a machine for arm64 whose firmware is EDK II with this store. It describes itself by
// ACPI.
func (n nvram) aavmf() []string {
	return []string{
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/AAVMF/AAVMF_CODE.fd",
		"-drive", "if=pflash,format=raw,unit=1,file=" + string(n)}
}

// armNVRAM is newNVRAM for that firmware. The file that Debian ships for it is blank, for the firmware to format. So a
// store with keys for Secure Boot is emptied.
func armNVRAM(t *testing.T, vars ...ovmf.Variable) nvram {
	t.Helper()
	s, err := ovmf.Open("/usr/share/AAVMF/AAVMF_VARS.ms.fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range s.List() {
		s.Delete(v.Name, v.GUID)
	}
	return filled(t, s, vars...)
}

// fromARM returns such a machine, which boots from the devices in options.
func (n nvram) fromARM(options ...string) vm.Machine {
	m := n.from(options...)
	m.Arch, m.Firmware = "arm64", append(n.aavmf(), options...)
	return m
}

// servedForARM serves the demo container with this kernel and returns its name for a machine.
func servedForARM(t *testing.T, kernel []byte, more ...imagetest.Entry) string {
	t.Helper()
	return fromGuest(imagetest.Serve(t).Push(t, "demo", demoForARM(t, kernel, more...)))
}

// onACPI waits for what the demo container says, whose kernel must have found EFI and ACPI.
func onACPI(t *testing.T, v *vm.VM) {
	t.Helper()
	v.Wait(`wyrboot: starts kernel`, vm.Patience)
	v.Wait(`^\[ *0\.0+\] efi: EFI v2\.\d+`, kexecTime)
	v.Wait(`^\[ *0\.0+\] ACPI: RSDP `, stepTime)
	v.Wait(words+`kernel +\S+ arm64`, kexecTime)
}

// TestSlowARM64ISO boots the medium as a CD. Its command line names no serial console: ACPI does (SPCR), for Wyrcan and
// for the container. NVRAM names the image and is as it was afterwards. The kernel is a zboot image.
func TestSlowARM64ISO(t *testing.T) {
	t.Parallel()
	stored := configured(t, servedForARM(t, zboot(t, kernelForARM(t))))
	stored.Data = bytes.ReplaceAll(stored.Data, []byte(`"console=ttyS0",`), nil)
	vars := armNVRAM(t, stored)
	drive := medium(t, vm.Artefact(t, "arm64/wyrcan.iso"), "scsi-cd,drive=medium,bootindex=1")
	v := vars.fromARM(append([]string{"-device", "virtio-scsi-pci"}, drive...)...).Start(t)
	onACPI(t, v)
	if line := spoke(t, v); line != "demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
	v.Exit(stepTime)
	if got := vars.wyrcan(t); string(got) != string(stored.Data) {
		t.Errorf("NVRAM holds %q, held %q", got, stored.Data)
	}
}

// TestSlowARM64UKI boots the unified kernel image over HTTP. SMBIOS names the image, whose kernel is an Image.gz of
// Debian 13. Its root is an image in the initrd: only kexec_load on amd64 leaves one in memory.
func TestSlowARM64UKI(t *testing.T) {
	t.Parallel()
	const newer = "kernels/trixie-cloud-arm64"
	kernel := packed(t, read(t, vm.Artefact(t, newer+"/vmlinuz")))
	image := servedForARM(t, kernel, mountable(t, newer)...)
	dir := bootDir(t, map[string]string{"wyrcan.efi": vm.Artefact(t, "arm64/wyrcan.efi")})
	const messaging, uri = 3, 24
	entry := bootEntry(messaging, uri, []byte("http://"+serveDir(t, dir)+"/wyrcan.efi"), "")
	v := armNVRAM(t, entry...).fromARM("-smbios",
		"type=11,value=io.systemd.credential:wyr.config=wyr.root=squashfs wyr.arg=demo=once wyr.img="+allowed(image)).Start(t)
	v.Wait(`^wyrboot: configuration: .*SMBIOS`, vm.Patience)
	onACPI(t, v)
	spoke(t, v)
	if !regexp.MustCompile(words + `root +overlay\n`).MatchString(v.Said()) {
		t.Error("the root is no overlay of an image")
	}
}

// TestSlowARM64NVRAM shows that EFI's runtime services work after kexec: Wyrcan, booted as a container, finds its image
// only in NVRAM. The machine has no device that makes random numbers, and firmware that has none either.
func TestSlowARM64NVRAM(t *testing.T) {
	t.Parallel()
	image := servedForARM(t, kernelForARM(t))
	index, err := layout.ImageIndexFromPath(vm.Artefact(t, "arm64/wyrcan.oci"))
	if err != nil {
		t.Fatal(err)
	}
	wyrcan := fromGuest(imagetest.Serve(t).Push(t, "wyrcan", index))
	m := vm.Machine{Arch: "arm64", CPUs: 2, NoRNG: true, Cmdline: vm.Boot(wyrcan) + " wyr.arg=console=ttyAMA0",
		QEMU: armNVRAM(t, configured(t, image)).aavmf()}
	v := m.Start(t)
	v.Step(t, "DHCP without random numbers", func(*testing.T) {
		v.Wait(`^wyrboot: eth0 .*10\.0\.2\.15/24`, time.Minute)
	})
	v.Wait(`wyrboot: starts kernel \S+ of `+wyrcan, vm.Patience)
	v.Wait(`wyrboot: configuration: .*NVRAM`, vm.Patience)
	v.Wait(`wyrboot: starts kernel \S+ of `+image, vm.Patience)
	spoke(t, v)
}

// TestSlowARM64Refused has an image that the machine cannot hold: it is refused before anything is downloaded. Of a root
// that stays packed that is known later, when the names of the files are.
func TestSlowARM64Refused(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 200<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	ref := servedForARM(t, kernelForARM(t), imagetest.File("noise", string(noise)))
	v := vm.Machine{Arch: "arm64", CPUs: 1, Memory: "320M", Cmdline: vm.Boot(ref) + " wyr.root=tmpfs"}.Start(t)
	v.Wait(`^wyrboot: .*too little memory: to hold the image's layers takes 2\d\d MiB and this machine has \d+ MiB free`,
		bootTime+stepTime)
	rebootsOnEnter(t, v)
}

// TestSlowARM64Demo has the host tool start an emulated machine, with what make built for it.
func TestSlowARM64Demo(t *testing.T) {
	t.Parallel()
	demo := exec.CommandContext(t.Context(), vm.Artefact(t, "wyrcan"), "demo", "-arch", "aarch64", "-once", "-smp", "1")
	free := vm.Turn(t)
	defer free()
	shown, err := demo.CombinedOutput()
	t.Logf("%s", bytes.Join(regexp.MustCompile(`(?m)^`+words+`.*`).FindAll(shown, -1), []byte("\n")))
	if err != nil || !regexp.MustCompile(`(?m)^`+words+`kernel +\S+ arm64\r?$`).Match(shown) {
		t.Errorf("wyrcan demo: %v\n%s", err, shown)
	}
}
