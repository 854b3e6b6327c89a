package network

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// dhcp6 asks DHCPv6 servers on one link (RFC 8415), either for an address or only for other configuration. It sends a
// *lease6 for each answer that counts.
type dhcp6 struct {
	*client
	open     func() (socket6, error)
	mac      net.HardwareAddr
	conf     netconf.DHCPv6
	inform   bool // information-request: no address
	hostname string

	failed map[string]bool // servers that did not confirm what they advertised
	other  bool            // other configuration was already asked for
}

// run asks servers until ctx ends. The link must have its link-local address.
func (d *dhcp6) run(ctx context.Context) {
	for try := 0; ctx.Err() == nil; try++ {
		if err := d.session(ctx); err != nil && ctx.Err() == nil {
			if !errors.Is(err, errNoAnswer) {
				d.say(remark(fmt.Sprintf("DHCPv6: %v", err)))
			}
			sleep(ctx, wait(try))
		}
	}
}

// session runs until the link's socket fails.
func (d *dhcp6) session(ctx context.Context) error {
	socket, err := d.open()
	if err != nil {
		return fmt.Errorf("cannot open a socket: %w", err)
	}
	w := listen6(socket, string(d.duid().ToBytes()), d.association().IaId)
	defer w.Close()
	if d.inform {
		return d.configure(ctx, w)
	}
	for ctx.Err() == nil {
		reply, err := d.obtain(ctx, w)
		if err != nil {
			return err
		}
		lease := readLease6(reply, time.Now())
		for lease != nil {
			d.say(lease)
			if lease, err = d.extend(ctx, w, lease); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// configure asks once for everything but addresses.
func (d *dhcp6) configure(ctx context.Context, w *wire6) error {
	m, err := d.message(dhcpv6.MessageTypeInformationRequest)
	if err != nil {
		return err
	}
	reply, err := d.ask(ctx, w, m, 1<<20)
	if err != nil {
		return err
	}
	d.say(readLease6(reply, time.Now()))
	<-ctx.Done()
	return ctx.Err()
}

// message returns a message of the type, with a new transaction ID.
func (d *dhcp6) message(kind dhcpv6.MessageType) (*dhcpv6.Message, error) {
	m, err := dhcpv6.NewMessage(d.modifiers()...)
	if err != nil {
		return nil, err
	}
	m.MessageType = kind
	// RFC 4704 section 5: only a request for an address carries a name
	if kind == dhcpv6.MessageTypeInformationRequest {
		m.Options.Del(dhcpv6.OptionFQDN)
	}
	return m, nil
}

// ask sends a message up to so many times, until any server replies.
func (d *dhcp6) ask(ctx context.Context, w *wire6, m *dhcpv6.Message, times int) (*message6, error) {
	q := &question6{m: m, fits: func(m *message6) bool { return m.MessageType == dhcpv6.MessageTypeReply }}
	for n := range times {
		if answer, err := w.ask(ctx, q, wait(n)); !errors.Is(err, errNoAnswer) {
			return answer, err
		}
	}
	return nil, errNoAnswer
}

// association returns the identity association for this link's addresses: RFC 8415 section 21.4.
func (d *dhcp6) association(addresses ...lease6Addr) *dhcpv6.OptIANA {
	ia := &dhcpv6.OptIANA{}
	copy(ia.IaId[:], iaid(d.conf.IAID, d.mac))
	for _, a := range addresses {
		ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: a.addr.AsSlice()})
	}
	return ia
}

// gives reports whether the message has an address for this link.
func gives(m *message6) bool { return len(readLease6(m, time.Now()).addresses) > 0 }

// obtain sends SOLICIT, and REQUEST unless a server commits at once. As with DHCPv4 a server that does not confirm
// must not block the others.
func (d *dhcp6) obtain(ctx context.Context, w *wire6) (*message6, error) {
	offers, err := d.solicit(ctx, w)
	if err != nil {
		return nil, err
	}
	if d.failed == nil || len(d.failed) > mostFailed {
		d.failed = map[string]bool{}
	}
	for i := 0; i < len(offers); i++ { // request may add offers
		var reply *message6
		if reply, err = d.request(ctx, w, offers[i], &offers); err == nil {
			delete(d.failed, offers[i].server)
			return reply, nil
		}
		d.failed[offers[i].server] = true
	}
	return nil, err
}

// solicit returns the advertisements of servers, or the reply of one that commits at once. If a server has no address
// but other configuration, that is asked for, and solicit goes on asking for an address.
func (d *dhcp6) solicit(ctx context.Context, w *wire6) ([]*message6, error) {
	m, err := d.message(dhcpv6.MessageTypeSolicit)
	if err != nil {
		return nil, err
	}
	m.AddOption(d.association())
	if d.conf.RapidCommit {
		dhcpv6.WithRapidCommit(m)
	}
	var held []*message6
	var empty *message6
	q := &question6{m: m, fits: func(m *message6) bool {
		switch {
		case !offers6(m):
			return false
		case !gives(m):
			empty = m
			return false
		case d.failed[m.server]:
			held = addOffer6(held, m)
			return false
		}
		return true
	}}
	for n := 0; ; n++ {
		patience := wait(n)
		if d.other {
			patience = longWait(n)
		}
		answer, err := w.ask(ctx, q, patience)
		switch {
		case err == nil:
			return append([]*message6{answer}, held...), nil
		case !errors.Is(err, errNoAnswer):
			return nil, err
		case len(held) > 0:
			return held, nil
		case !d.other && (empty != nil || n == 2): // a server without addresses may not answer at all
			d.withoutAddress(ctx, w, empty)
		}
	}
}

// offers6 reports whether the message answers a SOLICIT: RFC 8415 section 18.2.1.
func offers6(m *message6) bool {
	switch {
	case m.server == "":
		return false
	case m.MessageType == dhcpv6.MessageTypeReply:
		return m.GetOneOption(dhcpv6.OptionRapidCommit) != nil
	}
	return m.MessageType == dhcpv6.MessageTypeAdvertise
}

// withoutAddress asks a server that has no address for this machine for the other configuration: the server may have
// prefixes for routers only. If the server does not answer that, what it said before counts, if it said anything.
func (d *dhcp6) withoutAddress(ctx context.Context, w *wire6, said *message6) {
	times := 1
	if said != nil {
		times = 2
		d.other = true
		d.say(remark(fmt.Sprintf("DHCPv6: server %s has no address for this machine%s", serverName(said),
			status(said))))
	}
	m, err := d.message(dhcpv6.MessageTypeInformationRequest)
	if err != nil {
		return
	}
	if reply, err := d.ask(ctx, w, m, times); err == nil {
		said = reply
	}
	if said == nil {
		return
	}
	if lease := readLease6(said, time.Now()); len(lease.dns)+len(lease.ntp)+len(lease.domains) > 0 || !lease.boot.Empty() {
		d.other = true
		lease.addresses = nil
		d.say(lease)
	}
}

// addOffer6 adds an advertisement, one for each server and at most 16.
func addOffer6(offers []*message6, m *message6) []*message6 {
	same := func(o *message6) bool { return o.server == m.server }
	if len(offers) >= 16 || slices.ContainsFunc(offers, same) {
		return offers
	}
	return append(offers, m)
}

// request asks for what was advertised, and adds what other servers advertise meanwhile to offers. If there is
// another advertisement, it asks only once.
func (d *dhcp6) request(ctx context.Context, w *wire6, offer *message6, offers *[]*message6) (*message6, error) {
	if offer.MessageType == dhcpv6.MessageTypeReply {
		return offer, nil
	}
	m, err := d.message(dhcpv6.MessageTypeRequest)
	if err != nil {
		return nil, err
	}
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionServerID, OptionData: []byte(offer.server)})
	m.AddOption(d.association(readLease6(offer, time.Now()).addresses...))
	q := &question6{m: m, fits: func(m *message6) bool {
		if m.MessageType == dhcpv6.MessageTypeAdvertise && offers6(m) && gives(m) && !d.failed[m.server] {
			*offers = addOffer6(*offers, m)
		}
		return m.MessageType == dhcpv6.MessageTypeReply && m.server == offer.server
	}}
	err = errNoAnswer
	var reply *message6
	for n := 0; errors.Is(err, errNoAnswer) && n < 4 && (n < 1 || (*offers)[len(*offers)-1] == offer); n++ {
		reply, err = w.ask(ctx, q, wait(n))
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("server %s advertised an address but did not confirm it: %w", serverName(offer), err)
	case !gives(reply):
		return nil, fmt.Errorf("server %s advertised an address and gave none%s", serverName(offer), status(reply))
	}
	return reply, nil
}

// extend sends RENEW to the lease's server, and from T2 on REBIND to all servers: RFC 8415 sections 18.2.4 and
// 18.2.5. It returns nil if nobody extends the lease; the addresses stay until their lifetime ends.
func (d *dhcp6) extend(ctx context.Context, w *wire6, old *lease6) (*lease6, error) {
	if old.renew.IsZero() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	sleep(ctx, time.Until(old.renew))
	reply, err := d.again6(ctx, w, old, dhcpv6.MessageTypeRenew, old.rebind)
	if errors.Is(err, errNoAnswer) {
		reply, err = d.again6(ctx, w, old, dhcpv6.MessageTypeRebind, old.expires)
	}
	if errors.Is(err, errNoAnswer) || err == nil && !gives(reply) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readLease6(reply, time.Now()), nil
}

// again6 asks to extend a lease until the given time. Only the lease's own server can answer a RENEW, also by saying
// that it does not know the lease. Any server that extends the lease can answer a REBIND.
func (d *dhcp6) again6(
	ctx context.Context, w *wire6, old *lease6, kind dhcpv6.MessageType, until time.Time,
) (*message6, error) {
	m, err := d.message(kind)
	if err != nil {
		return nil, err
	}
	m.AddOption(d.association(old.addresses...))
	renewal := kind == dhcpv6.MessageTypeRenew
	if renewal {
		m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionServerID, OptionData: []byte(old.id)})
	}
	q := &question6{m: m, fits: func(m *message6) bool {
		if m.MessageType != dhcpv6.MessageTypeReply || m.server == "" || renewal && m.server != old.id {
			return false
		}
		return gives(m) || renewal && noBinding(m)
	}}
	inTime, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for n := 0; inTime.Err() == nil; n++ {
		answer, err := w.ask(inTime, q, longWait(n))
		if err == nil {
			return answer, nil
		}
		if !errors.Is(err, errNoAnswer) && inTime.Err() == nil { // the link may be down for a moment
			sleep(inTime, wait(n))
		}
	}
	return nil, cmp.Or(ctx.Err(), errNoAnswer)
}

// noBinding reports whether the server does not know the lease.
func noBinding(m *message6) bool {
	ia := m.Options.OneIANA()
	return ia != nil && ia.Options.Status() != nil && ia.Options.Status().StatusCode == iana.StatusNoBinding
}

func status(m *message6) string {
	if ia := m.Options.OneIANA(); ia != nil {
		if s := ia.Options.Status(); s != nil && s.StatusMessage != "" {
			return because(s.StatusMessage)
		}
	}
	return ""
}

func (d *dhcp6) modifiers() []dhcpv6.Modifier {
	wanted := []dhcpv6.OptionCode{dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList,
		dhcpv6.OptionNTPServer, dhcpv6.OptionSNTPServerList,
		dhcpv6.OptionFQDN, dhcpv6.OptionBootfileURL, dhcpv6.OptionVendorOpts}
	for _, code := range d.conf.RequestOptions {
		wanted = append(wanted, dhcpv6.OptionCode(code))
	}
	mods := []dhcpv6.Modifier{
		func(m dhcpv6.DHCPv6) { m.UpdateOption(dhcpv6.OptClientID(d.duid())) },
		func(m dhcpv6.DHCPv6) { m.UpdateOption(dhcpv6.OptRequestedOption(wanted...)) },
	}
	option := func(code uint16, data []byte) {
		mods = append(mods, func(m dhcpv6.DHCPv6) {
			m.UpdateOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionCode(code), OptionData: data})
		})
	}
	if name := sentHostname(d.conf.SendHostname, d.conf.Hostname, d.hostname); name != "" {
		mods = append(mods, dhcpv6.WithFQDN(1, name)) // RFC 4704: the server may update the forward DNS record
	}
	if len(d.conf.UserClass) > 0 {
		var b []byte
		for _, c := range d.conf.UserClass {
			b = append(append(b, byte(len(c)>>8), byte(len(c))), c...)
		}
		option(15, b)
	}
	if len(d.conf.VendorClass) > 0 { // RFC 8415 section 21.16
		b := binary.BigEndian.AppendUint32(nil, enterprise)
		for _, c := range d.conf.VendorClass {
			b = append(append(b, byte(len(c)>>8), byte(len(c))), c...)
		}
		option(16, b)
	}
	for _, o := range d.conf.SendOptions {
		option(o.Code, o.Data)
	}
	return mods
}

func (d *dhcp6) duid() dhcpv6.DUID {
	raw := duid(d.conf.DUID, d.mac)
	if id, err := dhcpv6.DUIDFromBytes(raw); err == nil {
		return id
	}
	kind, address := lasting(d.mac)
	return &dhcpv6.DUIDLL{HWType: kind, LinkLayerAddr: address}
}
