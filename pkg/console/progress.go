package console

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Bytes formats a size in the decimal units of registries and networks, with three digits: "133 MB".
func Bytes(n int64) string {
	f, unit := float64(n), 0
	for f >= 999.5 && unit < 4 {
		f, unit = f/1000, unit+1
	}
	name := []string{"B", "kB", "MB", "GB", "TB"}[unit]
	switch {
	case unit > 0 && f < 9.995:
		return fmt.Sprintf("%.2f %s", f, name)
	case unit > 0 && f < 99.95:
		return fmt.Sprintf("%.1f %s", f, name)
	}
	return fmt.Sprintf("%.0f %s", f, name)
}

// MiB formats a size of memory, rounded up as a need is: "480 MiB".
func MiB(n int64) string {
	return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
}

// Progress shows how far a transfer is: a line now and then, so that a serial log stays readable, or one line that is
// rewritten in place on a terminal.
type Progress struct {
	Out      io.Writer
	Label    string                     // what is under way: "pull"
	Terminal bool                       // Out is one terminal: rewrite the line
	Read     func() (done, total int64) // bytes; total 0 = unknown
}

// Run shows the progress until ctx ends. A transfer that takes less than a second shows nothing.
func (p Progress) Run(ctx context.Context) {
	start := time.Now()
	next, step := time.Second, 2*time.Second
	if p.Terminal {
		next, step = 100*time.Millisecond, 200*time.Millisecond
		defer fmt.Fprint(p.Out, "\r\x1b[K")
	}
	var m meter
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(start.Add(next))):
		}
		done, total := p.Read()
		rate := m.rate(done, time.Since(start))
		if line := p.line(done, total, rate); p.Terminal {
			fmt.Fprintf(p.Out, "\r%s\x1b[K", line)
		} else {
			fmt.Fprintf(p.Out, "%s\n", line)
		}
		if next += step; !p.Terminal && next > 20*time.Second {
			step = 10 * time.Second
		}
	}
}

// line formats one report: label, share, bytes, rate in bytes a second, time left.
func (p Progress) line(done, total int64, rate float64) string {
	var b strings.Builder
	b.WriteString(p.Label)
	if total > 0 {
		fmt.Fprintf(&b, " %3d%%  %s of %s", min(100, done*100/total), Bytes(done), Bytes(total))
	} else {
		fmt.Fprintf(&b, "  %s", Bytes(done))
	}
	switch {
	case rate < 1:
		b.WriteString("  stalled")
	default:
		fmt.Fprintf(&b, "  %s/s", Bytes(int64(rate)))
		if total > done {
			left := time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second)
			fmt.Fprintf(&b, "  %v left", max(left, time.Second))
		}
	}
	return b.String()
}

// meter is a rate that follows the last few seconds, so that a stall shows and one burst does not promise too much.
type meter struct {
	done int64
	at   time.Duration
	avg  float64
}

func (m *meter) rate(done int64, at time.Duration) float64 {
	now := float64(done-m.done) / max(at-m.at, time.Millisecond).Seconds()
	if m.at == 0 {
		m.avg = now
	} else {
		m.avg = 0.5*m.avg + 0.5*now
	}
	m.done, m.at = done, at
	return m.avg
}
