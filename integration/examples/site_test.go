//go:build slow

package examples

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// The address of a site's only server, and that of its machine.
const siteAddress, machineAddress, machineMAC = "10.79.0.1", "10.79.0.2", "52:54:00:79:00:02"

// A site is a network namespace with one cable, and a server of names and addresses at its end. A registry is there at
// port 5000, with the name registry.example.
type site struct {
	name string
	nic  string // a value of -nic
}

// newSite makes a site. Its registry is the one at the address outside.
func newSite(t *testing.T, registry string) site {
	t.Helper()
	imagetest.NeedsPrograms(t, "ip", "dnsmasq", "ssh")
	s := site{fmt.Sprintf("wyrcan-%s-%d", strings.ToLower(t.Name()), os.Getpid()),
		"tap,ifname=tap0,script=no,downscript=no,model=virtio-net-pci," +
			"mac=" + machineMAC}
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", s.name).Run() }) // it may not exist yet
	ip := func(line string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	ip("netns add " + s.name)
	for _, line := range []string{
		"link set lo up", "tuntap add tap0 mode tap", "address add " + siteAddress + "/24 dev tap0",
		"address add fd00:79::1/64 dev tap0 nodad", "link set tap0 up",
	} {
		ip("-n " + s.name + " " + line)
	}
	names := exec.Command("ip", "netns", "exec", s.name, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
		"--no-resolv", "--no-hosts", "--user=root", "--pid-file=", "--interface=tap0", "--bind-interfaces",
		"--leasefile-ro", "--domain=wyrcan.example", "--host-record=registry.example,"+siteAddress,
		"--dhcp-range="+machineAddress+","+machineAddress, "--dhcp-host="+machineMAC+","+machineAddress,
		"--dhcp-range=fd00:79::,ra-only", "--enable-ra")
	if err := names.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { names.Process.Kill(); names.Wait() })
	s.forward(t, "5000", registry)
	return s
}

// forward forwards connections to a port of the site's server.
func (s site) forward(t *testing.T, port, outside string) {
	t.Helper()
	var listener net.Listener
	if err := vm.InNetNS(s.name, func() (err error) {
		listener, err = net.Listen("tcp4", siteAddress+":"+port)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go vm.Forward(listener, outside)
}

// says returns what the machine says when it runs a script.
func (s site) says(t *testing.T, script string) string {
	t.Helper()
	_, said := s.ssh(t, script)
	return said
}

// wants fails the test unless each pattern matches in what the machine says when it runs a script. It returns that.
func (s site) wants(t *testing.T, script string, patterns ...string) string {
	t.Helper()
	said := s.says(t, script)
	for _, pattern := range patterns {
		if !regexp.MustCompile("(?m)" + pattern).MatchString(said) {
			t.Errorf("the machine did not say %q:\n%s", pattern, said)
		}
	}
	return said
}

// ssh has root's shell on the machine read a script, once the machine has its SSH server. It returns the host's key and
// what the script wrote.
func (s site) ssh(t *testing.T, script string) (key, said string) {
	t.Helper()
	known := filepath.Join(t.TempDir(), "known")
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Second) {
		c := exec.Command("ip", "netns", "exec", s.name, "ssh", "-i", vm.Artefact(t, "examples/key"), "-T",
			"-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile="+known,
			"-o", "HashKnownHosts=no", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=5", "root@"+machineAddress, "sh")
		c.Stdin = strings.NewReader(script)
		out, err := c.CombinedOutput()
		if b, _ := os.ReadFile(known); len(b) > 0 { // it has shown its key
			if c.ProcessState.ExitCode() == 255 {
				t.Fatalf("ssh: %v: %s", err, out)
			}
			return string(b), string(out)
		}
		if time.Now().After(deadline) {
			t.Fatalf("ssh: %v: %s", err, out)
		}
	}
}

// reboot has the machine reboot, once it has answered, and waits until Wyrcan runs.
func (s site) reboot(t *testing.T, v *vm.VM) {
	t.Helper()
	s.ssh(t, "{ sleep 1; reboot; } > /dev/null 2>&1 &")
	v.Wait(`reboot: Restarting system$`, patience) // not what the boot before this one said
	v.Wait(`wyrboot: Wyrcan `, patience)
}
