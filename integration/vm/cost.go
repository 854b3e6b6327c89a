package vm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// pause is how long a cost that was read counts as the present one. Machines say much in little time.
const pause = 100 * time.Millisecond

// A cost is what a machine costs this host: the time of its processors.
type cost struct {
	pidFile string // QEMU writes its process there
	read    time.Time
	seconds float64
}

// look reads the cost, unless that was just done. Where nobody can tell, because QEMU has not begun or has ended, it
// stays what it was.
func (c *cost) look(now time.Time) {
	if now.Sub(c.read) < pause {
		return
	}
	c.read = now
	pid, err := os.ReadFile(c.pidFile)
	if err != nil {
		return
	}
	stat, err := os.ReadFile("/proc/" + string(bytes.TrimSpace(pid)) + "/stat")
	if err != nil {
		return
	}
	if seconds, err := spent(string(stat)); err == nil {
		c.seconds = seconds
	}
}

// spent returns the processor time of a process, its own and that of the kernel for it, from its /proc/PID/stat:
// utime and stime of proc(5), in hundredths of a second.
func spent(stat string) (float64, error) {
	// The second field is the program's name in brackets, which may have any characters.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const first, utime, stime = 3, 14, 15
	if len(fields) <= stime-first {
		return 0, fmt.Errorf("%q has too few fields", stat)
	}
	user, err := strconv.ParseUint(fields[utime-first], 10, 64)
	system, err2 := strconv.ParseUint(fields[stime-first], 10, 64)
	return float64(user+system) / 100, errors.Join(err, err2)
}
