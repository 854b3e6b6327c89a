package vm

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// slots limits how many machines run at once, in all test programs together. Under plain emulation each machine needs a
// processor; with more machines, timeouts would be unreliable.
const slots = 2

// waiting is how many tests of a package may start at once. That is more than machines can run, so that a machine is
// ready to start when another one ends, and the machines that take longest can start first.
const waiting = 16

// Main is TestMain of a package whose tests boot machines.
func Main(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(waiting)); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// Turn waits until a machine that the test starts itself may run. It returns a function to call when the machine has
// ended.
func Turn(t testing.TB) (free func()) {
	t.Helper()
	free, err := slot(t, filepath.Join(out(t), "test"), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
	return free
}

// slot waits until fewer machines than slots run, and returns a function to call when this machine has ended. The slots
// are file locks in dir, because several test programs run at once. The test's log says how long it waited, which
// tools/summary takes off the time that the test took. A long machine tries ten times as often, so it mostly comes
// first.
func slot(t testing.TB, dir string, long bool) (free func(), err error) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	begin := time.Now()
	pause := 200 * time.Millisecond
	if long {
		pause /= 10
	}
	for ; ; time.Sleep(pause) {
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
