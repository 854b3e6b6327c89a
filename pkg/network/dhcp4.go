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

// dhcp4 asks for a lease on one link and keeps it. It says a *lease4 whenever it has a lease, and a nil one when the
// lease has ended.
type dhcp4 struct {
	*client
	open     func(clientPort, serverPort int) (socket4, error)
	mac      net.HardwareAddr
	conf     netconf.DHCPv4
	hostname string

	leased bool                // the session had a lease
	failed map[netip.Addr]bool // servers that did not confirm what they offered
}

// mostFailed is how many servers are remembered for that: somebody may make them up.
const mostFailed = 64

// The waits between two sendings of a message that is not answered: RFC 2131 4.1 begins at 4 s and doubles up to 64; a
// switch port that begins to forward after 30 s must not cost a minute, so ours begin lower and end at 8.
var waits = [...]time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

// wait is the n-th wait, a fifth more or less by chance lest a rack of machines ask in step.
func wait(n int) time.Duration {
	w := waits[min(n, len(waits)-1)]
	return w - w/5 + rand.N(2*w/5)
}

// longWait is the wait while there is a lease: a server that is down for long is not asked every few seconds, but once
// a minute, as RFC 2131 4.4.5 has it.
func longWait(n int) time.Duration {
	if n < len(waits) {
		return wait(n)
	}
	return time.Minute - rand.N(5*time.Second)
}

var errNoAnswer = errors.New("no answer")

// run ends with ctx.
func (d *dhcp4) run(ctx context.Context) {
	for try := 0; ctx.Err() == nil; try++ {
		err := d.session(ctx)
		if d.leased { // what comes now is a new beginning
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

// session is one lease from its request to its end.
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

// obtain is DISCOVER, OFFER, REQUEST, ACK. A server that does not confirm its offer must not keep the machine from the
// others' offers: the next one is tried, and next time it is that server's turn after all others.
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
	for i := 0; i < len(offers); i++ { // others may be heard meanwhile
		var ack *dhcpv4.DHCPv4
		if ack, err = d.request(ctx, w, offers[i], &offers); err == nil {
			delete(d.failed, server4(offers[i]))
			return readLease4(ack), nil
		}
		d.failed[server4(offers[i])] = true
	}
	return nil, err
}

// discover returns the first offer of an address; one without comes from a proxyDHCP server, which hands out boot files
// only (PXE 2.1, section 2.2.3), and is passed over. That of a server which has failed waits as long as the question
// does.
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

// addOffer adds an offer, of each server one and not too many.
func addOffer(offers []*dhcpv4.DHCPv4, p *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
	same := func(o *dhcpv4.DHCPv4) bool { return server4(o) == server4(p) }
	if len(offers) >= 16 || slices.ContainsFunc(offers, same) {
		return offers
	}
	return append(offers, p)
}

// request asks for what was offered, and adds to offers what others offer meanwhile. Where there is another offer it
// asks once.
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

// extend renews the lease, or says why it came to its end: RFC 2131 section 4.4.5. Until T2 its own server alone is
// asked, and nobody else's word counts; then all are.
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
		for code, value := range old.ack.Options { // Windows' server leaves out of a renewal what it said before
			if _, there := ack.Options[code]; !there {
				ack.Options[code] = value
			}
		}
	}
	return readLease4(ack), nil
}

// again4 is the request to extend a lease, a transaction of its own.
func (d *dhcp4) again4(old *lease4) (*dhcpv4.DHCPv4, error) {
	m, err := dhcpv4.NewRenewFromAck(old.ack, d.modifiers()...)
	if err != nil {
		return nil, err
	}
	m.TransactionID, err = dhcpv4.GenerateTransactionID()
	return m, err
}

// renew asks the server that gave the lease until T2. It returns errNoAnswer then, or once the kernel says that there
// is no way to that server: a network that has moved is not to wait for T2.
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
		return nil // whatever else: a later one may get through
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

// rebind asks all servers until the lease ends. An acknowledgement of any is taken; so is the refusal of the lease's
// own server. The refusal of another counts only where nobody acknowledges: it may know nothing of the lease, or the
// network has moved.
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
		w.broadcast(m) // a link that is down for a moment does not end the lease
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

// server4 is who sent the message, by its own word; invalid if it does not say.
func server4(p *dhcpv4.DHCPv4) netip.Addr {
	a, _ := netip.AddrFromSlice(p.ServerIdentifier().To4())
	return a
}

// decides reports whether the message says yes or no to a request.
func (d *dhcp4) decides(p *dhcpv4.DHCPv4) bool {
	return p.MessageType() == dhcpv4.MessageTypeNak || p.MessageType() == dhcpv4.MessageTypeAck && d.usable(p)
}

// usable reports whether the offer or acknowledgement gives an address for a time and comes from a server that the
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

// allowed reports whether the message comes from a server that the configuration allows.
func (d *dhcp4) allowed(p *dhcpv4.DHCPv4) bool {
	server := server4(p)
	if !server.IsValid() {
		return false
	}
	within := func(l []netip.Prefix) bool {
		return slices.ContainsFunc(l, func(p netip.Prefix) bool { return p.Contains(server) })
	}
	if len(d.conf.AllowList) > 0 { // systemd.network(5): the other list is ignored then
		return within(d.conf.AllowList)
	}
	return !within(d.conf.DenyList)
}
