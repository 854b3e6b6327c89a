// Large is the /init of a container that is larger than 4 GiB. For every file in /large it prints the size, and whether
// all pages have the content that package pattern wrote.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/guest"
	"gitlab.com/wyrcan/wyrcan/integration/large/pattern"
)

func main() {
	names, err := filepath.Glob("/large/*")
	if err != nil {
		fmt.Printf("large: %v\n", err)
	}
	for _, name := range names {
		if err := look(name); err != nil {
			fmt.Printf("large: %v\n", err)
		}
	}
	err = guest.PowerOff()
	fmt.Printf("large: cannot power off: %v\n", err)
	select {}
}

func look(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	capability, err := unix.Fgetxattr(int(f.Fd()), "security.capability", nil)
	if err != nil && err != unix.ENODATA {
		return err
	}
	written := filepath.Base(name)
	if written == "other-name" {
		written = "one"
	}
	size, err := pattern.Check(f, written)
	if err != nil {
		return err
	}
	if size != st.Size {
		return fmt.Errorf("%s has %d bytes in pages, but its size is %d", name, size, st.Size)
	}
	fmt.Printf("large: %s %o %d %d %d %d and all pages\n", filepath.Base(name), st.Mode, st.Size, st.Nlink, st.Mtim.Sec,
		max(0, capability))
	return nil
}
