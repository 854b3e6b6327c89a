package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// online writes the network files that the arguments describe, applies all that are there, and returns once a link can
// reach out, for as long as that takes: cables get plugged in and switches come up. What is missing is said now and
// then. Where nothing is there that could become such a link, the boot has failed, unless one appears before the
// reboot.
func (c *cmd) online(ctx context.Context) error {
	if err := network.Install("/", c.config.Network); err != nil {
		return fmt.Errorf("cannot write the network files: %w", err)
	}
	files, warnings := netconf.ReadDirs(os.DirFS("/"), netconf.Dirs)
	for _, w := range warnings {
		c.sayf("%s", w)
	}
	c.net = &network.Manager{
		Files:   files,
		Logf:    c.sayf,
		Modules: func(alias string) error { return c.loader.Add(ctx, alias) },
	}
	var wait reminder
	var hopeless time.Duration
	for {
		limited, cancel := context.WithTimeout(ctx, glance)
		err := c.net.Up(limited)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		var offline *network.Offline
		if !errors.As(err, &offline) {
			return fmt.Errorf("cannot set the network up: %w", err)
		}
		if !offline.Hopeless() || !c.settled() {
			hopeless = 0
			if wait.due(time.Now(), offline.Links) {
				why := append([]string{err.Error()}, cards(offline, c.loader.Result())...)
				c.sayf("still waiting for the network: %s", strings.Join(why, "; "))
			}
			continue
		}
		if hopeless += glance; hopeless < calm {
			continue
		}
		why := noNetwork(offline, c.driversErr, c.loader.Result())
		if !c.owner {
			return why
		}
		appeared, stop := c.appears(ctx)
		c.countdown(ctx, why, " unless a network interface appears", appeared)
		stop()
		hopeless = 0
		c.sayf("a network interface has appeared, the boot goes on")
	}
}

// glance is how often online looks whether there is still hope, and calm how long there must have been none: a driver
// may still be at work on a card that it has.
const (
	glance = 2 * time.Second
	calm   = 6 * time.Second
)

// settled reports whether no hardware that is there waits for a driver to be loaded, as far as can be told.
func (c *cmd) settled() bool {
	select {
	case <-c.unwatched:
	case <-c.loader.Settled():
	default:
		return false
	}
	return true
}

// appears returns a channel that is closed when there is a link again that may bring the machine online. Call stop when
// nobody waits for it.
func (c *cmd) appears(ctx context.Context) (appeared <-chan struct{}, stop func()) {
	ctx, stop = context.WithCancel(ctx)
	hope := make(chan struct{})
	go func() {
		for (&network.Offline{Links: c.net.State()}).Hopeless() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
		close(hope)
	}()
	return hope, stop
}

// overlay is a layer of Wyrcan's own on top of the image's.
type overlay struct {
	name string
	tar  []byte
}

func (o overlay) String() string { return o.name }

func (o overlay) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(o.tar)), nil
}

// Digests implements rootfs.Layer: nobody has computed them.
func (overlay) Digests() (stored, archive string) { return "", "" }

// first is before the names of kept files, so that they count before those of the image: systemd goes by names, and
// nothing that people call files sorts before it.
const first = "0-wyrcan-"

// keptNetwork is what wyr.net.keep=yes puts on top of the image: the network files that made this boot possible, where
// the container's systemd-networkd reads them. Files that choose links get a second name, by which they are the first
// that fit: an image that has DHCP for all would leave a machine without such a server unreachable.
func keptNetwork(files []netconf.File, links []network.LinkState) (rootfs.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range network.HandOver(files, links) {
		name, text := f.Name+"."+string(f.Kind), f.String()
		h := &tar.Header{Name: path.Join(network.Dir, name), Mode: 0o644, Size: int64(len(text))}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return nil, err
		}
		if f.Kind == netconf.NetDev || f.Name == netconf.Autoconf {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: path.Join(network.Dir, first+name), Linkname: name, Mode: 0o777}); err != nil {
			return nil, err
		}
	}
	return overlay{"the files of wyr.net.keep", b.Bytes()}, w.Close()
}

// keptArgument is what wyr.net.keep=yes gives a container that has no systemd-networkd: the kernel's ip=, which that
// and most initrds understand. It is empty where the image or the arguments know better, or where ip= cannot say it.
func (c *cmd) keptArgument(tree *rootfs.Tree) string {
	for _, networkd := range []string{"/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd"} {
		if _, err := tree.Lookup(networkd); err == nil {
			return ""
		}
	}
	for _, a := range cmdline.Parse(strings.Join(c.config.Args, " ")) {
		if a.Key == "ip" {
			return ""
		}
	}
	arg, err := network.IPArgument(c.net.State())
	if err != nil {
		c.sayf("wyr.net.keep: the container has no systemd-networkd and cannot be given ip= either: %v", err)
		return ""
	}
	return arg
}
