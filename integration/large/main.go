// Large is the /init of a container with more in it than 32 bits count: it looks at every page of what Write wrote.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/large/pattern"
)

func main() {
	if err := run(); err != nil {
		fmt.Printf("large: %v\n", err)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

func run() error {
	names, err := filepath.Glob("/large/*")
	if err != nil {
		return err
	}
	var all int64
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		n, err := pattern.Check(f, filepath.Base(name))
		if err != nil {
			return err
		}
		f.Close()
		all += n
	}
	fmt.Printf("large: %d bytes in %d files are as they should be\n", all, len(names))
	return nil
}
