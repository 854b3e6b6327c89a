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

// slot waits until fewer machines than slots run, and returns a function to call when this machine has ended. The slots
// are file locks, because several test programs run at once.
func slot(t testing.TB) (free func(), err error) {
	t.Helper()
	dir := filepath.Join(out(t), "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for ; ; time.Sleep(100 * time.Millisecond) {
		for i := range slots {
			f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("slot-%d", i)), os.O_CREATE|os.O_RDWR, 0o644)
			if err != nil {
				return nil, err
			}
			// The lock belongs to this open file description (flock(2)), so it also excludes this program's other
			// machines.
			if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				return sync.OnceFunc(func() { f.Close() }), nil
			}
			f.Close()
		}
	}
}
