package console

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// Progress shows the progress of a transfer as the status of a Screen: on a terminal it is rewritten in place, in a log
// it is a line now and then.
type Progress struct {
	Out      io.Writer                  // a Screen or a Console; for any other writer Run makes a Screen
	Label    string                     // the name of the transfer: "pull"
	Terminal bool                       // Out is a terminal; not used if Out is a Screen or a Console
	Read     func() (done, total int64) // returns bytes; total 0 = unknown
	Hold     func() bool                // reports whether the status belongs to another for now; may be nil
}

// Run shows the progress until ctx ends. In a log, nothing appears for a transfer that takes less than a second.
func (p Progress) Run(ctx context.Context) {
	out, ok := p.Out.(interface{ Status(line string, due bool) })
	if !ok {
		out = NewScreen(p.Out, p.Terminal)
	}
	defer out.Status("", false)
	const look = 250 * time.Millisecond
	start := time.Now()
	next, step := time.Second, 2*time.Second
	var m meter
	for at := look; ; at += look {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(start.Add(at))):
		}
		done, total := p.Read()
		line := p.line(done, total, m.rate(done, time.Since(start)))
		due := at >= next
		if due {
			if next += step; next > 20*time.Second {
				step = 10 * time.Second
			}
		}
		if p.Hold == nil || !p.Hold() {
			out.Status(line, due)
		}
	}
}

// line formats one status line: label, percentage, bytes, rate in bytes a second, time left.
func (p Progress) line(done, total int64, rate float64) string {
	var b strings.Builder
	b.WriteString(p.Label)
	if total > 0 {
		fmt.Fprintf(&b, " %3d%%  %s of %s", min(100, done*100/total), units.Bytes(done), units.Bytes(total))
	} else {
		fmt.Fprintf(&b, "  %s", units.Bytes(done))
	}
	switch {
	case rate < 1:
		b.WriteString("  stalled")
	default:
		fmt.Fprintf(&b, "  %s/s", units.Bytes(int64(rate)))
		if total > done {
			left := time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second)
			fmt.Fprintf(&b, "  %v left", max(left, time.Second))
		}
	}
	return b.String()
}

// meter measures the rate of the last few seconds: a stall shows soon, and a short burst counts little.
type meter struct {
	done int64
	at   time.Duration
	avg  float64
}

func (m *meter) rate(done int64, at time.Duration) float64 {
	passed := max(at-m.at, time.Millisecond).Seconds()
	now := float64(done-m.done) / passed
	if m.at == 0 {
		m.avg = now
	} else { // exponential average: the old value's weight halves each second
		m.avg = now + (m.avg-now)*math.Exp2(-passed)
	}
	m.done, m.at = done, at
	return m.avg
}
