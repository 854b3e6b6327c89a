package clock

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// device is the battery-backed clock that the kernel sets the time by when it starts: CONFIG_RTC_HCTOSYS_DEVICE.
const device = "/dev/rtc0"

// linux is the kernel that runs.
type linux struct{}

func (linux) now() time.Time { return time.Now() }

func (linux) set(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return unix.Settimeofday(&tv)
}

// battery reads the clock, which counts in UTC: Wyrcan has no other system's opinion to heed. The error is EINVAL where
// the clock has a date that is none, as one without power may: rtc(4).
func (linux) battery() (time.Time, error) {
	f, err := os.Open(device)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	t, err := unix.IoctlGetRTCTime(int(f.Fd()))
	if err != nil {
		return time.Time{}, err
	}
	return time.Date(int(t.Year)+1900, time.Month(t.Mon+1), int(t.Mday),
		int(t.Hour), int(t.Min), int(t.Sec), 0, time.UTC), nil
}

func (linux) setBattery(t time.Time) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	t = t.UTC()
	err = unix.IoctlSetRTCTime(int(f.Fd()), &unix.RTCTime{
		Sec: int32(t.Second()), Min: int32(t.Minute()), Hour: int32(t.Hour()),
		Mday: int32(t.Day()), Mon: int32(t.Month()) - 1, Year: int32(t.Year()) - 1900,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	return nil
}

// list names the servers, a few of them if there are many.
func list(servers []string) string {
	if len(servers) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(servers[:most], ", "), len(servers)-most)
	}
	return strings.Join(servers, ", ")
}
