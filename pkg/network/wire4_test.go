package network

import (
	"bytes"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// tapLink makes a link and returns its other end. The calling thread is in a network namespace of its own afterwards
// and must not be used for anything else. The link is Ethernet: without an adapter the kernel has no IP over
// InfiniBand.
func tapLink(t *testing.T) *os.File {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	runtime.LockOSThread() // for good: the thread ends with the test
	ns, err := netns.New()
	if err != nil {
		t.Skipf("root may not make network namespaces here: %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no such links here: %v", err)
	}
	var request struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], "tap0")
	request.flags = unix.IFF_TAP | unix.IFF_NO_PI
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF,
		uintptr(unsafe.Pointer(&request))); errno != 0 {
		t.Skipf("no such links here: %v", errno)
	}
	tap := os.NewFile(uintptr(fd), "tap")
	t.Cleanup(func() { tap.Close() })
	l, err := netlink.LinkByName("tap0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	return tap
}

// TestSendTo checks that the kernel accepts a hardware address that is longer than sockaddr_ll has room for. This
// Ethernet link uses the first six bytes of one with 20.
func TestSendTo(t *testing.T) {
	done := make(chan struct{})
	go func() { // the thread is given up
		defer close(done)
		tap := tapLink(t)
		w, err := openPacketSocket("tap0", 68, 67)
		if err != nil {
			t.Error(err)
			return
		}
		defer w.Close()
		packet := datagram4([]byte("hello"), 68, 67)
		to := []byte{2, 0, 0, 0, 9, 9, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
		if err := w.sendTo(packet, to); err != nil {
			t.Error(err)
			return
		}
		if err := tap.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Error(err)
		}
		b := make([]byte, 2000)
		for {
			n, err := tap.Read(b)
			if err != nil {
				t.Errorf("the frame does not come: %v", err)
				return
			}
			if bytes.HasSuffix(b[:n], packet) { // the system sends, too
				if !bytes.Equal(b[:6], to[:6]) {
					t.Errorf("it is for %x", b[:6])
				}
				return
			}
		}
	}()
	<-done
}

// TestBroadcastAddress checks the kernel's broadcast address for IPv4 on InfiniBand: ipv4_bcast_addr in ipoib_main.c.
// The kernel fills in the two bytes of the partition when it sends.
func TestBroadcastAddress(t *testing.T) {
	got := broadcastAddress(&net.Interface{HardwareAddr: make([]byte, infiniBandLen)})
	if want := unhex(t, "00ffffff ff12401b ffff0000 00000000 ffffffff"); !bytes.Equal(got, want) {
		t.Errorf("to all is %x, want %x", got, want)
	}
	if got := broadcastAddress(&net.Interface{HardwareAddr: make([]byte, 6)}); !bytes.Equal(got,
		unhex(t, "ffffffffffff")) {
		t.Errorf("to all on Ethernet is %x", got)
	}
}
