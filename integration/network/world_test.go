// Package network_test runs wyrnet in network namespaces: with real servers in unusual situations, and beside the
// real systemd-networkd with the same files. It needs root, iproute2, dnsmasq-base, radvd, kea and systemd.
package network_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

var worlds atomic.Int32

// wyrnet is the path of the command under test, built as for the busybox but on its own.
var wyrnet string

func TestMain(m *testing.M) {
	if os.Getpid() == 1 { // in the guest of TestSlowGuest
		if err := guest(); err != nil {
			fmt.Println("guest:", err)
		}
		syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	}
	if file := os.Getenv(pulls); file != "" { // started by pull
		if err := pullHere(file); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("read")
		}
		return
	}
	flag.Parse()
	// The tests mostly wait for servers and timers.
	parallel := "24"
	if os.Getenv("IN_GUEST") != "" {
		parallel = "6"
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "wyrnet")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if wyrnet = os.Getenv("WYRNET"); wyrnet == "" && !testing.Short() { // a guest, where there is no Go, sets it
			wyrnet = filepath.Join(dir, "wyrnet")
			if err := lookAtSources(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			build := exec.Command("env", "CGO_ENABLED=0", "go", "build", "-o", wyrnet,
				"gitlab.com/wyrcan/wyrcan/cmds/wyrnet")
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "%v: %s\n", err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// lookAtSources opens the sources of wyrnet, so that go test runs these tests again when one has changed. go test
// looks at the files that a test opens, and most of wyrnet is not linked into the test.
func lookAtSources() error {
	for _, dir := range []string{"../../pkg", "../../cmds/wyrnet"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".go" {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// needRoot skips the test without root. CI is root.
func needRoot(t *testing.T, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: this test makes network namespaces")
	}
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if err := exec.Command("unshare", "--net", "true").Run(); err != nil {
		t.Skipf("root may not make network namespaces here (an unprivileged container?): %v", err)
	}
	for _, p := range append(programs, "ip") {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%v: install iproute2, dnsmasq-base, radvd, kea-dhcp4-server, kea-dhcp6-server and systemd", err)
		}
	}
}

// world is a machine with Ethernet links and the other ends of the links, in two network namespaces. Link N of the
// machine is ethN with the address 02:00:00:00:00:0(N+1), and its other end is peerN.
type world struct {
	t              *testing.T
	client, server string // namespaces
	dir            string
	air            *air // nil: nobody advertises
}

func newWorld(t *testing.T, links int) *world {
	t.Helper()
	id := fmt.Sprintf("wyr%d-%d", os.Getpid(), worlds.Add(1))
	w := &world{t: t, client: id + "c", server: id + "s", dir: t.TempDir()}
	for _, ns := range []string{w.client, w.server} {
		w.run("ip", "netns", "add", ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		w.run("ip", "-n", ns, "link", "set", "lo", "up")
	}
	for i := range links {
		w.addLink(i)
	}
	return w
}

func (w *world) addLink(i int) {
	w.run("ip", "-n", w.client, "link", "add", fmt.Sprintf("eth%d", i), "address",
		fmt.Sprintf("02:00:00:00:00:%02x", i+1),
		"type", "veth", "peer", "name", fmt.Sprintf("peer%d", i), "address", fmt.Sprintf("02:00:00:00:01:%02x", i+1),
		"netns", w.server)
}

// run runs a command and returns its output.
func (w *world) run(args ...string) string {
	w.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ip runs ip(8) on the machine's side.
func (w *world) ip(args ...string) string {
	return w.run(append([]string{"ip", "-n", w.client}, args...)...)
}

// far runs ip(8) on the other side.
func (w *world) far(args ...string) string {
	return w.run(append([]string{"ip", "-n", w.server}, args...)...)
}

// process is a program that runs until the test ends.
type process struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	out  bytes.Buffer
	done chan struct{}
	err  error
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// stop ends the process and what it started.
func (p *process) stop() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

// start runs a program in a namespace until the test ends.
func (w *world) start(ns string, args ...string) *process {
	w.t.Helper()
	p := &process{cmd: exec.Command("ip", append([]string{"netns", "exec", ns}, args...)...), done: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	w.t.Cleanup(p.stop)
	return p
}

// wyrnet starts wyrnet on the machine with the files, each "NAME.KIND: text".
func (w *world) wyrnet(files map[string]string, args ...string) *process {
	w.t.Helper()
	w.writeFiles(filepath.Join(w.dir, "root/etc/systemd/network"), files)
	return w.start(w.client, append([]string{wyrnet, "-C", filepath.Join(w.dir, "root"), "-r", w.resolvConf()},
		args...)...)
}

func (w *world) resolvConf() string { return filepath.Join(w.dir, "resolv.conf") }

func (w *world) writeFiles(dir string, files map[string]string) {
	w.t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// dnsmasq starts a server for DHCP, router advertisements or both on the other side, without DNS.
func (w *world) dnsmasq(args ...string) *process {
	w.t.Helper()
	id := worlds.Add(1)
	p := w.start(w.server, append([]string{"dnsmasq", "--keep-in-foreground", "--user=root", "--conf-file=/dev/null",
		"--port=0", "--bind-interfaces", "--no-ping", "--log-dhcp", "--log-facility=-",
		"--dhcp-authoritative", "--dhcp-leasefile=" + filepath.Join(w.dir, fmt.Sprintf("leases%d", id)),
		"--pid-file="}, args...)...)
	w.eventually("dnsmasq is ready", func() bool { return strings.Contains(p.output(), "DHCP") })
	return p
}

// radvd starts a router on the other side.
func (w *world) radvd(conf string) *process {
	w.t.Helper()
	path := filepath.Join(w.dir, fmt.Sprintf("radvd%d.conf", worlds.Add(1)))
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		w.t.Fatal(err)
	}
	// radvd refuses to advertise unless the machine forwards.
	w.run("ip", "netns", "exec", w.server, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	return w.start(w.server, "radvd", "-n", "-C", path, "-p", path+".pid", "-m", "stderr")
}

// peer brings the other end of link i up with the addresses.
func (w *world) peer(i int, addresses ...string) {
	w.t.Helper()
	dev := fmt.Sprintf("peer%d", i)
	for _, a := range addresses {
		args := []string{"addr", "add", a, "dev", dev}
		if strings.Contains(a, ":") {
			args = append(args, "nodad")
		}
		w.far(args...)
	}
	w.far("link", "set", dev, "up")
}

// eventually polls until f is true, and fails after 30 seconds.
func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	w.within(30*time.Second, what, f)
}

func (w *world) within(d time.Duration, what string, f func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(d); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s\naddresses:\n%s\nroutes:\n%s%s", what, w.ip("-br", "addr"),
				w.ip("route"), w.ip("-6", "route"))
		}
	}
}

// route is a route in the output of ip -j route.
type route struct {
	Dst, Gateway, Dev, Protocol, Scope, Prefsrc string
	Metric                                      int
	Flags                                       []string
}

func (w *world) routes(family string) []route {
	w.t.Helper()
	var out []route
	if err := json.Unmarshal([]byte(w.ip("-j", family, "route")), &out); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) hasRoute(family, dst, gateway, dev string) bool {
	for _, r := range w.routes(family) {
		if r.Dst == dst && r.Gateway == gateway && r.Dev == dev {
			return true
		}
	}
	return false
}

// hasAddress reports whether the link has the address, ready for use.
func (w *world) hasAddress(dev, prefix string) bool {
	out := w.ip("-o", "addr", "show", "dev", dev)
	for line := range strings.Lines(out) {
		if strings.Contains(line, " "+prefix+" ") && !strings.Contains(line, "tentative") {
			return true
		}
	}
	return false
}

// reaches reports whether a host answers the machine: on a port without a listener the host itself refuses the
// connection.
func (w *world) reaches(addr string) bool {
	w.t.Helper()
	answer := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread in the other namespace ends with this goroutine
		ns, err := netns.GetFromName(w.client)
		if err == nil {
			defer ns.Close()
			err = netns.Set(ns)
		}
		if err == nil {
			var c net.Conn
			if c, err = net.DialTimeout("tcp", net.JoinHostPort(addr, "9"), 3*time.Second); err == nil {
				c.Close()
			}
		}
		answer <- err
	}()
	err := <-answer
	return err == nil || errors.Is(err, syscall.ECONNREFUSED)
}
