//go:build slow

package debian

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestSlowKeptNetwork boots a machine in a network without a DHCP server. Two of its cards form a bond, on which a VLAN
// has an address; a third card has another address. Wyrcan reaches its registry only through the arguments. With
// wyr.net.keep=yes the container keeps these addresses, although its own files ask for DHCP.
func TestSlowKeptNetwork(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a network of its own needs root")
	}
	image := onTop(t, made(t), imagetest.Files(
		imagetest.File("usr/lib/systemd/system/word.socket", "[Socket]\nListenStream=7\nAccept=yes\n"),
		imagetest.File("usr/lib/systemd/system/word@.service",
			"[Service]\nExecStart=/bin/cat /proc/cmdline\nStandardOutput=socket\n"),
		imagetest.Symlink("usr/lib/systemd/system/sockets.target.wants/word.socket", "../word.socket"),
	))
	registry := imagetest.Serve(t)
	registry.Push(t, "debian", image)

	// The other ends: a switch with VLAN 7 on the ports of the bond, and a cable to the third card.
	space := newSpace(t)
	dir := t.TempDir()
	trunk := newTrunk(t, space, "vlan7", 7, filepath.Join(dir, "a"), filepath.Join(dir, "b"))
	space.ip("tuntap add tap0 mode tap")
	for device, address := range map[string]string{"vlan7": "10.77.7.1/24", "tap0": "10.78.0.1/24"} {
		space.ip("address add " + address + " dev " + device)
		space.ip("link set " + device + " up")
	}
	space.forward(t, "10.77.7.1:5000", registry.Host)

	ctx, cancel := context.WithCancel(t.Context())
	addresses := []string{"10.77.7.2:7", "10.78.0.2:7"}
	words, failures := make([]string, len(addresses)), make([]error, len(addresses))
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for i, address := range addresses {
			words[i], failures[i] = space.ask(ctx, address)
		}
	}()
	v := vm.Machine{
		Memory: "1G",
		NetNS:  space.name,
		NICs:   []string{"tap,ifname=tap0,script=no,downscript=no,model=virtio-net-pci"},
		QEMU: []string{
			"-netdev", trunk[0] + ",id=a", "-device", "virtio-net-pci,netdev=a,mac=52:54:00:00:00:0a",
			"-netdev", trunk[1] + ",id=b", "-device", "virtio-net-pci,netdev=b,mac=52:54:00:00:00:0b",
		},
		Cmdline: "panic=-1 " + vm.Boot("10.77.7.1:5000/debian") +
			" wyr.arg=console=ttyS0 wyr.arg=panic=-1 wyr.arg=kept=here wyr.net.keep=yes" +
			" wyr.net.netdev.up.NetDev.Name=up wyr.net.netdev.up.NetDev.Kind=bond " +
			"wyr.net.netdev.up.Bond.Mode=active-backup" +
			" wyr.net.netdev.up.Bond.MIIMonitorSec=100ms" +
			` wyr.net.members.Match.PermanentMACAddress="52:54:00:00:00:0a 52:54:00:00:00:0b" ` +
			`wyr.net.members.Network.Bond=up` +
			" wyr.net.netdev.v7.NetDev.Name=v7 wyr.net.netdev.v7.NetDev.Kind=vlan wyr.net.netdev.v7.VLAN.Id=7" +
			" wyr.net.up.Match.Name=up wyr.net.up.Network.VLAN=v7 wyr.net.up.Network.LinkLocalAddressing=no" +
			" wyr.net.v7.Match.Name=v7 wyr.net.v7.Network.Address=10.77.7.2/24 wyr.net.v7.Network.Gateway=10.77.7.1" +
			" wyr.net.plain.Match.Name=eth* wyr.net.plain.Network.Address=10.78.0.2/24",
	}.Start(t)
	select {
	case <-answered:
	case <-time.After(patience):
	}
	v.Stop()
	cancel()
	<-answered
	for i, address := range addresses {
		switch {
		case failures[i] != nil:
			t.Errorf("%s does not answer: %v", address, failures[i])
		case !strings.Contains(words[i], "kept=here"):
			t.Errorf("%s answers %q, which is not the container", address, words[i])
		default:
			t.Logf("%s answers %q", address, strings.TrimSpace(words[i]))
		}
	}
}

// space is a network namespace that ends with the test.
type space struct {
	t    *testing.T
	name string
}

func newSpace(t *testing.T) space {
	t.Helper()
	s := space{t, fmt.Sprintf("wyrcan-kept-%d", os.Getpid())}
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", s.name).Run() }) // it may not exist yet
	if out, err := exec.Command("ip", "netns", "add", s.name).CombinedOutput(); err != nil {
		t.Fatalf("ip netns add: %v: %s", err, out)
	}
	s.ip("link set lo up")
	return s
}

func (s space) ip(line string) {
	s.t.Helper()
	if out, err := exec.Command("ip",
		append([]string{"-n", s.name}, strings.Fields(line)...)...).CombinedOutput(); err != nil {
		s.t.Fatalf("ip %s: %v: %s", line, err, out)
	}
}

// do calls f in the namespace.
func (s space) do(f func() error) error { return vm.InNetNS(s.name, f) }

// forward forwards connections from an address in the namespace to an address outside.
func (s space) forward(t *testing.T, inside, outside string) {
	t.Helper()
	var listener net.Listener
	if err := s.do(func() (err error) { listener, err = net.Listen("tcp4", inside); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go vm.Forward(listener, outside)
}

// ask connects to an address from the namespace until there is an answer, and returns the answer.
func (s space) ask(ctx context.Context, address string) (word string, err error) {
	for {
		err = s.do(func() error {
			conn, err := net.DialTimeout("tcp4", address, 3*time.Second)
			if err != nil {
				return err
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			b, err := io.ReadAll(conn)
			word = string(b)
			return err
		})
		if err == nil {
			return word, nil
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(time.Second):
		}
	}
}

// newTrunk starts a switch. Its access port is a network device in the namespace. Its trunk ports, returned as values
// of -netdev, carry frames with the VLAN's tag; this host's kernel may not support VLANs. The switch sends every frame
// to all ports.
func newTrunk(t *testing.T, s space, device string, vlan uint16, paths ...string) (ports []string) {
	t.Helper()
	access := newTap(t, s, device)
	const header, tag = 12, 4 // the two addresses; the type 0x8100 and the VLAN: IEEE 802.1Q
	var lines []*net.UnixConn
	for _, path := range paths {
		here, there := &net.UnixAddr{Name: path, Net: "unixgram"}, path+"-qemu"
		conn, err := net.ListenUnixgram("unixgram", here)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		lines = append(lines, conn)
		ports = append(ports,
			fmt.Sprintf("dgram,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s", there, path))
		go func() {
			frame := make([]byte, 1<<16)
			for {
				n, err := conn.Read(frame)
				if err != nil {
					return
				}
				if n < header+tag || binary.BigEndian.Uint16(frame[header:]) != 0x8100 ||
					binary.BigEndian.Uint16(frame[header+2:])&0xfff != vlan {
					continue
				}
				access.Write(append(frame[:header:header], frame[header+tag:n]...))
			}
		}()
	}
	go func() {
		frame := make([]byte, 1<<16)
		for {
			n, err := access.Read(frame)
			if err != nil {
				return
			}
			tagged := binary.BigEndian.AppendUint16(frame[:header:header], 0x8100)
			tagged = append(binary.BigEndian.AppendUint16(tagged, vlan), frame[header:n]...)
			for i, line := range lines {
				// Fails while no machine is connected.
				line.WriteTo(tagged, &net.UnixAddr{Name: paths[i] + "-qemu", Net: "unixgram"})
			}
		}
	}()
	return ports
}

// newTap creates a network device whose other end is this process.
func newTap(t *testing.T, s space, name string) *os.File {
	t.Helper()
	request, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	var fd int
	if err := s.do(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}); err != nil {
		t.Fatalf("cannot create %s: %v", name, err)
	}
	tap := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { tap.Close() })
	return tap
}
