package vm

import (
	"regexp"
	"testing"
	"time"
)

// TestTrace has text arrive in pieces, and a landmark that comes twice in a row.
func TestTrace(t *testing.T) {
	r := trace{begin: time.Now()}
	text := ""
	for _, piece := range []string{
		"[    0.000000] Linux ver", "sion 6.1\n[    4.0] Run /init as init process\nwyrboot: Wyrcan 1\nwyrboot: sta",
		"ge pull 1.2 s\nno wyrboot: image\nwyrboot: starts kernel 6.1\n", "wyrcan-demo: a\nwyrcan-demo: b\nwyrboot: Wyrcan 2",
	} {
		text += piece
		r.see([]byte(text))
	}
	r.mark("the end")
	const want = `^Linux version 0\.\d, /init 0\.\d, Wyrcan 0\.\d, stage pull 0\.\d, ` +
		`starts kernel 0\.\d, wyrcan-demo 0\.\d, the end 0\.\d$`
	if got := r.String(); !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("the trace is %q, want %s", got, want)
	}
}

// TestSlot has one machine more than there are slots wait until another is done.
func TestSlot(t *testing.T) {
	dir := t.TempDir()
	var free [slots]func()
	for i := range free {
		var err error
		if free[i], err = slot(t, dir, false); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan func())
	go func() {
		last, err := slot(t, dir, false)
		if err != nil {
			t.Error(err)
		}
		got <- last
	}()
	select {
	case <-got:
		t.Error("one more machine may run than there are slots")
	case <-time.After(300 * time.Millisecond):
		free[0]()
		last := <-got
		last()
	}
	for _, f := range free {
		f() // also a second time
	}
}

// TestStep has a machine's failures be those of the step, and of the test again behind it.
func TestStep(t *testing.T) {
	v := &VM{t: t}
	v.Step(t, "step", func(sub *testing.T) {
		if v.t != sub || sub == t {
			t.Error("the machine fails another test than the step")
		}
	})
	if v.t != t {
		t.Error("the machine fails the step when it is over")
	}
}
