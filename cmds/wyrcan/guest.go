package main

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A guestImage is an image for a machine in QEMU.
type guestImage struct {
	wanted
	name     string         // by which the machine finds it
	registry *localRegistry // that serves it, if it is on this machine's disk
}

type guestImages []guestImage

// lend returns images for a machine. Those on this machine's disk get a registry each.
func (c *cmd) lend(list []wanted) (guests guestImages, err error) {
	c.about(list, toHost)
	for _, w := range list {
		g := guestImage{wanted: w, name: fromGuest(w.ref)}
		if local(w.ref) {
			if g.registry, err = startRegistry(); err != nil {
				guests.Close()
				return nil, err
			}
			g.name = g.registry.ref()
		}
		guests = append(guests, g)
	}
	return guests, nil
}

// Close ends the registries.
func (gs guestImages) Close() {
	for _, g := range gs {
		if g.registry != nil {
			g.registry.Close()
		}
	}
}

// prepare checks the image now: the machine would report an error only after a minute, and only on its console. It puts
// an image of this machine's disk into its registry, and hands the login for another one over.
func (g *guestImage) prepare(ctx context.Context, c *cmd, m *machine, p v1.Platform) error {
	if g.registry != nil {
		return g.registry.store(ctx, c, g.ref, p)
	}
	at := toHost(g.ref)
	img, v, err := c.judge(ctx, c.source(at, p), g.ref, at)
	if err != nil {
		return err
	}
	c.tellImage(img)
	if err := c.handOver(m, at, g.name); err != nil {
		return err
	}
	if v.Signed {
		m.pin(g.name, at, img)
	}
	return nil
}
