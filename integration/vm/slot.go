package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// slots limits how many machines run at once, in all test programs together. Under plain emulation each machine needs a
// processor; with more machines, timeouts would be unreliable.
const slots = 2

// Turn waits until a machine that the test starts itself may run. It returns a function to call when the machine has
// ended.
func Turn(t testing.TB) (free func()) {
	t.Helper()
	free, err := slot(t, filepath.Join(out(t), "test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
	return free
}

// slot waits until fewer machines than slots run, and returns a function to call when this machine has ended. The slots
// are file locks in dir, because several test programs run at once. The test's log says how long it waited, which
// tools/summary takes off the time that the test took.
func slot(t testing.TB, dir string) (free func(), err error) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	begin := time.Now()
	for ; ; time.Sleep(100 * time.Millisecond) {
		for i := range slots {
			f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("slot-%d", i)), os.O_CREATE|os.O_RDWR, 0o644)
			if err != nil {
				return nil, err
			}
			// The lock belongs to this open file description (flock(2)), so it also excludes this program's other
			// machines.
			if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				t.Logf("waited %.1f s for other machines to end", time.Since(begin).Seconds())
				return sync.OnceFunc(func() { f.Close() }), nil
			}
			f.Close()
		}
	}
}
