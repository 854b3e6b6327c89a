package coldplug

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// uevents receives the kernel's messages about devices.
type uevents struct{ f *os.File }

// listen opens the socket. Messages wait in it until they are read.
func listen() (*uevents, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK,
		unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for devices: %w", err)
	}
	// A large machine sends thousands of messages while its drivers load. A
	// smaller buffer does no harm: next then returns ENOBUFS.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	// The kernel sends to group 1, udev to group 2.
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot listen for devices: %w", err)
	}
	return &uevents{os.NewFile(uintptr(fd), "uevents")}, nil
}

// next waits for a message and returns its variables. Close ends the wait.
func (u *uevents) next() (map[string]string, error) {
	b := make([]byte, 16<<10) // UEVENT_BUFFER_SIZE is 2 KiB, and a header
	n, err := u.f.Read(b)
	if err != nil {
		return nil, err
	}
	return parseUevent(b[:n]), nil
}

// Close closes the socket.
func (u *uevents) Close() error { return u.f.Close() }

// parseUevent parses "add@/devices/…" and the KEY=VALUE strings that follow, each
// ended by a zero byte (lib/kobject_uevent.c). It skips the first string, which only
// repeats ACTION and DEVPATH.
func parseUevent(b []byte) map[string]string {
	vars := make(map[string]string)
	for _, field := range bytes.Split(b, []byte{0}) {
		if key, value, ok := bytes.Cut(field, []byte{'='}); ok && !bytes.Contains(key, []byte{'@'}) {
			vars[string(key)] = string(value)
		}
	}
	return vars
}
