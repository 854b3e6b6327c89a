package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/clock"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/registries"
)

// source returns what finds the image: with the credentials, the certificate authorities and the mirrors that are in
// the initrd or on the command line.
func (c *cmd) source() (*image.Source, error) {
	places, err := registries.Read(os.DirFS("/"))
	if err != nil {
		return nil, fmt.Errorf("cannot read how registries are reached: %w; see %s", err, page)
	}
	if err := addMirrors(&places, c.config); err != nil {
		return nil, err
	}
	return &image.Source{
		Logf:         c.sayf,
		Roots:        c.trusted,
		Certificates: c.hostCertificates,
		Auth:         c.logins.For,
		Insecure:     image.Hosts(c.config.Insecure),
		Registries:   places,
		Clock:        c.clock.Hint,
		Ahead:        sometimes(100*time.Millisecond, ahead),
	}, nil
}

// addMirrors adds those of wyr.mirror.
func addMirrors(places *registries.Config, conf config.Config) error {
	for _, m := range conf.Mirrors {
		host, mirrors := config.SplitMirror(m)
		if host == "" {
			var err error
			if host, err = image.RegistryOf(conf.Image); err != nil {
				return err
			}
		}
		if err := places.AddMirrors(host, mirrors...); err != nil {
			return fmt.Errorf("wyr.mirror=%s: %w", m, err)
		}
	}
	return nil
}

// ahead returns how much of large layers may wait in memory. On a machine with little of it there is something better to
// keep there, so each layer comes by one connection.
func ahead() int64 {
	const none, little = 1, 256 << 20
	mem, err := available()
	if err != nil {
		return none
	}
	return max(none, min(mem.Available/16, (mem.Available-little)/4))
}

// sometimes returns a function that returns what get returned last, which it asks again when that is so old.
func sometimes(old time.Duration, get func() int64) func() int64 {
	var mu sync.Mutex
	var asked time.Time
	var last int64
	return func() int64 {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(asked) > old {
			asked, last = now, get()
		}
		return last
	}
}

// useProxy has all connections to registries go by way of wyr.proxy. Package http reads the environment once, before
// the first request.
func (c *cmd) useProxy() {
	if c.config.Proxy == "" {
		return
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		os.Setenv(name, c.config.Proxy)
	}
	os.Setenv("NO_PROXY", strings.Join(c.config.NoProxy, ","))
	c.sayf("registries are reached by way of the proxy %s", c.config.Proxy)
}

// built is the date of the commit that this program was built from, in seconds since 1970. The Makefile sets it.
var built string

// newClock returns the clock of this machine, which is never earlier than the build.
func (c *cmd) newClock() *clock.Clock {
	k := &clock.Clock{Logf: c.sayf}
	if s, err := strconv.ParseInt(built, 10, 64); err == nil && s > 0 {
		k.Built = time.Unix(s, 0)
	}
	return k
}

// setClock asks time servers: those of wyr.ntp before those of the network.
func (c *cmd) setClock(ctx context.Context) {
	servers := c.config.NTP
	if len(servers) == 0 {
		for _, l := range c.net.State() {
			servers = append(servers, l.NTP...)
		}
	}
	c.clock.Start(ctx, servers)
}
