package console

import (
	"fmt"
	"sync"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// Trouble tells a person about attempts that fail, in few lines. It says a cause at once when it is new, as one line.
// While attempts go on to fail, the status shows what failed last and how long that has lasted: on a terminal it is
// rewritten in place, in a log each cause is a line at most every 30 seconds. When an attempt has succeeded at last,
// Trouble says that too, once. Its methods may be called at the same time.
type Trouble struct {
	Out    interface{ Status(line string, due bool) } // a Screen or a Console
	Sayf   func(format string, args ...any)           // says one line, on Out and wherever else it belongs
	Prefix string                                     // of the status, as Sayf begins its lines

	mu    sync.Mutex
	since time.Time            // of the first failure since the last success; zero without one
	tries int                  // failures since the last success
	told  bool                 // a line was said since the last success
	last  string               // what failed last
	said  map[string]time.Time // when each cause was said
}

const (
	// silence is how long a cause that was said is not said again.
	silence = 30 * time.Second
	// maxCauses is how many new causes are said within that time: a server may invent a new one for each attempt.
	maxCauses = 8
	// brief is how long a trouble may last without a word about its end.
	brief = 5 * time.Second
)

// Failed tells of a failed attempt that is repeated after wait. text says what failed. cause is what stays the same in
// text when the same thing fails again: text without its amounts.
func (t *Trouble) Failed(cause, text string, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.since.IsZero() {
		t.since = now
	}
	t.tries++
	t.last = text
	next := units.Duration(wait)
	if t.isNew(cause, now) {
		t.said[cause], t.told = now, true
		t.Sayf("%s; tries again in %s", text, next)
	}
	at, known := t.said[cause]
	due := known && now.Sub(at) >= silence
	if due {
		t.said[cause], t.told = now, true
	}
	t.Out.Status(fmt.Sprintf("%stries again in %s (try %d, failing for %s): %s",
		t.Prefix, next, t.tries+1, units.Duration(now.Sub(t.since)), text), due)
}

// Moved tells of a failed attempt that is not repeated: next is asked at once. It says so in one line, and ends the
// status of what failed before.
func (t *Trouble) Moved(cause, text, next string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	now, cause := time.Now(), cause+"; asks "+next
	if t.isNew(cause, now) {
		t.said[cause] = now
		t.Sayf("%s; asks %s", text, next)
	}
}

// end forgets what has failed since the last success, and removes its status. t.mu is locked.
func (t *Trouble) end() {
	if !t.since.IsZero() {
		t.since, t.tries, t.told, t.last = time.Time{}, 0, false, ""
		t.Out.Status("", false)
	}
}

// isNew reports whether cause is to be said as a line of its own.
func (t *Trouble) isNew(cause string, now time.Time) bool {
	if t.said == nil {
		t.said = make(map[string]time.Time)
	}
	at, known := t.said[cause]
	if known && (t.tries > 1 || now.Sub(at) < silence) {
		return false
	}
	for c, at := range t.said {
		if now.Sub(at) >= silence && c != cause {
			delete(t.said, c)
		}
	}
	return known || len(t.said) < maxCauses
}

// Works tells that who, such as "registry registry.example", has given what it was asked for.
func (t *Trouble) Works(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() {
		return
	}
	lasted, tries, told := time.Since(t.since), t.tries, t.told
	t.end()
	if told && lasted >= brief {
		plural := "tries"
		if tries == 1 {
			plural = "try"
		}
		t.Sayf("%s answers again after %s, %d %s", who, units.Duration(lasted), tries, plural)
	}
}

// Last returns what failed last, or "" if nothing has failed since the last success.
func (t *Trouble) Last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}
