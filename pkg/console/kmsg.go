package console

import (
	"os"
	"strings"
	"unicode/utf8"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// KernelLog adds a line to the kernel's log, so that dmesg, netconsole and pstore still have it after the screen has
// scrolled. The level is info, which the kernel does not print on the consoles: they have shown the line already. Line
// ends and control characters become spaces. KernelLog ignores errors, because there is no better place to report them.
//
// u-root's ulog.KernelLog does not serve here: it does not split a line that is too long for the kernel's log, and
// prints what the kernel refuses on standard error, which is the console.
func KernelLog(line string) {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	for _, text := range records(line) {
		// <14> is facility user, level info: Documentation/ABI/testing/dev-kmsg. A newline would end the record.
		f.WriteString("<14>" + text + "\n")
	}
}

// records splits a line into texts that the kernel's log accepts. It refuses more than LOG_LINE_MAX, about 970 bytes
// (kernel/printk/printk.c, devkmsg_write).
func records(line string) []string {
	const most = 900
	line = printable.Clip(line, printable.Long)
	var out []string
	for len(line) > most {
		n := strings.LastIndexByte(line[:most], ' ')
		if n < most/2 {
			for n = most; !utf8.RuneStart(line[n]); n-- {
			}
		}
		out = append(out, line[:n])
		line = strings.TrimLeft(line[n:], " ")
	}
	return append(out, line)
}
