//go:build slow

package examples

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// patience is the maximum time of a boot: many times the usual time under plain emulation on an idle host.
const patience = 15 * time.Minute

// server returns examples/server for a release of Debian, with the host tool and the unit that docs/host-tool.md has for
// it, and more files.
func server(t *testing.T, release string, more ...imagetest.Entry) v1.Image {
	t.Helper()
	img := imagetest.Layout(t, vm.Artefact(t, "examples/server-"+release+".oci"))
	// The registry of the tests has no TLS.
	const unit = "wyrcan-status.service"
	const plain = "[Service]\nExecStart=\nExecStart=/usr/local/bin/wyrcan status -tls-verify=false\n"
	files := append(more,
		imagetest.Dir("etc/systemd/system/"+unit+".d"),
		imagetest.File("etc/systemd/system/"+unit+".d/plain.conf", plain),
		imagetest.File("usr/local/bin/wyrcan", read(t, vm.Artefact(t, "wyrcan"))).Mode(0o755),
		imagetest.File("etc/systemd/system/"+unit, read(t, "../../examples/status/"+unit)))
	img, err := mutate.AppendLayers(img, imagetest.Files(files...).Blob(t))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// push has skopeo copy an image to a registry, and returns its digest.
func push(t *testing.T, img v1.Image, ref string) string {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendImage(img)
	}
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	skopeo(t, "oci:"+dir, "docker://"+ref)
	return digest.String()
}

func skopeo(t *testing.T, from, to string) {
	t.Helper()
	copied := exec.Command("skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false",
		"--dest-tls-verify=false", from, to)
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("skopeo copy = %v: %s", err, out)
	}
}

// fromGuest returns the name of an image, or an address of this host, for a machine.
func fromGuest(ref string) string { return strings.Replace(ref, "127.0.0.1:", "10.0.2.2:", 1) }

// A host is a machine with an SSH server.
type host struct{ port string }

// newHost returns one with a free port of this host.
func newHost(t *testing.T) host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host{port}
}

// forward is the option of QEMU's user network that has the machine's SSH server listen on that port.
func (h host) forward() string { return "hostfwd=tcp:127.0.0.1:" + h.port + "-:22" }

// ssh runs a command as root on the machine, with this as its input.
func (h host) ssh(ctx context.Context, t *testing.T, input string, command ...string) (string, error) {
	t.Helper()
	argv := append([]string{"-i", vm.Artefact(t, "examples/key"), "-p", h.port, "-o", "BatchMode=yes",
		"-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", "-F", "/dev/null", "root@127.0.0.1"}, command...)
	c := exec.CommandContext(ctx, "ssh", argv...)
	c.Stdin = strings.NewReader(input)
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		err = fmt.Errorf("ssh: %w: %s", err, &said)
	}
	return string(out), err
}

// probe waits for the login prompt on the serial line, asks the machine how it is, and returns the facts.
func (h host) probe(t *testing.T, v *vm.VM, nameServer string) map[string]string {
	t.Helper()
	prompt := v.Wait(`^(\S+) login: `, patience)[1]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out string
	for {
		var err error
		if out, err = h.ssh(ctx, t, read(t, "probe.sh"), "sh", "-s", named, fromGuest(nameServer), builder(t)); err == nil {
			break
		}
		select { // sshd may be ready later than the prompt
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(2 * time.Second):
		}
	}
	facts := map[string]string{"prompt": prompt}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		facts[key] = strings.TrimSpace(value)
		t.Logf("%s", strings.TrimSpace(line))
	}
	return facts
}

// reboots has the machine see that its registry has the image next, by the tool and by its unit, and reboots it.
func (h host) reboots(t *testing.T, next string) {
	t.Helper()
	const script = "wyrcan status -tls-verify=false | grep ^tag\n" +
		"wyrcan status -tls-verify=false >/dev/null 2>&1\n" +
		"echo status $?\n" +
		"systemctl start wyrcan-status && journalctl --unit wyrcan-status --output cat | grep ^tag | tail -n 1\n" +
		"systemctl reboot\n"
	out, err := h.ssh(t.Context(), t, script, "sh", "-s")
	tag := regexp.MustCompile(`(?m)^tag +newer: ` + regexp.QuoteMeta(next) + `; a reboot boots it$`)
	if len(tag.FindAllString(out, -1)) != 2 || !strings.Contains(out, "\nstatus 10\n") {
		t.Fatalf("the machine said %q (%v), want that %s is newer, twice, and status 10", out, err, next)
	}
}

// builder returns a name server of this host, which built the images. Where the host has a stub of its own, its address
// says nothing.
func builder(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(read(t, "/etc/resolv.conf")) {
		fields := strings.Fields(line)
		if len(fields) > 1 && fields[0] == "nameserver" && !strings.HasPrefix(fields[1], "127.") {
			return fields[1]
		}
	}
	return "''"
}

// sound compares the facts of a machine with those of a system that is as it should be, and with more.
func sound(t *testing.T, facts, more map[string]string) {
	t.Helper()
	want := map[string]string{
		"system": "running", "failed": "", "ping": "1 received", "resolv": "../run/systemd/resolve/stub-resolv.conf",
		"stub": address, "nss": address, "localhost": "127.0.0.1", "ntp": "yes active", "journal": "run/log/journal",
		"getty": "active", "status": "0", "unit": "0 1", "link": "routable configured", "builder": "", "lists": "0",
		"timers": "systemd-tmpfiles-clean.timer", "name": facts["prompt"], "prompt": "wyrcan-" + first(facts["id"], 8),
	}
	for key, value := range more {
		want[key] = value
	}
	for key, value := range want {
		if facts[key] != value {
			t.Errorf("%s is %q, want %q", key, facts[key], value)
		}
	}
	if facts["dbus"] != "" && facts["dbus"] != facts["id"] {
		t.Errorf("D-Bus has the id %q, the machine %q", facts["dbus"], facts["id"])
	}
	if facts["myself"] == "0" {
		t.Error("the machine does not know its own name")
	}
}

func first(text string, n int) string { return text[:min(n, len(text))] }

// different fails the test unless two machines have nothing in common that only one may have.
func different(t *testing.T, a, b map[string]string) {
	t.Helper()
	for _, key := range []string{"id", "name", "key"} {
		if a[key] == "" || a[key] == b[key] {
			t.Errorf("%s is %q on one machine and %q on the other", key, a[key], b[key])
		}
	}
}

// variables returns a new file with OVMF's variables.
func variables(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vars.fd")
	if err := os.WriteFile(file, []byte(read(t, "/usr/share/OVMF/OVMF_VARS_4M.fd")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
