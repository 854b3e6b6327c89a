//go:build slow

package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/ovmf"
	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// choices are the entries of the menu that systemd-boot shows for wyrcan.efi.
var choices = []string{"Boot", "Clear NVRAM", "Boot, with a debug shell if that fails", "Boot without network keep"}

// choose waits for the menu, which has one entry for each profile, and starts one of them, after these other keys.
func choose(t *testing.T, v *vm.VM, title string, keys ...string) {
	t.Helper()
	n := 0
	for i, c := range choices {
		v.Wait(`Wyrcan ~ The Container Bootloader \(`+regexp.QuoteMeta(c)+`\)`, vm.Patience)
		if c == title {
			n = i + 1
		}
	}
	v.Wait(menu, stepTime)
	if n == 1 {
		return // the menu starts it by itself
	}
	for _, key := range append(keys, fmt.Sprint(n), "\r") {
		v.Send(key)
		time.Sleep(time.Second)
	}
}

// menuBoot returns the name of a systemd-boot that knows profiles: make's, or this system's.
func menuBoot(t *testing.T) string {
	t.Helper()
	const name = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
	made, err := filepath.Glob(filepath.Join(filepath.Dir(vm.Artefact(t, "wyrcan.efi")), "systemd-*", name))
	if err != nil {
		t.Fatal(err)
	}
	return append(made, "/"+name)[0]
}

// menuMedium makes a boot medium with systemd-boot and a unified kernel image.
func menuMedium(t *testing.T, boot, program string) string {
	t.Helper()
	iso := filepath.Join(t.TempDir(), "menu.iso")
	run(t, "..", "go", "run", "./tools/iso", "-boot", boot, "-uki", program, "-o", iso)
	return iso
}

// snakeoilSigned signs an EFI program with Debian's test key, whose private half is public, and returns the result.
func snakeoilSigned(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	const pair = "/usr/share/ovmf/PkKek-1-snakeoil"
	run(t, dir, "openssl", "rsa", "-in", pair+".key", "-passin", "pass:snakeoil", "-out", "key")
	run(t, dir, "sbsign", "--key", "key", "--cert", pair+".pem", "--output", "signed.efi", program)
	return filepath.Join(dir, "signed.efi")
}

// With Secure Boot on nobody can edit the command line of wyrcan.efi, and the menu has what a person needs: a way to
// remove a configuration from NVRAM that does not boot, and a shell after a failure, such as no configuration.
func TestSlowMenuSecure(t *testing.T) {
	t.Parallel()
	iso := menuMedium(t, snakeoilSigned(t, menuBoot(t)), snakeoilSigned(t, vm.Artefact(t, "wyrcan.efi")))
	store, err := ovmf.Open("/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Add(configured(t, "registry.example/gone")); err != nil {
		t.Fatal(err)
	}
	vars := nvram(filepath.Join(t.TempDir(), "vars.fd"))
	if err := store.WriteFile(string(vars)); err != nil {
		t.Fatal(err)
	}
	m := vm.Machine{CPUs: 1, NICs: []string{"none"}, Reboots: true, First: menu, Firmware: append([]string{
		"-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
		"-global", "ICH9-LPC.disable_s3=1",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
		"-drive", "if=pflash,format=raw,unit=1,file=" + string(vars)}, medium(t, iso, asCD)...)}
	v := m.Start(t)

	choose(t, v, "Clear NVRAM", "e") // without Secure Boot e opens the editor
	v.Wait(`\[yes/no\]`, vm.Patience)
	v.Send("yes\r")
	v.Wait(`wyrboot: NVRAM is cleared`, stepTime)
	v.Wait(`wyrboot: reboots`, stepTime)

	choose(t, v, "Boot, with a debug shell if that fails")
	v.Wait(`^wyrboot: no container image is named`, vm.Patience)
	v.Wait(`press Enter to get a shell`, stepTime)
	v.Send("\r")
	for _, step := range []struct{ command, want string }{
		{"cat /proc/cmdline", `^console=ttyS0,115200 console=tty0 quiet wyr\.debug=shell wyr\.deadline=5min\n`},
		{"dmesg | grep lockdown", `Kernel is locked down from EFI Secure Boot`},
	} {
		v.Wait(`^\$ `, stepTime)
		v.Send(step.command + "\r")
		v.Wait(step.want, stepTime)
	}
	v.Wait(`^\$ `, stepTime)
	v.Send("exit 0\r")
	v.Wait(`wyrboot: reboots`, stepTime)

	choose(t, v, "Boot")
	v.Wait(`^wyrboot: no container image is named`, vm.Patience)
	v.Wait(`Press Enter to reboot`, stepTime)
	v.Stop()
	if got := vars.wyrcan(t); got != nil {
		t.Errorf("after a choice of Clear NVRAM it holds %s", got)
	}
}

// The configuration in NVRAM says wyr.net.keep=yes, which gives this container the kernel's ip=. The menu has an entry
// without that.
func TestSlowMenuKeep(t *testing.T) {
	t.Parallel()
	stored := configured(t, demo(t))
	kept := strings.TrimSuffix(string(stored.Data), "}") + `,"net.keep":true}`
	stored.Data = []byte(kept)
	vars := newNVRAM(t, stored)
	m := vars.from(medium(t, menuMedium(t, menuBoot(t), vm.Artefact(t, "wyrcan.efi")), asCD)...)
	m.First = menu
	v := m.Start(t)
	choose(t, v, "Boot without network keep")
	if line := spoke(t, v); line != "console=ttyS0 demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
	v.Exit(stepTime)
	if got := vars.wyrcan(t); string(got) != kept {
		t.Errorf("NVRAM holds %s, and held %s", got, kept)
	}
}

// The firmware has only a URL for this machine, as Redfish's HttpBootUri stores it. The machine's own file decides what
// it boots, and the UUID in the URL is the one that the machine itself knows.
func TestSlowMachinePath(t *testing.T) {
	t.Parallel()
	const id = "4c4c4544-0042-3510-8054-b4c04f435032"
	machines := t.TempDir()
	write(t, filepath.Join(machines, id+".conf"), "# rack 7\n"+strings.ReplaceAll(vm.Boot(demo(t)), " ", "\n")+
		"\nwyr.arg=console=ttyS0\nwyr.arg=demo=once\nwyr.arg=systemd.machine_id=${uuid}\n")
	serve := exec.Command(vm.Artefact(t, "wyrcan"), "serve", "-http", "127.0.0.1:0", "-tftp", "", "-no-check",
		"-machines", machines, "-append", "console=ttyS0", "registry.example/others")
	said, err := serve.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		serve.Process.Signal(os.Interrupt)
		serve.Wait()
	})
	at := ""
	for lines := bufio.NewScanner(said); at == "" && lines.Scan(); {
		if found := regexp.MustCompile(`http://(127\S+)/m/UUID/wyrcan\.efi`).FindStringSubmatch(lines.Text()); found != nil {
			at = found[1]
		}
	}
	if at == "" {
		t.Fatal("wyrcan serve does not print the URL for a machine")
	}
	go io.Copy(io.Discard, said)
	const messaging, uri = 3, 24
	url := "http://" + fromGuest(at) + "/m/" + strings.ToUpper(id) + "/wyrcan.efi"
	m := newNVRAM(t, bootEntry(messaging, uri, []byte(url), "")...).from("-uuid", id)
	if line := spoke(t, m.Start(t)); line != "console=ttyS0 demo=once systemd.machine_id="+id {
		t.Errorf("the container's command line is %q", line)
	}
}
