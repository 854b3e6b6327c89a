package clock

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

var (
	built = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	today = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	empty = time.Date(1970, 1, 1, 0, 0, 30, 0, time.UTC) // what an empty battery gives
	later = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)  // behind the end of NTP's era 0, in 2036
)

// fake is a machine whose clocks stand still.
type fake struct {
	mu            sync.Mutex
	system        time.Time
	rtc           time.Time
	rtcErr        error // of reading
	refuses       error // of setting the system's clock
	sets, rtcSets int
}

func (f *fake) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.system
}

func (f *fake) set(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuses != nil {
		return f.refuses
	}
	f.sets++
	f.system = t
	return nil
}

func (f *fake) battery() (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rtc, f.rtcErr
}

func (f *fake) setBattery(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rtcSets++
	f.rtc = t
	return nil
}

func TestFloor(t *testing.T) {
	for _, c := range []struct {
		name      string
		now, want time.Time
		refuses   error
		says      string
	}{
		{"an empty battery", empty, built, nil, "the clock said 1970-01-01 00:00:30 UTC"},
		{"right", today, today, nil, ""},
		{"the future", later, later, nil, ""},
		{"no right to", empty, empty, unix.EPERM, "cannot be set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, r := &fake{system: c.now, rtc: c.now, refuses: c.refuses}, &nettest.Log{}
			(&Clock{Built: built, Logf: r.Printf, machine: f}).Floor()
			if !f.rtc.Equal(c.want) {
				t.Errorf("the battery-backed clock says %v, want %v", f.rtc, c.want)
			}
			if !f.system.Equal(c.want) {
				t.Errorf("the clock says %v, want %v", f.system, c.want)
			}
			if said := r.String(); (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
				t.Errorf("said %q, want %q", said, c.says)
			}
		})
	}
}

// with changes a byte of what another answer says.
func with(answer func([]byte) []byte, at int, value byte) func([]byte) []byte {
	return func(q []byte) []byte {
		b := answer(q)
		if b != nil {
			b[at] = value
		}
		return b
	}
}

// within reports whether a and b are the same but for the time that a test takes.
func within(a, b time.Time) bool { return a.Sub(b).Abs() < 2*time.Second }

func TestStart(t *testing.T) {
	silent := func([]byte) []byte { return nil }
	dead := "127.0.0.1:1" // nobody listens
	const year = 365 * 24 * time.Hour
	for _, c := range []struct {
		name    string
		off     time.Duration // of the right time from this test's
		servers []func([]byte) []byte
		dead    bool
		built   time.Time
		moves   bool
		rtc     bool
		says    string
	}{
		{name: "ahead", off: 56 * year, servers: []func([]byte) []byte{nettest.NTP(56 * year)},
			moves: true, rtc: true, says: "it is set to"},
		{name: "behind", off: -14 * year, servers: []func([]byte) []byte{nettest.NTP(-14 * year)},
			moves: true, rtc: true, says: "it is set to"},
		{name: "right", servers: []func([]byte) []byte{nettest.NTP(0)}},
		{name: "a little off", off: 300 * time.Millisecond,
			servers: []func([]byte) []byte{nettest.NTP(300 * time.Millisecond)}},
		{name: "the second one answers", off: year, servers: []func([]byte) []byte{silent, nettest.NTP(year)},
			moves: true, rtc: true, says: "it is set to"},
		{name: "a dead one and one that answers", off: year, dead: true, servers: []func([]byte) []byte{nettest.NTP(year)},
			moves: true, rtc: true, says: "it is set to"},
		{name: "before the build", off: -year, servers: []func([]byte) []byte{nettest.NTP(-year)}, built: time.Now(),
			says: "before this program was built"},
		{name: "not synchronised", servers: []func([]byte) []byte{with(nettest.NTP(year), 1, 16)},
			says: "no time server has answered"},
		{name: "kiss of death", servers: []func([]byte) []byte{with(nettest.NTP(year), 1, 0)},
			says: "no time server has answered"},
		{name: "an answer to somebody else", servers: []func([]byte) []byte{with(nettest.NTP(year), 24, 0xAA)},
			says: "no time server has answered"},
		{name: "a short answer", servers: []func([]byte) []byte{func([]byte) []byte { return []byte("no") }},
			says: "no time server has answered"},
		{name: "an empty answer", servers: []func([]byte) []byte{func([]byte) []byte { return []byte{} }},
			says: "no time server has answered"},
		{name: "a long answer", servers: []func([]byte) []byte{func(q []byte) []byte { return make([]byte, 1400) }},
			says: "no time server has answered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			f, r := &fake{system: start, rtc: start}, &nettest.Log{}
			var servers []string
			if c.dead {
				servers = append(servers, dead)
			}
			for _, s := range c.servers {
				servers = append(servers, nettest.UDP(t, s))
			}
			ctx, cancel := context.WithCancel(t.Context())
			(&Clock{Built: c.built, Logf: r.Printf, machine: f}).Start(ctx, servers)
			cancel()
			const busy = 10 * time.Second // that a busy machine may take longer
			if took := time.Since(start); took > Patience+busy {
				t.Errorf("Start took %v, want %v at most", took, Patience)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			want := start
			if c.moves {
				want = start.Add(c.off)
			}
			if !within(f.system, want) {
				t.Errorf("the clock says %v, want %v; said %s", f.system, want, r)
			}
			if c.rtc != (f.rtcSets == 1) {
				t.Errorf("the battery-backed clock was set %d times, want %v", f.rtcSets, c.rtc)
			}
			if said := r.String(); (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
				t.Errorf("said %q, want %q", said, c.says)
			}
		})
	}
}

// TestStartLate: a server that answers too late for the boot to wait still gets its word in.
func TestStartLate(t *testing.T) {
	t.Parallel()
	asked := make(chan bool, 10)
	late := func(q []byte) []byte {
		asked <- true
		if len(asked) < 2 {
			return nil
		}
		return nettest.NTP(time.Hour)(q)
	}
	start := time.Now()
	f := &fake{system: start, rtcErr: fs.ErrNotExist}
	(&Clock{machine: f}).Start(t.Context(), []string{nettest.UDP(t, late)})
	if !within(f.now(), start) {
		t.Fatalf("the clock says %v before a server has answered", f.now())
	}
	for !within(f.now(), start.Add(time.Hour)) {
		if time.Since(start) > 20*time.Second {
			t.Fatalf("the clock says %v, want %v", f.now(), start.Add(time.Hour))
		}
		time.Sleep(50 * time.Millisecond)
	}
	if f.rtcSets != 0 {
		t.Errorf("a battery-backed clock that is not there was set")
	}
}

// TestStartNone: without a server there is nothing to wait for.
func TestStartNone(t *testing.T) {
	f, r := &fake{system: empty}, &nettest.Log{}
	start := time.Now()
	(&Clock{Logf: r.Printf, machine: f}).Start(t.Context(), nil)
	if took := time.Since(start); took > time.Second || r.String() != "" || f.sets != 0 {
		t.Errorf("took %v, said %q, set %d times", took, r, f.sets)
	}
}

func TestHint(t *testing.T) {
	for _, c := range []struct {
		name               string
		now, stated, built time.Time
		refuses            error
		want               bool
		says               string
	}{
		{"1970 after the floor", built, today, built, nil, true, "says that it is 2026-11-27"},
		{"2040", later, today, built, nil, true, "the clock said 2040-01-01"},
		{"the same", today, today, built, nil, false, ""},
		{"before the build", later, built.Add(-time.Hour), built, nil, false, "before this program was built"},
		{"no known build", later, today, time.Time{}, nil, false, ""},
		{"no right to", later, today, built, unix.EPERM, false, "cannot set the clock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, r := &fake{system: c.now, rtc: c.now, refuses: c.refuses}, &nettest.Log{}
			got := (&Clock{Built: c.built, Logf: r.Printf, machine: f}).Hint("registry r.example", c.stated)
			want := c.now
			if c.want {
				want = c.stated
			}
			if got != c.want || !f.system.Equal(want) {
				t.Errorf("Hint = %v and the clock says %v, want %v and %v", got, f.system, c.want, want)
			}
			if said := r.String(); (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
				t.Errorf("said %q, want %q", said, c.says)
			}
		})
	}
}

// TestHintProven: who has the time of a time server needs no hint.
func TestHintProven(t *testing.T) {
	f := &fake{system: time.Now()}
	c := &Clock{Built: built, machine: f}
	c.Start(t.Context(), []string{nettest.UDP(t, nettest.NTP(time.Hour))})
	before := f.now()
	if c.Hint("registry r.example", today.Add(time.Hour)) || !f.now().Equal(before) {
		t.Errorf("the clock says %v, want %v", f.now(), before)
	}
}

// TestBattery: a clock with a date that is none is set, one that is right is left alone.
func TestBattery(t *testing.T) {
	for _, c := range []struct {
		name string
		rtc  time.Time
		err  error
		sets int
	}{
		{"right", today, nil, 0},
		{"wrong", later, nil, 1},
		{"no valid date", time.Time{}, unix.EINVAL, 1},
		{"none", time.Time{}, fs.ErrNotExist, 0},
		{"broken", time.Time{}, errors.New("input/output error"), 0},
	} {
		f := &fake{system: today, rtc: c.rtc, rtcErr: c.err}
		if err := (&Clock{Built: built, machine: f}).step(today, today); err != nil || f.rtcSets != c.sets || f.sets != 0 {
			t.Errorf("%s: %v, set %d times, the system's %d times; want %d and 0", c.name, err, f.rtcSets, f.sets, c.sets)
		}
	}
}
