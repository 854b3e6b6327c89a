// Package raw sends packets with any bytes in them, as no proper router or server would, in a network namespace of a
// test. It cannot receive.
package raw

import (
	"fmt"
	"net"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Wire is an Ethernet link to send frames on.
type Wire struct {
	fd    int
	index int
	mac   net.HardwareAddr
}

// Open returns a wire for the device in the named network namespace.
func Open(namespace, device string) (w *Wire, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread in the other namespace ends with this goroutine
		w, err = open(namespace, device)
	}()
	<-done
	return w, err
}

func open(namespace, device string) (*Wire, error) {
	ns, err := netns.GetFromName(namespace)
	if err != nil {
		return nil, fmt.Errorf("cannot find the namespace %s: %w", namespace, err)
	}
	defer ns.Close()
	if err := netns.Set(ns); err != nil {
		return nil, fmt.Errorf("cannot enter the namespace %s: %w", namespace, err)
	}
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // 0: nothing is received
	if err != nil {
		return nil, fmt.Errorf("cannot open a packet socket: %w", err)
	}
	return &Wire{fd: fd, index: ifi.Index, mac: ifi.HardwareAddr}, nil
}

// Close ends the wire.
func (w *Wire) Close() error { return unix.Close(w.fd) }

// Frame sends a payload of the Ethernet type to a hardware address.
func (w *Wire) Frame(to net.HardwareAddr, kind uint16, payload []byte) error {
	frame := append(append([]byte{}, to...), w.mac...)
	frame = append(frame, byte(kind>>8), byte(kind))
	frame = append(frame, payload...)
	return unix.Sendto(w.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: w.index})
}
