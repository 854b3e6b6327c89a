package console

import (
	"os"
	"strings"
)

// KernelLog adds a line to the kernel's log, where it survives in dmesg, netconsole and pstore after the screen has
// scrolled on. Its level, info, keeps it off the consoles, which were told already. Errors are not for anybody: there is
// no better place to report them.
func KernelLog(line string) {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	// <14> is facility user, level info: Documentation/ABI/testing/dev-kmsg. A newline would end the record.
	f.WriteString("<14>" + strings.ReplaceAll(strings.TrimSpace(line), "\n", " ") + "\n")
}
