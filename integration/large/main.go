// Large is the /init of a container that is larger than 4 GiB. For every file in /large it prints the size, and whether
// all pages have the content that package pattern wrote, or which file before it is the same one.
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
	seen := map[uint64]string{}
	for _, name := range names {
		if err := look(name, seen); err != nil {
			fmt.Printf("large: %v\n", err)
		}
	}
	err = guest.PowerOff()
	fmt.Printf("large: cannot power off: %v\n", err)
	select {}
}

// look prints what a file is like. seen are the names of the files that were read before, by their inode.
func look(name string, seen map[uint64]string) error {
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
	content := "all pages"
	if other, ok := seen[st.Ino]; ok {
		content = "is " + other
	} else {
		size, err := pattern.Check(f, filepath.Base(name))
		if err != nil {
			return err
		}
		if size != st.Size {
			return fmt.Errorf("%s has %d bytes in pages, but its size is %d", name, size, st.Size)
		}
	}
	seen[st.Ino] = filepath.Base(name)
	fmt.Printf("large: %s %o %d %d %d %d and %s\n", filepath.Base(name), st.Mode, st.Size, st.Nlink, st.Mtim.Sec,
		max(0, capability), content)
	return nil
}
