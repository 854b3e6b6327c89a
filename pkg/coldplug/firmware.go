package coldplug

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLog limits how many bytes of the kernel's log are read: the log could grow faster than it is read.
const maxLog = 8 << 20

// firmwareWanted returns the names of the firmware that drivers did not find, by the name of the device, according to
// the kernel's log in the file.
func firmwareWanted(file string) map[string][]string {
	wanted := make(map[string][]string)
	for line := range strings.Lines(kernelLog(file)) {
		device, name, ok := firmwareFailure(line)
		if ok && !slices.Contains(wanted[device], name) {
			wanted[device] = append(wanted[device], name)
		}
	}
	return wanted
}

// firmwareFailure parses a line of the kernel's log about missing firmware: "bnx2 0000:01:00.0: Direct firmware load
// for bnx2/a.fw failed with error -2" (drivers/base/firmware_loader/main.c), or Debian's form: "firmware: failed to
// load bnx2/a.fw (-2)".
func firmwareFailure(line string) (device, name string, ok bool) {
	for _, form := range []struct{ before, after string }{
		{": Direct firmware load for ", " failed with error "},
		{": firmware: failed to load ", " ("},
	} {
		source, rest, found := strings.Cut(line, form.before)
		name, _, complete := strings.Cut(rest, form.after)
		if !found || !complete || name == "" {
			continue
		}
		return source[strings.LastIndexAny(source, " ;")+1:], name, true
	}
	return "", "", false
}

// kernelLog returns the content of the kernel's log so far (Documentation/ABI/testing/dev-kmsg), or "" if it cannot be
// read.
func kernelLog(file string) string {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var log strings.Builder
	b := make([]byte, 16<<10) // a record has 8 KiB at most
	for log.Len() < maxLog {
		n, err := unix.Read(fd, b)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR): // the oldest records were overwritten meanwhile
			continue
		case err != nil || n == 0:
			return log.String()
		}
		log.Write(b[:n])
	}
	return log.String()
}
