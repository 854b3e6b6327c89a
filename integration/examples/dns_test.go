//go:build slow

package examples

import (
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// The name and the address that the name server of the tests knows.
const (
	named   = "machine.example"
	address = "192.0.2.17"
)

// nameServer runs it, and returns its address.
func nameServer(t *testing.T) string {
	t.Helper()
	return nettest.UDP(t, func(question []byte) []byte {
		var m dnsmessage.Message
		if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
			return nil
		}
		m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
		q := m.Questions[0]
		switch {
		case q.Name.String() != named+".":
			m.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()},
			}}
		}
		answer, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		return answer
	})
}
