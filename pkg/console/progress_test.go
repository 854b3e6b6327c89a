package console

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressLine(t *testing.T) {
	p := Progress{Label: "pull"}
	for _, c := range []struct {
		done, total int64
		rate        float64
		want        string
	}{
		{0, 100e6, 0, "pull   0%  0 B of 100 MB  stalled"},
		{60.1e6, 133.6e6, 24.5e6, "pull  44%  60.1 MB of 134 MB  24.5 MB/s  3s left"},
		{99.9e6, 100e6, 24.5e6, "pull  99%  99.9 MB of 100 MB  24.5 MB/s  1s left"},
		{100e6, 100e6, 24.5e6, "pull 100%  100 MB of 100 MB  24.5 MB/s"},
		{7e6, 0, 1e6, "pull  7.00 MB  1.00 MB/s"},
	} {
		if got := p.line(c.done, c.total, c.rate); got != c.want {
			t.Errorf("line(%d, %d, %v) = %q, want %q", c.done, c.total, c.rate, got, c.want)
		}
	}
}

func TestMeterFollows(t *testing.T) {
	var m meter
	if got := m.rate(10e6, time.Second); got != 10e6 {
		t.Errorf("first rate = %v, want 10e6", got)
	}
	for range 30 {
		m.rate(10e6, m.at+time.Second)
	}
	if got := m.rate(10e6, m.at+time.Second); got >= 1 {
		t.Errorf("rate after 30 s without a byte = %v, want a stall", got)
	}
}

func TestProgressRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // with a fake clock
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		var out bytes.Buffer
		Progress{Out: &out, Label: "pull", Read: func() (int64, int64) { return 5e6, 10e6 }}.Run(ctx)
		got := out.String()
		if strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "pull  50%  5.00 MB of 10.0 MB") {
			t.Errorf("Run wrote %q, want one line at one second", got)
		}
	})
}

func TestProgressHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		var out bytes.Buffer
		hold := time.Now().Add(8 * time.Second)
		Progress{Out: &out, Label: "pull", Read: func() (int64, int64) { return 5e6, 10e6 },
			Hold: func() bool { return time.Now().Before(hold) }}.Run(ctx)
		if got := out.String(); strings.Count(got, "\n") != 1 {
			t.Errorf("Run wrote %q, want one line, after it was held", got)
		}
	})
}
