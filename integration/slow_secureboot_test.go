//go:build slow

package integration

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// OVMF's variables of a machine with Secure Boot on: with the keys that machines are sold with, and with Debian's test
// key in their place, whose private half is public.
const (
	microsoft = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
	snakeoil  = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"
)

// secured returns an EFI machine with Secure Boot on, as from does. System management mode protects its variables.
func (n nvram) secured(options ...string) vm.Machine {
	m := n.from(options...)
	firmware := []string{"-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
		"-global", "ICH9-LPC.disable_s3=1",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
		"-drive", "if=pflash,format=raw,unit=1,file=" + string(n)}
	m.Firmware = append(firmware, options...)
	return m
}

// lockedDown is what wyrboot says on such a machine.
const lockedDown = `^wyrboot: Secure Boot is on, and the kernel is locked down \(integrity\): only a container `

// signer makes keys, and signs EFI programs with them.
type signer struct{ dir string }

func newSigner(t *testing.T, name string) signer {
	t.Helper()
	s := signer{t.TempDir()}
	run(t, s.dir, "openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
		"-subj", "/CN="+name+"/", "-keyout", "db.key", "-out", "db.crt")
	return s
}

// sign returns an EFI program without the signature that it has, and with one of its own.
func (s signer) sign(t *testing.T, program []byte) (plain, signed []byte) {
	t.Helper()
	file := filepath.Join(s.dir, "program")
	write(t, file, string(program))
	run(t, s.dir, "sbattach", "--remove", file)
	plain = read(t, file)
	run(t, s.dir, "sbsign", "--key", "db.key", "--cert", "db.crt", "--output", "signed", file)
	return plain, read(t, filepath.Join(s.dir, "signed"))
}

// TestSlowSecureBoot boots the medium of make SECUREBOOT=1 on a machine as they are sold: firmware, shim, GRUB, kernel.
// The editor of GRUB's menu names an image, whose kernel is not signed. From the shell that a person asked for there,
// other kernels are refused for other reasons, the configuration in NVRAM is written, and a kernel of the distribution
// is started, which is locked down again.
func TestSlowSecureBoot(t *testing.T) {
	t.Parallel()
	kernel := read(t, vm.Artefact(t, "wyrcan.kernel"))
	unsigned, strange := newSigner(t, "A stranger").sign(t, kernel)
	altered := bytes.Clone(kernel)
	altered[len(altered)/2] ^= 1
	image := make(map[string]string)
	for name, k := range map[string][]byte{"unsigned": unsigned, "strange": strange, "altered": altered, "good": kernel} {
		image[name] = pushed(t, k)
		said, _ := exec.Command(vm.Artefact(t, "wyrcan"), "check",
			strings.Replace(image[name], "10.0.2.2:", "127.0.0.1:", 1)).Output() // of what is wrong, the next lines tell
		if want := map[string]string{
			"unsigned": "this kernel is not signed: a machine with Secure Boot will refuse it", "strange": "by A stranger",
			"altered": ", but this kernel was changed after that: a machine with Secure Boot will refuse it",
			"good":    "by Debian Secure Boot Signer",
		}[name]; !regexp.MustCompile(`(?m)^signature +.*` + regexp.QuoteMeta(want)).Match(said) {
			t.Errorf("wyrcan check of the %s kernel says\n%s", name, said)
		}
	}

	vars := newNVRAMOf(t, microsoft)
	m := vars.secured(medium(t, vm.Artefact(t, "secureboot/wyrcan.iso"), asCD)...)
	m.First = grubMenu
	v := m.Start(t)
	editGRUB(v, vm.Boot(image["unsigned"])+" wyr.debug=shell")
	v.Wait(lockedDown, vm.Patience)
	v.Step(t, "unsigned", func(*testing.T) {
		v.Wait(`^wyrboot: cannot start the kernel without a signature of \S+: the container's kernel is not signed, and `+
			`.*: kexec_file_load: no data available .*; see docs/secure-boot\.md$`, 3*stepTime)
	})
	v.Wait(`press Enter to get a shell`, stepTime)
	v.Send("\r")
	shell := func(command, want string) {
		t.Helper()
		v.Wait(`^\$ `, stepTime)
		v.Send(command + "\r")
		v.Wait(want, 2*stepTime)
	}
	boot := func(name string) string {
		return "echo " + vm.Boot(image[name]) + " wyr.arg=console=ttyS0 wyr.arg=demo=once >/tmp/line && " +
			"wyrboot -cmdline /tmp/line"
	}
	v.Step(t, "stranger", func(*testing.T) {
		shell(boot("strange"), `^wyrboot: cannot start the kernel signed by "A stranger" of \S+: .*key that this machine `+
			`does not trust; .*required key not available`)
	})
	v.Step(t, "altered", func(*testing.T) {
		shell(boot("altered"), `^wyrboot: cannot start the kernel signed by "Debian Secure Boot Signer.*" of \S+: .*`+
			`was changed after it was signed.*key was rejected by service`)
	})
	v.Step(t, "NVRAM", func(*testing.T) {
		shell("wyrefi write "+vm.Boot(image["good"]), `\[yes/no\]`)
		v.Send("yes\r")
		shell("wyrefi show", `^wyr\.img=`+regexp.QuoteMeta(image["good"]))
	})
	v.Step(t, "good", func(*testing.T) {
		shell(boot("good"), `^wyrboot: starts kernel`)
		v.Wait(`Kernel is locked down from EFI Secure Boot`, vm.Patience)
		spoke(t, v)
	})
	v.Exit(stepTime)
	v.Never(`loaded the kernel with kexec_file_load, which takes longer`)
	if got := vars.wyrcan(t); !strings.Contains(string(got), image["good"]) {
		t.Errorf("NVRAM holds %s", got)
	}
}

// The same medium, written to a stick, boots where Secure Boot is off. Nothing is locked down there.
func TestSlowSecureStick(t *testing.T) {
	t.Parallel()
	m := newNVRAM(t, configured(t, demo(t))).from(medium(t, vm.Artefact(t, "secureboot/wyrcan.iso"), asStick)...)
	v := m.Start(t)
	if line := spoke(t, v); line != "console=ttyS0 demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
	v.Never(`Secure Boot is on|locked down`)
}

// grubMenu is the first text that GRUB's menu shows.
const grubMenu = `executed automatically in \d`

// editGRUB waits for GRUB's menu, and appends text to the kernel's command line in its editor.
func editGRUB(v *vm.VM, text string) {
	v.Wait(grubMenu, vm.Patience)
	v.Send("e")
	v.Wait(`setparams`, stepTime)
	v.Wait(`initrd /`, stepTime)
	for _, key := range []string{"\x1b[B", "\x1b[B", "\x1b[F"} { // two lines down, and to the end of that line
		time.Sleep(time.Second)
		v.Send(key)
	}
	time.Sleep(time.Second)
	v.Send(" " + text)
	time.Sleep(time.Second)
	v.Send("\x18") // Ctrl-X
}

// wyrcan serve with the files of make SECUREBOOT=1 boots machines as they are sold from the network: by PXE with the
// documented lines in the DHCP server's configuration, and over HTTP, from a medium, beside a server that knows nothing
// of it.
func TestSlowSecureServe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		card, serve []string
		dhcp        string
	}{
		"PXE": {card: []string{"-device", cardPXE}, dhcp: documentedIn(t, "docs/secure-boot.md", "The distribution's chain",
			"dhcp-boot", docServer, "10.77.0.1")},
		"HTTP": {card: onlyHTTP(), serve: []string{"-dhcp", "lab"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, c.dhcp)
			l.serve(append(c.serve, "-secure", filepath.Dir(vm.Artefact(t, "secureboot/shimx64.efi")))...)
			m := newNVRAMOf(t, microsoft).secured(c.card...)
			m.QEMU = nil // the card is in the lab
			m.Firmware = append([]string{"-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no"}, m.Firmware...)
			m.NetNS = l.space
			v := m.Start(t)
			v.Wait(lockedDown, vm.Patience)
			if line := spoke(t, v); line != "console=ttyS0 demo=once" {
				t.Errorf("the container's command line is %q", line)
			}
		})
	}
}
