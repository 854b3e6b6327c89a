package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// dhcp4 gets a lease on one link and keeps it. It sends a *lease4 for each lease, and a nil one when the lease has
// ended.
type dhcp4 struct {
	*client
	open     func(clientPort, serverPort int) (socket4, error)
	mac      net.HardwareAddr
	conf     netconf.DHCPv4
	hostname string

	leased bool                // the session had a lease
	failed map[netip.Addr]bool // servers that did not confirm what they offered
}

// mostFailed limits how many failed servers are remembered: an attacker may invent servers.
const mostFailed = 64

// The waits between two transmissions of a message that is not answered. RFC 2131 section 4.1 begins at 4 s and
// doubles up to 64 s. A switch port that forwards only after 30 s must not cost a minute, so these begin lower and
// end at 8 s.
var waits = [...]time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

// wait returns the n-th wait, up to a fifth shorter or longer, so that the machines of a rack do not ask at the same
// time.
func wait(n int) time.Duration {
	w := waits[min(n, len(waits)-1)]
	return w - w/5 + rand.N(2*w/5)
}

// longWait returns the n-th wait while there is a lease: a server that is down for long is asked once a minute (RFC
// 2131 section 4.4.5), not every few seconds.
func longWait(n int) time.Duration {
	if n < len(waits) {
		return wait(n)
	}
	return time.Minute - rand.N(5*time.Second)
}

var errNoAnswer = errors.New("no answer")

// run asks for leases until ctx ends.
func (d *dhcp4) run(ctx context.Context) {
	for try := 0; ctx.Err() == nil; try++ {
		err := d.session(ctx)
		if d.leased { // the count of attempts begins anew
			d.leased, try = false, 0
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !errors.Is(err, errNoAnswer) {
			d.say(remark(fmt.Sprintf("DHCPv4: %v", err)))
		}
		if d.conf.MaxAttempts > 0 && try+1 >= d.conf.MaxAttempts {
			return
		}
		sleep(ctx, wait(try))
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// session gets one lease and keeps it until it ends.
func (d *dhcp4) session(ctx context.Context) error {
	client, server := cmp.Or(d.conf.ListenPort, dhcpv4.ClientPort), cmp.Or(d.conf.ServerPort, dhcpv4.ServerPort)
	socket, err := d.open(client, server)
	if err != nil {
		return fmt.Errorf("cannot open a socket: %w", err)
	}
	w := listen4(socket, d.mac, client, server, d.clientID())
	defer w.Close()
	lease, err := d.obtain(ctx, w)
	if err != nil {
		return err
	}
	d.leased = true
	defer d.say((*lease4)(nil))
	for {
		d.say(lease)
		if lease.lifetime == 0 {
			<-ctx.Done()
			return ctx.Err()
		}
		sleep(ctx, time.Until(lease.since.Add(lease.renew)))
		if lease, err = d.extend(ctx, w, lease); err != nil {
			return err
		}
	}
}

// obtain sends DISCOVER and REQUEST. A server that does not confirm its offer must not block the offers of other
// servers: the next offer is tried, and next time that server comes last.
func (d *dhcp4) obtain(ctx context.Context, w *wire4) (*lease4, error) {
	discover, err := dhcpv4.NewDiscovery(d.mac, d.modifiers()...)
	if err != nil {
		return nil, err
	}
	offers, err := d.discover(ctx, w, discover)
	if err != nil {
		return nil, err
	}
	if d.failed == nil || len(d.failed) > mostFailed {
		d.failed = map[netip.Addr]bool{}
	}
	for i := 0; i < len(offers); i++ { // request may add offers
		var ack *dhcpv4.DHCPv4
		if ack, err = d.request(ctx, w, offers[i], &offers); err == nil {
			delete(d.failed, server4(offers[i]))
			return readLease4(ack), nil
		}
		d.failed[server4(offers[i])] = true
	}
	return nil, err
}

// discover returns the first offer of an address. It skips offers without one: a proxyDHCP server sends those, which
// hands out boot files only (PXE 2.1, section 2.2.3). The offer of a server that has failed before is used only if no
// other comes before the question is repeated.
func (d *dhcp4) discover(ctx context.Context, w *wire4, m *dhcpv4.DHCPv4) ([]*dhcpv4.DHCPv4, error) {
	var held []*dhcpv4.DHCPv4
	fits := func(p *dhcpv4.DHCPv4) bool {
		if p.MessageType() != dhcpv4.MessageTypeOffer || !d.usable(p) {
			return false
		}
		if d.failed[server4(p)] {
			held = addOffer(held, p)
			return false
		}
		return true
	}
	q := &question4{m: m, send: w.broadcast, fits: fits}
	for n := 0; ; n++ {
		p, err := w.ask(ctx, q, wait(n))
		switch {
		case err == nil:
			return append([]*dhcpv4.DHCPv4{p}, held...), nil
		case !errors.Is(err, errNoAnswer):
			return nil, err
		case len(held) > 0:
			return held, nil
		}
	}
}

// addOffer adds an offer, one for each server and at most 16.
func addOffer(offers []*dhcpv4.DHCPv4, p *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
	same := func(o *dhcpv4.DHCPv4) bool { return server4(o) == server4(p) }
	if len(offers) >= 16 || slices.ContainsFunc(offers, same) {
		return offers
	}
	return append(offers, p)
}

// request asks for what was offered, and adds what other servers offer meanwhile to offers. If there is another
// offer, it asks only once.
func (d *dhcp4) request(
	ctx context.Context, w *wire4, offer *dhcpv4.DHCPv4, offers *[]*dhcpv4.DHCPv4,
) (*dhcpv4.DHCPv4, error) {
	m, err := dhcpv4.NewRequestFromOffer(offer, d.modifiers()...)
	if err != nil {
		return nil, err
	}
	fits := func(p *dhcpv4.DHCPv4) bool {
		if p.MessageType() == dhcpv4.MessageTypeOffer && d.usable(p) && !d.failed[server4(p)] {
			*offers = addOffer(*offers, p)
		}
		return server4(p) == server4(offer) && d.decides(p)
	}
	var answer *dhcpv4.DHCPv4
	q := &question4{m: m, send: w.broadcast, fits: fits}
	err = errNoAnswer
	for n := 0; errors.Is(err, errNoAnswer) && n < 4 && (n < 1 || (*offers)[len(*offers)-1] == offer); n++ {
		answer, err = w.ask(ctx, q, wait(n))
	}
	if err != nil {
		return nil, fmt.Errorf("server %s offered %s but did not confirm it: %w", server4(offer), offer.YourIPAddr, err)
	}
	if answer.MessageType() == dhcpv4.MessageTypeNak {
		return nil, fmt.Errorf("server %s refused %s%s", server4(offer), offer.YourIPAddr, because(answer.Message()))
	}
	return answer, nil
}

func because(message string) string {
	if message == "" {
		return ""
	}
	return fmt.Sprintf(": %q", printable.Line(message))
}

// extend renews the lease or returns why it has ended: RFC 2131 section 4.4.5. Until T2 only the lease's server is
// asked and only its answer counts; after T2 all servers are asked.
func (d *dhcp4) extend(ctx context.Context, w *wire4, old *lease4) (*lease4, error) {
	ctx, cancel := context.WithDeadline(ctx, old.since.Add(old.lifetime))
	defer cancel()
	ack, err := d.renew(ctx, w, old)
	if errors.Is(err, errNoAnswer) {
		ack, err = d.rebind(ctx, w, old)
	}
	if err != nil {
		return nil, fmt.Errorf("the lease of %s ran out: %w", old.prefix.Addr(), err)
	}
	if ack.MessageType() == dhcpv4.MessageTypeNak {
		return nil, fmt.Errorf("server %s took %s back%s", server4(ack), old.prefix.Addr(), because(ack.Message()))
	}
	if server4(ack) == old.server {
		for code, value := range old.ack.Options { // Windows' server omits in a renewal what it said before
			if _, there := ack.Options[code]; !there {
				ack.Options[code] = value
			}
		}
		ack.BootFileName = cmp.Or(ack.BootFileName, old.ack.BootFileName)
	}
	return readLease4(ack), nil
}

// again4 returns the request to extend a lease, with a new transaction ID.
func (d *dhcp4) again4(old *lease4) (*dhcpv4.DHCPv4, error) {
	m, err := dhcpv4.NewRenewFromAck(old.ack, d.modifiers()...)
	if err != nil {
		return nil, err
	}
	m.TransactionID, err = dhcpv4.GenerateTransactionID()
	return m, err
}

// renew asks the server that gave the lease until T2. It returns errNoAnswer at T2, or as soon as the kernel reports
// that the server cannot be reached: after a network has moved the machine must not wait for T2.
func (d *dhcp4) renew(ctx context.Context, w *wire4, old *lease4) (*dhcpv4.DHCPv4, error) {
	m, err := d.again4(old)
	if err != nil {
		return nil, err
	}
	conn, err := w.socket.unicast(ctx, old.prefix.Addr(), old.server)
	if err != nil {
		return nil, errNoAnswer
	}
	defer conn.Close()
	gone := false
	send := func(m *dhcpv4.DHCPv4) error {
		_, err := conn.Write(m.ToBytes())
		gone = errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ENETUNREACH)
		return nil // after any other error a later message may get through
	}
	fits := func(p *dhcpv4.DHCPv4) bool {
		return server4(p) == old.server && d.decides(p)
	}
	until, cancel := context.WithDeadline(ctx, old.since.Add(old.rebind))
	defer cancel()
	q := &question4{m: m, send: send, fits: fits}
	for n := 0; !gone && until.Err() == nil; n++ {
		if ack, err := w.ask(until, q, longWait(n)); err == nil {
			return ack, nil
		}
	}
	return nil, cmp.Or(ctx.Err(), errNoAnswer)
}

// rebind asks all servers until the lease ends. It accepts an acknowledgement from any server, and a refusal from the
// lease's own server. A refusal from another server counts only if nobody acknowledges: that server may not know the
// lease, or the network has moved.
func (d *dhcp4) rebind(ctx context.Context, w *wire4, old *lease4) (*dhcpv4.DHCPv4, error) {
	m, err := d.again4(old)
	if err != nil {
		return nil, err
	}
	var refusal *dhcpv4.DHCPv4
	fits := func(p *dhcpv4.DHCPv4) bool {
		switch p.MessageType() {
		case dhcpv4.MessageTypeAck:
			return d.usable(p)
		case dhcpv4.MessageTypeNak:
			if server4(p) == old.server {
				return true
			}
			if d.allowed(p) {
				refusal = p
			}
		}
		return false
	}
	send := func(m *dhcpv4.DHCPv4) error {
		_ = w.broadcast(m) // a link that is down for a moment does not end the lease
		return nil
	}
	q := &question4{m: m, send: send, fits: fits}
	for n := 0; ctx.Err() == nil; n++ {
		ack, err := w.ask(ctx, q, longWait(n))
		if err == nil {
			return ack, nil
		}
		if refusal != nil && n >= 1 {
			return refusal, nil
		}
	}
	return nil, cmp.Or(ctx.Err(), errNoAnswer)
}

// server4 returns the server identifier of a message; invalid if it has none.
func server4(p *dhcpv4.DHCPv4) netip.Addr {
	a, _ := netip.AddrFromSlice(p.ServerIdentifier().To4())
	return a
}

// decides reports whether the message accepts or refuses a request.
func (d *dhcp4) decides(p *dhcpv4.DHCPv4) bool {
	return p.MessageType() == dhcpv4.MessageTypeNak || p.MessageType() == dhcpv4.MessageTypeAck && d.usable(p)
}

// usable reports whether the offer or acknowledgement gives an address for some time and comes from a server that the
// configuration allows.
func (d *dhcp4) usable(p *dhcpv4.DHCPv4) bool {
	yours, ok := netip.AddrFromSlice(p.YourIPAddr.To4())
	if !ok || yours.IsUnspecified() || yours.IsMulticast() || yours.IsLoopback() || p.YourIPAddr.Equal(net.IPv4bcast) {
		return false
	}
	if lasts := p.Options[dhcpv4.OptionIPAddressLeaseTime.Code()]; lasts != nil && p.IPAddressLeaseTime(0) <= 0 {
		return false
	}
	_, ok = prefix4(yours, p.SubnetMask())
	return ok && d.allowed(p)
}

// allowed reports whether the configuration allows the server that sent the message.
func (d *dhcp4) allowed(p *dhcpv4.DHCPv4) bool {
	server := server4(p)
	if !server.IsValid() {
		return false
	}
	within := func(l []netip.Prefix) bool {
		return slices.ContainsFunc(l, func(p netip.Prefix) bool { return p.Contains(server) })
	}
	if len(d.conf.AllowList) > 0 { // systemd.network(5): DenyList= is ignored then
		return within(d.conf.AllowList)
	}
	return !within(d.conf.DenyList)
}
