package memory

import (
	"os"
	"strconv"
	"strings"
)

// Possible is the file that Processors reads. Documentation/admin-guide/cputopology.rst describes it.
const Possible = "/sys/devices/system/cpu/possible"

// Processors returns how many processors a machine may ever have, by a file in the form of Possible: "0-63", in order.
// It returns 0 if the file does not say it. The kernel has memory ready for each of them, and some virtual machines may
// have hundreds that nobody plugs in.
func Processors(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	text := strings.TrimSpace(string(b))
	last, err := strconv.ParseUint(text[strings.LastIndexAny(text, "-,")+1:], 10, 16)
	if err != nil {
		return 0
	}
	return int(last) + 1
}
