package debian

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// A way is how a server is told to start the container, and what its machine then says.
type way struct {
	option string
	again  bool // first the server starts itself once more, with another form of root
	want   map[string]bool
}

// words are those of the container.
const words = `^wyrcan-demo: the container's own words`

// TestKexec has systemd stop the services. That it is told not to wait for them is a slow test.
func TestKexec(t *testing.T) {
	t.Parallel()
	kexecs(t, way{"", false, map[string]bool{
		`^wyrcan: systemd stops the services and starts it$`: true,
		`^server: stopped in order$`:                         true,
		`wyrcan: starting it at once`:                        false,
		words:                                                true,
	}})
}

// kexecs reboots a Debian server into a container from docker's registry, with wyrcan kexec, and returns what the
// machine said.
func kexecs(t *testing.T, by way) string {
	t.Helper()
	vm.Long(t)
	registry := imagetest.Distribution{}.Start(t).Host
	push := func(name string, img v1.Image) string {
		t.Helper()
		dir := t.TempDir()
		path, err := layout.Write(dir, empty.Index)
		if err == nil {
			err = path.AppendImage(img)
		}
		if err != nil {
			t.Fatal(err)
		}
		ref := registry + "/" + name
		if out, err := exec.Command(vm.Artefact(t, "wyrcan"), "push", dir, ref).CombinedOutput(); err != nil {
			t.Fatalf("wyrcan push = %v: %s", err, out)
		}
		return ref
	}
	inGuest := func(ref string) string { return strings.Replace(ref, "127.0.0.1:", "10.0.2.2:", 1) }
	container, itself := inGuest(push("container", demo(t))), push("server", server(t))

	dir := t.TempDir()
	kernel, initrd, cmdline := filepath.Join(dir, "kernel"), filepath.Join(dir, "initrd"), filepath.Join(dir, "cmdline")
	const memory = "1200M"
	out, err := exec.Command(vm.Artefact(t, "wyrcan"), "morph", itself, "-m", memory,
		"-kernel", kernel, "-initrd", initrd, "-cmdline", cmdline, "-wyrinit",
		vm.Artefact(t, "wyrinit")).CombinedOutput()
	if err != nil {
		t.Fatalf("wyrcan morph = %v: %s", err, out)
	}
	line, err := os.ReadFile(cmdline)
	if err != nil {
		t.Fatal(err)
	}

	// Nothing else may print in the middle of a line. The kernel prints nothing once the server runs.
	const silence = " systemd.show_status=no systemd.mask=serial-getty@ttyS0.service"
	words := strings.TrimSpace(string(line)) + silence + " server.image=" + container + " server.option=" + by.option
	if by.again {
		words += " server.next=" + inGuest(itself)
	}
	v := vm.Machine{Memory: memory, CPUs: 2, Long: true, Kernel: kernel, Initrd: initrd, Cmdline: words}.Start(t)
	v.Exit(patience)
	log := v.Said()
	lines(t, log, by.want)
	lines(t, log, map[string]bool{
		`^server: loaded: 1, unloaded: 0$`: true,
		`wyrcan: kernel \S+ of ` + container +
			` is loaded, with an initrd of .* and the command line ` +
			`"console=ttyS0 quiet panic=-1 demo=once"$`: true,
		`^wyrcan-demo: command line +console=ttyS0 quiet panic=-1 demo=once$`: true,
		`^server: wyrcan has failed`:                                          false,
	})
	return log
}

// demo returns a minimal container that only shows that it runs. It has a kernel, an /init and its own command line.
func demo(t *testing.T) v1.Image {
	t.Helper()
	read := func(name string) string {
		b, err := os.ReadFile(vm.Artefact(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return imagetest.Image(t, imagetest.Files(
		imagetest.Dir("boot"),
		imagetest.File("boot/wyrcan.kernel", read("wyrcan.kernel")),
		imagetest.File("boot/wyrcan.cmdline", "console=ttyS0\n"),
		imagetest.File("init", read("wyrcan.demo")).Mode(0o755),
	))
}

// server returns a Debian with the host tool and a unit that runs it when the system is up. The unit starts the image
// server.next of the kernel's command line, if there is one. Else it first loads and unloads the container, and then
// uses the option on the command line. Another unit prints a line when it is stopped.
func server(t *testing.T) v1.Image {
	t.Helper()
	const onConsole = "StandardOutput=tty\nStandardError=inherit\nTTYPath=/dev/console\n"
	const script = `#!/bin/sh
for word in $(cat /proc/cmdline); do
	case $word in server.*) eval "${word#server.}" ;; esac
done
echo "server: / is $(findmnt -n -o FSTYPE /), memory $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
if test "$next"; then
	wyrcan kexec -force -root squashfs -tls-verify=false "$next" -arg "console=ttyS0 panic=-1" \
		-arg "systemd.show_status=no systemd.mask=serial-getty@ttyS0.service" \
		-arg "server.image=$image server.option=$option" || echo "server: wyrcan has failed: $?"
	systemctl poweroff --force --force
fi
state() { cat /sys/kernel/kexec_loaded; }
wyrcan kexec -load -tls-verify=false "$image"
loaded=$(state)
wyrcan kexec -unload
echo "server: loaded: $loaded, unloaded: $(state)"
wyrcan kexec $option -tls-verify=false "$image" -arg "quiet panic=-1" -arg demo=once || {
	echo "server: wyrcan has failed: $?"
	systemctl poweroff --force --force
}
`
	program := func(name string) imagetest.Entry {
		b, err := os.ReadFile(vm.Artefact(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return imagetest.File("usr/local/bin/"+name, string(b)).Mode(0o755)
	}
	unit := func(name, text string) imagetest.Entry {
		return imagetest.File("usr/lib/systemd/system/"+name, text)
	}
	wants := func(name string) imagetest.Entry {
		return imagetest.Symlink("usr/lib/systemd/system/multi-user.target.wants/"+name, "../"+name)
	}
	return onTop(t, made(t), imagetest.Files(
		program("wyrcan"), program("wyrinit"),
		imagetest.File("usr/lib/sysctl.d/silence.conf", "kernel.printk = 4\n"),
		imagetest.File("usr/local/bin/reboot-into", script).Mode(0o755),
		unit("service.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"+
			"ExecStop=/bin/echo server: stopped in order\n"+onConsole),
		unit("reboot-into.service",
			"[Unit]\nWants=network-online.target\nAfter=network-online.target service.service\n"+
				"[Service]\nExecStart=/usr/local/bin/reboot-into\n"+onConsole),
		wants("service.service"), wants("reboot-into.service"),
	))
}
