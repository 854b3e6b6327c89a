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

// slots bounds how many machines run at once, in all test programs together: under plain emulation each wants a
// processor, and more of them only make every timeout a guess.
const slots = 2

// slot waits until fewer machines than slots run, and returns what to call when this one does not run any more. The
// slots are locks of files: packages are tested by programs of their own, several at once.
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
			// The lock belongs to this opening of the file (flock(2)), so it holds against this program's other machines too.
			if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				return sync.OnceFunc(func() { f.Close() }), nil
			}
			f.Close()
		}
	}
}
