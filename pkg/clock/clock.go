// Package clock corrects the clock of a machine that boots, for certificates are verified by it: a machine whose
// battery is empty starts in 1970 or at any other date.
//
// Three things can correct it. The date of the build is a lower bound: no machine runs a program before it was built.
// Network Time Protocol servers (RFC 5905) give the time. Where there is none, the date that a registry states in its
// answers can be a hint. None of these is authenticated, so none can move the clock to before the build. The
// battery-backed clock is corrected too, for the next kernel begins with what that says.
//
// It steps the clock. It does not slew it or discipline it: that is for the system that is booted.
package clock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/beevik/ntp"
	"golang.org/x/sys/unix"
)

const (
	// Tolerance is how far the clock may be off without being corrected.
	Tolerance = time.Second
	// Patience is the longest that Start keeps a boot waiting for the first answer.
	Patience = 2 * time.Second
	// most is how many servers are asked at a time.
	most = 4
	// longestPause is the longest time between two rounds of questions.
	longestPause = time.Minute
)

// Clock is the clock of this machine. The zero value sets the real one and has no lower bound.
type Clock struct {
	// Built is the date of the build: the clock is never set to an earlier time. Zero is no bound.
	Built time.Time
	// Logf prints a line for a person; nil prints nothing.
	Logf func(format string, args ...any)

	machine machine

	mu     sync.Mutex
	proven bool // a time server has answered
}

// machine is what a test has in the place of the kernel.
type machine interface {
	now() time.Time
	set(time.Time) error         // the system's clock
	battery() (time.Time, error) // what the battery-backed clock says
	setBattery(time.Time) error
}

// Floor sets both clocks to the date of the build if the clock says an earlier time. It is for the beginning of a boot.
func (c *Clock) Floor() {
	now := c.kernel().now()
	if c.Built.IsZero() || !now.Before(c.Built) {
		return
	}
	if err := c.step(now, c.Built); err != nil {
		c.logf("the clock says %s, which is before this program was built, and cannot be set: %v", date(now), err)
		return
	}
	c.logf("the clock said %s, which is before this program was built: it is set to %s", date(now), date(c.Built))
}

// Start asks the servers for the time until one of them has answered or ctx ends, and sets the clock by the first valid
// answer. It returns once that is done, at the latest after Patience: the rest goes on in the background.
// A server is a host name or an address, with or without a port.
func (c *Clock) Start(ctx context.Context, servers []string) {
	if len(servers) == 0 {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.ask(ctx, servers)
	}()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		c.logf("no time server has answered yet (%s): the boot goes on with a clock that says %s",
			list(servers), date(c.kernel().now()))
	case <-ctx.Done():
	}
}

// ask asks the servers in rounds.
func (c *Clock) ask(ctx context.Context, servers []string) {
	for pause := Patience; ctx.Err() == nil; pause = min(2*pause, longestPause) {
		for from := 0; from < len(servers); from += most {
			some := servers[from:min(from+most, len(servers))]
			answer, server, err := first(ctx, some)
			if err == nil {
				c.synchronise(server, answer)
				return
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// first asks all servers at the same time and returns the first valid answer.
func first(ctx context.Context, servers []string) (*ntp.Response, string, error) {
	type answer struct {
		*ntp.Response
		server string
		err    error
	}
	answers := make(chan answer, len(servers))
	for _, s := range servers {
		go func() {
			r, err := ntp.QueryWithOptions(s, ntp.QueryOptions{Timeout: Patience, Dialer: dialer(ctx)})
			if err == nil {
				err = r.Validate()
			}
			answers <- answer{r, s, err}
		}()
	}
	var errs []error
	for range servers {
		select {
		case a := <-answers:
			if a.err == nil {
				return a.Response, a.server, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", a.server, a.err))
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
	return nil, "", errors.Join(errs...)
}

// dialer connects, which includes asking name servers for the address, for no longer than Patience.
func dialer(ctx context.Context) func(local, remote string) (net.Conn, error) {
	return func(_, remote string) (net.Conn, error) {
		return (&net.Dialer{Timeout: Patience}).DialContext(ctx, "udp", remote)
	}
}

// synchronise sets both clocks by the answer of a server.
func (c *Clock) synchronise(server string, r *ntp.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.kernel().now()
	right := now.Add(r.ClockOffset)
	if err := c.step(now, right); err != nil {
		c.logf("the time server %s says %s: %v", server, date(right), err)
		return
	}
	c.proven = true
	if off := r.ClockOffset.Abs(); off > Tolerance {
		c.logf("the clock said %s; by the time server %s it is set to %s", date(now), server, date(right))
	}
}

// Hint sets the clock to a date that who states without proof: a registry whose certificate is not valid by this clock.
// It does so only if no time server has answered, and the date of the build is known. It reports whether the clock has
// changed by more than Tolerance.
func (c *Clock) Hint(who string, stated time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.kernel().now()
	if c.proven || c.Built.IsZero() || stated.Sub(now).Abs() <= Tolerance {
		return false
	}
	if err := c.step(now, stated); err != nil {
		c.logf("%s says that it is %s: %v", who, date(stated), err)
		return false
	}
	c.logf("the clock said %s; %s says that it is %s, and no time server does: the clock is set to that, unproven",
		date(now), who, date(stated))
	return true
}

// step sets both clocks. Neither moves if it is right within Tolerance.
func (c *Clock) step(now, right time.Time) error {
	if right.Before(c.Built) {
		return fmt.Errorf("that is before this program was built (%s), so the clock stays as it is", date(c.Built))
	}
	m := c.kernel()
	if right.Sub(now).Abs() > Tolerance {
		if err := m.set(right); err != nil {
			return fmt.Errorf("cannot set the clock: %w", err)
		}
	}
	// A machine without such a clock, or whose kernel has no driver for it, needs no word about it.
	if b, err := m.battery(); err == nil && right.Sub(b).Abs() > 2*Tolerance || errors.Is(err, unix.EINVAL) {
		if err := m.setBattery(right); err != nil {
			c.logf("cannot set the battery-backed clock, by which the container's kernel begins: %v", err)
		}
	}
	return nil
}

func (c *Clock) kernel() machine {
	if c.machine == nil {
		return linux{}
	}
	return c.machine
}

func (c *Clock) logf(format string, args ...any) {
	if c.Logf != nil {
		c.Logf(format, args...)
	}
}

// date is a time as it is printed.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
