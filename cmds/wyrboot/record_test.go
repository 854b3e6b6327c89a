package main

import (
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// TestRecord has a record that is written in the middle of a stage.
func TestRecord(t *testing.T) {
	digest := v1.Hash{Algorithm: "sha256", Hex: "aa"}
	c := &cmd{
		console: console.Open(t.TempDir()), config: config.Config{Image: "registry.example/x"},
		net: &network.Manager{},
		stack: boot.Stack{Image: boot.Part{Asked: "registry.example/x", Image: &image.Image{
			Name: "registry.example/x:latest", From: "mirror.example/x", Digest: digest, Root: digest,
		}}},
	}
	c.took("kernel", 2345*time.Millisecond)
	var r record.Record
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"pull", func() error { return nil }},
		{"convert", func() error { time.Sleep(20 * time.Millisecond); r = c.record(); return nil }},
		{"load", func() error { return nil }},
	} {
		if err := c.stage(s.name, s.do); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, s := range r.Stages {
		names = append(names, s.Name)
	}
	if want := []string{"kernel", "pull", "convert"}; !reflect.DeepEqual(names, want) ||
		r.Stages[0].Seconds != 2.35 || r.Stages[2].Seconds < 0.02 || r.Stages[2].Seconds > 10 {
		t.Errorf("the stages are %+v, want %q", r.Stages, want)
	}
	if r.Image.Asked != "registry.example/x" || r.Image.From != "mirror.example/x" || r.By != record.Wyrboot {
		t.Errorf("the record is %+v", r)
	}
}

// TestLinks writes links into a record.
func TestLinks(t *testing.T) {
	mac, err := net.ParseMAC("52:54:00:12:34:56")
	if err != nil {
		t.Fatal(err)
	}
	got := links([]network.LinkState{
		{Name: "eth1", Problem: "no carrier,\n\x1b[2Jis the cable in?"},
		{
			Name: "eth0", MAC: mac, Driver: "virtio_net", Config: "lan", MTU: 1500, Carrier: true, Usable: true,
			Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")},
			Gateways:  []netip.Addr{netip.MustParseAddr("192.0.2.1")},
			DNS:       []netip.Addr{netip.MustParseAddr("fe80::1%eth0")},
			NTP:       []string{"ntp.example"}, Domains: []string{"lan.example"}, Servers: []string{"DHCP server 192.0.2.1"},
		},
	})
	want := []record.Link{
		{
			Name: "eth0", MAC: "52:54:00:12:34:56", Driver: "virtio_net", File: "lan", MTU: 1500, Carrier: true, Usable: true,
			Addresses: []string{"192.0.2.2/24", "2001:db8::2/64"}, Gateways: []string{"192.0.2.1"},
			DNS: []string{"fe80::1%eth0"}, NTP: []string{"ntp.example"}, Domains: []string{"lan.example"},
			Servers: []string{"DHCP server 192.0.2.1"},
		},
		{Name: "eth1", Problem: "no carrier, [2Jis the cable in?"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("links = %+v, want %+v", got, want)
	}
	if got := links(make([]network.LinkState, 10000)); len(got) != maxLinks {
		t.Errorf("of 10000 links the record has %d", len(got))
	}
}
