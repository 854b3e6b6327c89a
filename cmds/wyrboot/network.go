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

// online writes the network files that the arguments describe, applies all network files, and returns once a link is
// online. It waits for that as long as it takes, because cables get plugged in and switches come up, and says now and
// then what is missing. If no link can come online, the boot has failed, unless such a link appears before the reboot.
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
				if c.missing != nil {
					why = append(why, c.missing.Error())
				}
				c.sayf("still waiting for the network: %s", strings.Join(why, "; "))
			}
			continue
		}
		if hopeless += glance; hopeless < calm {
			continue
		}
		why := noNetwork(offline, c.driversErr, c.loader.Result())
		if c.missing != nil {
			return unnamed(c.missing, why)
		}
		if !c.owner || c.config.Fail == "shell" {
			return why
		}
		appeared, stop := c.appears(ctx)
		c.countdown(ctx, why, " unless a network interface appears", appeared)
		stop()
		hopeless = 0
		c.sayf("a network interface has appeared, the boot goes on")
	}
}

// unnamed returns the error of a machine on which no image is named, for the reason missing, and which no DHCP server
// can tell one either, for the reason why.
func unnamed(missing, why error) error {
	return fmt.Errorf("%w; there is no network either, where a DHCP server could name one: %w", missing, why)
}

// glance is how often online checks whether a link may still come online. calm is how long that must have been
// impossible before the boot fails: a driver may still be setting its card up.
const (
	glance = 2 * time.Second
	calm   = 6 * time.Second
)

// settled reports whether all drivers for the present hardware are loaded, as far as can be told.
func (c *cmd) settled() bool {
	select {
	case <-c.unwatched:
	case <-c.loader.Settled():
	default:
		return false
	}
	return true
}

// appears returns a channel that is closed when there is a link that may bring the machine online. Call stop when
// nothing waits for the channel any more.
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

// overlay is a layer that Wyrcan puts on top of the image's layers.
type overlay struct {
	name string
	tar  []byte
}

func (o overlay) String() string { return o.name }

func (o overlay) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(o.tar)), nil
}

// Digests implements rootfs.Layer. An overlay has none.
func (overlay) Digests() (stored, archive string) { return "", "" }

// first begins the second name of a kept file, so that systemd, which sorts by name, uses it before those of the image:
// people's file names sort after it.
const first = "0-wyrcan-"

// keptNetwork returns the layer that wyr.net.keep=yes puts on top of the image: the network files of this boot, in the
// directory that the container's systemd-networkd reads. Files that match links get a second name, which makes them
// match first: otherwise an image with DHCP for all links would leave a machine without a DHCP server unreachable.
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
		link := path.Join(network.Dir, first+name)
		h = &tar.Header{Typeflag: tar.TypeSymlink, Name: link, Linkname: name, Mode: 0o777}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
	}
	return overlay{"the files of wyr.net.keep", b.Bytes()}, w.Close()
}

// keptArgument returns what wyr.net.keep=yes gives a container that has no systemd-networkd: the kernel's ip=, which
// the kernel and most initrds understand. It returns "" if the image has systemd-networkd, if the arguments have ip=
// already, or if ip= cannot express the configuration.
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
