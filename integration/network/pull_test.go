package network_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// pulls is the environment variable that makes this program read an image, with the resolv.conf(5) that it names.
const pulls = "PULL_WITH_RESOLV_CONF"

// pullHere reads the image that the last argument names, as wyrboot does. ip-netns(8) gives this process mounts of its
// own.
func pullHere(resolvConf string) error {
	if err := unix.Mount(resolvConf, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot mount %s: %w", resolvConf, err)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("it took more than a minute"))
	defer cancel()
	ref := os.Args[len(os.Args)-1]
	host, _, _ := strings.Cut(ref, "/")
	s := &image.Source{Insecure: image.Hosts([]string{host}), Tries: 1}
	img, err := s.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	for _, l := range img.Layers {
		r, err := l.Open(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
	}
	return nil
}

// pull reads an image on the machine's side. It returns what that says, "read" if all is well.
func (w *world) pull(resolvConf, ref string) string {
	w.t.Helper()
	c := exec.Command("ip", "netns", "exec", w.client, os.Args[0], ref)
	c.Env = append(os.Environ(), pulls+"="+resolvConf, "GODEBUG=netdns=go") // as in the busybox, which has no C library
	out, err := c.CombinedOutput()
	if err != nil {
		w.t.Fatalf("pull: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// onServer runs f on the other side, on a thread of that namespace.
func (w *world) onServer(f func() error) {
	w.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good, as in reaches; the sockets stay in their namespace
		ns, err := netns.GetFromName(w.server)
		if err == nil {
			defer ns.Close()
			err = netns.Set(ns)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

// registry serves an image "x:1" at an address of the other side.
func (w *world) registry(address string) {
	w.t.Helper()
	reg := imagetest.Serve(w.t)
	reg.Push(w.t, "x:1", imagetest.Image(w.t, imagetest.Files(imagetest.File("a", strings.Repeat("a", 1<<20)))))
	w.onServer(func() error {
		l, err := net.Listen("tcp", address)
		if err == nil {
			w.t.Cleanup(func() { l.Close() })
			go vm.Forward(l, reg.Host)
		}
		return err
	})
}

// dns starts a DNS server at an address of the other side, which knows that names.
func (w *world) dns(address string, names ...string) *process {
	w.t.Helper()
	args := []string{"dnsmasq", "--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--bind-interfaces",
		"--listen-address=" + address, "--except-interface=lo", "--no-resolv", "--no-hosts", "--local=/lab/",
		"--log-facility=-", "--pid-file="}
	for _, n := range names {
		args = append(args, "--host-record="+n)
	}
	p := w.start(w.server, args...)
	w.eventually("the DNS server is ready", func() bool { return strings.Contains(p.output(), "started") })
	return p
}

// mute listens for DNS at an address of the other side and does not answer.
func (w *world) mute(address string) {
	w.t.Helper()
	w.onServer(func() error {
		c, err := net.ListenPacket("udp", net.JoinHostPort(address, "53"))
		if err == nil {
			w.t.Cleanup(func() { c.Close() })
		}
		return err
	})
}

// TestDeadNameServer has two name servers of which the first does not answer: the image is read, and what the second
// does not know is told as its answer. Then neither answers, and at last there is none.
func TestDeadNameServer(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 1)
	w.peer(0, "10.9.0.1/24", "10.9.0.9/24")
	w.registry("10.9.0.1:5000")
	w.mute("10.9.0.9")
	server := w.dns("10.9.0.1", "registry.lab,10.9.0.1")
	w.dnsmasq("--interface=peer0", "--dhcp-range=10.9.0.50,10.9.0.60,1h", "--dhcp-option=6,10.9.0.9,10.9.0.1")
	w.online(w.wyrnet(nil), 40*time.Second)

	begin := time.Now()
	if got := w.pull(w.resolvConf(), "registry.lab:5000/x:1"); got != "read" {
		t.Errorf("with one dead server: %s", got)
	}
	// The dead server is asked first for each connection, for 2 seconds: over TLS, and then over plain HTTP. With the
	// usual 5 seconds it would be 10.
	if took := time.Since(begin); took > 9500*time.Millisecond {
		t.Errorf("with one dead server it took %v", took)
	}
	const unknown = "cannot reach registry nosuch.lab:5000: the name nosuch.lab is unknown to DNS server 10.9.0.1"
	if got := w.pull(w.resolvConf(), "nosuch.lab:5000/x:1"); got != unknown {
		t.Errorf("an unknown name: %s, want %s", got, unknown)
	}
	server.stop()
	silent := regexp.MustCompile(`^cannot reach registry registry\.lab:5000: (no DNS server has answered in time|` +
		`DNS server 10\.9\.0\.\d does not answer|nothing answers DNS at 10\.9\.0\.1), ` +
		`so the address of registry\.lab is not known$`)
	if got := w.pull(w.resolvConf(), "registry.lab:5000/x:1"); !silent.MatchString(got) {
		t.Errorf("with two dead servers: %s", got)
	}
	none := filepath.Join(w.dir, "none")
	if err := os.WriteFile(none, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := w.pull(none, "registry.lab:5000/x:1"); !strings.Contains(got, ": this machine knows no DNS server, ") {
		t.Errorf("without a server: %s", got)
	}
	if got := w.pull(none, "10.9.0.1:5001/x:1"); got != "cannot reach registry 10.9.0.1:5001: "+
		"10.9.0.1:5001 refuses the connection" {
		t.Errorf("without a registry: %s", got)
	}
	if got := w.pull(none, "[fd00:8::1]:5000/x:1"); got != "cannot reach registry [fd00:8::1]:5000: "+
		"this machine has no route to [fd00:8::1]:5000" {
		t.Errorf("without a route: %s", got)
	}
}

// TestPullIPv6Only has a network in which nobody speaks IPv4: the router's advertisements name the DNS server.
func TestPullIPv6Only(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq", "radvd")
	w := newWorld(t, 1)
	w.peer(0, "fd00:9::1/64")
	w.registry("[fd00:9::1]:5000")
	w.dns("fd00:9::1", "registry.lab,fd00:9::1")
	w.radvd("interface peer0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; " +
		"prefix fd00:9::/64 {}; RDNSS fd00:9::1 {}; };")
	w.online(w.wyrnet(nil), 40*time.Second)
	w.eventually("resolv.conf has the server", func() bool {
		text, err := os.ReadFile(w.resolvConf())
		return err == nil && strings.Contains(string(text), "fd00:9::1")
	})
	for _, ref := range []string{"registry.lab:5000/x:1", "[fd00:9::1]:5000/x:1"} {
		if got := w.pull(w.resolvConf(), ref); got != "read" {
			t.Errorf("%s: %s", ref, got)
		}
	}
	if out := w.ip("-4", "-o", "addr", "show", "dev", "eth0"); out != "" {
		t.Errorf("there is an IPv4 address:\n%s", out)
	}
}

// TestSlowSwitch has a switch that takes 40 seconds until its port forwards.
func TestSlowSwitch(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	w := newWorld(t, 1)
	w.registry("0.0.0.0:5000")
	p := w.wyrnet(nil)
	time.Sleep(40 * time.Second)
	w.peer(0, "10.9.0.1/24")
	w.dnsmasq("--interface=peer0", "--dhcp-range=10.9.0.50,10.9.0.60,1h")
	w.online(p, 20*time.Second)
	if err := os.WriteFile(w.resolvConf(), nil, 0o644); err != nil { // the server names none
		t.Fatal(err)
	}
	if got := w.pull(w.resolvConf(), "10.9.0.1:5000/x:1"); got != "read" {
		t.Errorf("pull: %s", got)
	}
}
