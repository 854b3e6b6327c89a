package network

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
)

// linux is the kernel of the network namespace that this program runs in.
type linux struct{}

// watch turns each message about links and addresses into one value. The message may be out of date when it is read,
// and losing one does no harm.
func (linux) watch(ctx context.Context) (<-chan struct{}, error) {
	changed := make(chan struct{}, 1)
	signal := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	links := make(chan netlink.LinkUpdate, 16)
	addrs := make(chan netlink.AddrUpdate, 16)
	lost := func(error) { signal() }
	toLinks := netlink.LinkSubscribeOptions{ErrorCallback: lost}
	if err := netlink.LinkSubscribeWithOptions(links, ctx.Done(), toLinks); err != nil {
		return nil, err
	}
	toAddrs := netlink.AddrSubscribeOptions{ErrorCallback: lost}
	if err := netlink.AddrSubscribeWithOptions(addrs, ctx.Done(), toAddrs); err != nil {
		return nil, err
	}
	go func() { // both channels are closed after the end of ctx
		for range links {
			signal()
		}
	}()
	go func() {
		for range addrs {
			signal()
		}
	}()
	return changed, nil
}

func (linux) look() ([]device, error) {
	list, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	addrs, addrErr := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if addrErr != nil && !errors.Is(addrErr, netlink.ErrDumpInterrupted) {
		return nil, addrErr
	}
	_, noIPv6 := os.Stat("/proc/sys/net/ipv6") // ipv6.disable=1 leaves nothing
	devices := make([]device, len(list))
	for i, l := range list {
		d := &devices[i]
		d.read(l)
		d.ipv6 = noIPv6 == nil
		for j := range addrs {
			if a := &addrs[j]; a.LinkIndex == d.index {
				d.addrs = append(d.addrs, ifAddr{addrOf(a), uint32(a.Flags)})
			}
		}
	}
	return devices, errors.Join(err, addrErr)
}

// read fills in what netlink says of a link.
func (d *device) read(l netlink.Link) {
	a := l.Attrs()
	d.index, d.master, d.mtu, d.flags = a.Index, a.MasterIndex, a.MTU, a.RawFlags
	d.Name, d.AltNames, d.KernelName = a.Name, a.AltNames, a.Name
	d.MAC, d.PermMAC, d.Type = a.HardwareAddr, a.PermHWAddr, a.EncapType
	if k := l.Type(); k != "device" {
		d.Kind = k
	}
	if v, is := l.(*netlink.Vrf); is {
		d.ownTable = v.Table
	}
	d.broadcasts = !d.loopback() && (len(d.MAC) == 6 || len(d.MAC) == infiniBandLen)
}

func (linux) names(link string) predictable { return predictableNames("/sys", link) }

func (linux) sysctl(family, link, key string) string {
	b, _ := os.ReadFile(sysctlPath(family, link, key))
	return strings.TrimSpace(string(b))
}

func sysctlPath(family, link, key string) string {
	return filepath.Join("/proc/sys/net", family, "conf", link, key)
}

func (linux) do(c *change) error { return c.make() }

func (linux) open4(link string, clientPort, serverPort int) (socket4, error) {
	return openPacketSocket(link, clientPort, serverPort)
}

func (linux) open6(link string) (socket6, error) { return openUDPSocket6(link) }

func (linux) openRouters(index int) (routerSocket, error) { return openICMPSocket(index) }
