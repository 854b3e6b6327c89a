package main

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/network"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// record returns the record of this boot for the container, in the middle of the stage convert, which is the last that
// it has.
func (c *cmd) record() record.Record {
	r := record.Record{
		Wyrcan:  release(),
		By:      record.Wyrboot,
		Stages:  append(slices.Clone(c.stages), timed(c.running, time.Since(c.began))),
		Network: links(c.net.State()),
	}
	c.stack.Describe(&r)
	return r
}

// timed returns a stage with its time in hundredths of a second, as the console has it.
func timed(name string, d time.Duration) record.Stage {
	return record.Stage{Name: name, Seconds: float64(d.Round(10*time.Millisecond).Milliseconds()) / 1000}
}

// maxLinks is how many links a record has. A machine may have thousands of virtual ones.
const maxLinks = 64

// links returns what a record says of the links.
func links(state []network.LinkState) []record.Link {
	var list []record.Link
	for _, s := range state[:min(len(state), maxLinks)] {
		list = append(list, record.Link{
			Name: s.Name, MAC: s.MAC.String(), Driver: s.Driver, File: s.Config, MTU: s.MTU,
			Carrier: s.Carrier, Usable: s.Usable,
			Addresses: texts(s.Addresses), Gateways: texts(s.Gateways), DNS: texts(s.DNS),
			NTP: s.NTP, Domains: s.Domains, Servers: s.Servers, Problem: printable.Line(s.Problem),
		})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}
