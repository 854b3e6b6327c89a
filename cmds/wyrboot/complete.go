package main

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/fetch"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
)

// complete finds out the rest of the configuration, which takes the network: what DHCP servers say if nothing else
// names an image, the file of wyr.config, and the names of this machine that stand in both. links returns the state of
// the network, which is up.
func (c *cmd) complete(ctx context.Context, links func() []network.LinkState) (err error) {
	if c.missing != nil {
		c.found, c.missing = c.found.Search(config.Leases(leases(ctx, links))...)
		c.tell(c.found)
		if c.missing != nil {
			return c.missing
		}
	}
	self, whole := c.machine(links()), c.found
	if c.found.File != "" {
		text, err := c.file(ctx, self)
		if err != nil {
			return err
		}
		whole, err = c.found.WithFile(text)
		c.tell(whole)
		if err != nil {
			return err
		}
	}
	c.config, err = whole.For(self)
	return err
}

// file gets the file of wyr.config. It repeats an attempt that failed for a reason that may pass, as fetch does.
func (c *cmd) file(ctx context.Context, self config.Machine) ([]byte, error) {
	location, err := c.found.Location(self)
	if err != nil {
		return nil, err
	}
	source := &image.Source{
		Logf: c.sayf, Roots: c.trusted, Certificates: c.hostCertificates, Clock: c.clock.Hint,
		Auth: c.logins.For, // for a proxy alone
	}
	why := func(err error) error {
		return fmt.Errorf("cannot get %s (wyr.config): %w", location, c.adviseFile(err))
	}
	heals := func(err error) bool { return image.Heals(err) || fetch.Heals(err) }
	failed := func(err error, wait time.Duration) { c.trouble.Failed(image.Gist(err), why(err).Error(), wait) }
	var text []byte
	err = insist(ctx, heals, failed, func() error {
		return c.stage("configuration", func() (err error) { text, err = location.Get(ctx, source.File); return err })
	})
	if err != nil {
		return nil, why(err)
	}
	c.trouble.Works(location.Server())
	return text, nil
}

// adviseFile adds to an error about a file what a person can do about it.
func (c *cmd) adviseFile(err error) error {
	d := image.Diagnose(err)
	do := strings.NewReplacer("NAMED", "wyr.config", "the registry", "the server").Replace(advice[d.Cause])
	if d.Cause == image.Denied { // a login is sent to no server of files
		do = "let the server give the file to everybody"
	}
	return d.Advise(err, do, "", page)
}

// otherLeases is how long to wait for the leases of further links, and for those of the other protocol, once one link
// is online.
const otherLeases = 3 * time.Second

// leases returns what DHCP servers say for Wyrcan. If none of those that have answered says anything, others may still
// answer for a moment.
func leases(ctx context.Context, links func() []network.LinkState) []config.DHCP {
	for end := time.Now().Add(otherLeases); ; {
		states := links()
		list := offers(states)
		pending := false
		for _, s := range states {
			pending = pending || s.Pending
		}
		if len(list) > 0 || !pending || time.Now().After(end) {
			return list
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return list
		}
	}
}

// offers returns what the links' leases say for Wyrcan, those of links with a default route first.
func offers(states []network.LinkState) []config.DHCP {
	states = slices.Clone(states)
	sort.SliceStable(states, func(i, j int) bool {
		return len(states[i].Gateways) > 0 && len(states[j].Gateways) == 0
	})
	var list []config.DHCP
	for _, s := range states {
		for _, b := range s.Boot {
			list = append(list, config.DHCP{From: b.Server + " on " + s.Name, BootFile: b.BootFile, Image: b.Image,
				Args: b.Args, Config: b.Config, More: b.More})
		}
	}
	return list
}
