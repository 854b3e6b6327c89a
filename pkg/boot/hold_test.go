package boot

import (
	"errors"
	"os"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
)

// TestHold loads without copies where that works, with hardly any memory, and as others do where it does not.
func TestHold(t *testing.T) {
	started := errors.New("it has started")
	for name, c := range map[string]struct {
		available int64 // MiB, at the load
		fails     error
		want      string // the error of the load
		loads     int
	}{
		"works":              {available: 20},
		"no memory":          {available: 16, want: "too little memory: to load the container's kernel and initrd takes "},
		"fails":              {available: 512, fails: errors.New("encrypted"), loads: 1},
		"fails, no memory":   {available: 20, fails: errors.New("encrypted"), want: "too little memory: to load "},
		"fails, then a load": {available: 512, fails: errors.New("no room"), loads: 1},
	} {
		w := newWorld(t, bundle.Budget{})
		jumped := false
		w.Hold = func(kernel, initrd, image *os.File, cmdline string) (func() error, error) {
			if c.fails != nil {
				return nil, c.fails
			}
			if image != nil || !strings.Contains(content(t, initrd), "noise") || cmdline != "console=ttyS0 quiet" {
				t.Errorf("%s: Hold was given the image %v, the command line %q", name, image, cmdline)
			}
			return func() error { jumped = true; return started }, nil
		}
		w.beforeLoad = func() { w.available.Store(c.available << 20) }
		step, err := w.run(t.Context(), w.push(bootable()))
		switch {
		case c.want != "":
			if step != "load" || !strings.Contains(err.Error(), c.want) || !short(err) {
				t.Errorf("%s: %s = %v, want load to fail with %q", name, step, err, c.want)
			}
		case err != nil:
			t.Errorf("%s: %s = %v", name, step, err)
		}
		if w.loads != c.loads {
			t.Errorf("%s: %d kernels were loaded with copies, want %d", name, w.loads, c.loads)
		}
		if said := strings.Join(w.said, "\n"); c.fails != nil && !strings.Contains(said, c.fails.Error()) {
			t.Errorf("%s: it said %q, and not why there are copies", name, said)
		}
		if err == nil && c.fails == nil {
			if err := w.Jump(); err != started || !jumped {
				t.Errorf("%s: Jump = %v", name, err)
			}
		}
	}
}
