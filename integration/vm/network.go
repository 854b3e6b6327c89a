package vm

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
)

// Boot returns the arguments that boot the image ref from a registry of the tests, including the one that allows plain
// HTTP.
func Boot(ref string) string {
	registry, _, _ := strings.Cut(ref, "/")
	return "wyr.img=" + ref + " wyr.insecure=" + registry
}

// InNetNS calls f in a named network namespace. The sockets and devices that f creates stay there.
func InNetNS(name string, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := netns.GetFromName(name)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		return err
	}
	return errors.Join(f(), netns.Set(home))
}

// Forward forwards connections to another address until the listener is closed.
func Forward(l net.Listener, address string) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer to.Close()
			go io.Copy(to, from)
			io.Copy(from, to)
		}()
	}
}
