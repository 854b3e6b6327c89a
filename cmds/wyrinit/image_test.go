package main

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestConsole makes the device that the kernel makes in an initramfs, and leaves the directory as old as it was.
func TestConsole(t *testing.T) {
	imagetest.NeedsRoot(t, "to make a device")
	past := time.Unix(1_000_000_000, 0)
	for name, c := range map[string]struct {
		dev, console bool // the image has them
	}{"none": {}, "an empty directory": {dev: true}, "both": {true, true}} {
		root := t.TempDir()
		path := root + "/dev/console"
		if c.dev {
			if err := os.Mkdir(root+"/dev", 0o750); err != nil {
				t.Fatal(err)
			}
		}
		if c.console {
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if c.dev {
			if err := os.Chtimes(root+"/dev", past, past); err != nil {
				t.Fatal(err)
			}
		}
		if err := makeConsole(root); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var console unix.Stat_t
		if err := unix.Stat(path, &console); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		device := console.Mode == unix.S_IFCHR|0o600 && console.Rdev == unix.Mkdev(5, 1)
		if device == c.console {
			t.Errorf("%s: /dev/console has the mode %o and the number %#x", name, console.Mode, console.Rdev)
		}
		if info, err := os.Stat(root + "/dev"); err != nil || c.dev && !info.ModTime().Equal(past) {
			t.Errorf("%s: /dev has another time, %v", name, err)
		}
	}
}
