package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The output on the console shows whether the container's kernel was started.
func TestFollow(t *testing.T) {
	const booted = "\x1bcSeaBIOS\r\nwyrboot: Wyrcan v1, the container bootloader\r\n" +
		"wyrboot: pull  83%\r\x1b[Kwyrboot: stage pull 1.32 s\r\nwyrboot: stage load 1.14 s\r\n"
	const starts = booted + "wyrboot: starts kernel 6.1.0-56-amd64 of 10.0.2.2:40987/image:latest after 30.4 s\r\n"
	const failed = "wyrboot: cannot start the kernel of x: device or resource busy\r\n" +
		"wyrboot: the machine reboots in 60 s; press Enter to reboot now\r\n\r\nwyrboot: reboots\r\n" +
		"[   99.9] reboot: Restarting system\r\n"
	for name, row := range map[string]struct {
		console       string
		jumped, alive bool
	}{
		"nothing":        {"", false, false},
		"firmware alone": {"SeaBIOS\r\nBooting from ROM...\r\n", false, false},
		"a failure":      {booted + failed, false, false},
		"the words elsewhere": {"[    0.0] Command line: wyr.arg=\"wyrboot: starts kernel x of x after 1.0 " +
			"s\"\r\nmore\r\n", false, false},
		"the words in an error": {booted +
			"wyrboot: cannot get x: it says wyrboot: starts kernel 1 of x after 3.0 s\r\nmore\r\n", false, false},
		"the jump and no more": {starts, true, false},
		"ended by Ctrl-A, X":   {starts + "QEMU: Terminated\n\r", true, false},
		"blank lines":          {starts + "\r\n \r\n\x1b[0m\r\n", true, false},
		"Wyrcan's kernel shuts down": {starts +
			"[   30.61] sd 0:0:0:0: [sda] Synchronizing SCSI cache\r\n[   30.7] kexec_core: Starting new kernel\r\n",
			true, false},
		"the jump fails":            {starts + failed, false, false},
		"cut amid the failure":      {starts + "wyrbo", false, false},
		"the container's kernel":    {starts + "[    0.000000] Linux version 6.1\r\n", true, true},
		"its decompressor":          {starts + "\r\nDecompressing Linux... ", true, true},
		"its init":                  {starts + "wyrcan-demo: kernel\r\n", true, true},
		"a prompt":                  {starts + "\x1b[2J\x1b[Hdebian login: ", true, true},
		"a quiet power-off":         {starts + "[   33.0] reboot: Power down\r\n", true, true},
		"a quiet kernel much later": {starts + "[   93.0] random: crng init done\r\n", true, true},
		"a link changes": {starts +
			"wyrboot: eth0 (virtio_net, 52:54:00:12:34:56): 10.0.2.15/24 fec0::1/64\r\nhello\r\n", true, true},
		"a link changes, and fails": {starts + "wyrboot: eth0 (virtio_net, 52:54:00:12:34:56): lost\r\n" +
			failed, false, false},
		"Wyrcan by Wyrcan": {starts + "wyrboot: Wyrcan v2, the container bootloader\r\n" +
			failed, true, true},
		"Wyrcan's log on the console": {starts +
			"[   30.44] wyrboot: starts kernel 6.1.0-56-amd64 of 10.0.2.2:40987/image:latest after 30.4 s\r\nhello\r\n",
			true, true},
		"success after a failure": {starts + failed + starts + "hello\r\n", true, true},
	} {
		w := &watcher{begin: time.Now()}
		var out bytes.Buffer
		// In one piece, and byte by byte.
		for _, console := range []io.Reader{strings.NewReader(row.console),
			iotest.OneByteReader(strings.NewReader(row.console))} {
			*w = watcher{begin: time.Now()}
			out.Reset()
			if w.watch(console, &out); w.alive != row.alive || row.alive == false && w.jumped != row.jumped {
				t.Errorf("%s: jumped %v, alive %v, want %v, %v", name, w.jumped, w.alive, row.jumped, row.alive)
			}
			if out.String() != row.console {
				t.Errorf("%s: the console came out changed: %q", name, out.String())
			}
		}
	}
}

func TestWatch(t *testing.T) {
	const console = "SeaBIOS\r\n" +
		"[    0.0] Kernel command line: console=ttyS0 wyr.arg=THE-WORDS\r\n" +
		"wyrboot: Wyrcan v1\r\n" +
		"wyrboot: stage drivers 0.25 s\r\nwyrboot: stage network 1.5 s\r\nwyrboot: stage broken s\r\n" +
		"wyrboot: stage load 2 s\r\n"
	for _, row := range []struct {
		console string
		found   bool
		stages  []stage
	}{
		{console + "[    0.0] Command line: THE-WORDS\r\nhello THE-WORDS here\r\nand more", true,
			[]stage{{"drivers", 250 * time.Millisecond}, {"network", 1500 * time.Millisecond},
				{"load", 2 * time.Second}}},
		{console, false,
			[]stage{{"drivers", 250 * time.Millisecond}, {"network", 1500 * time.Millisecond},
				{"load", 2 * time.Second}}},
		{"THE-WORDS", true, nil}, // without an end of the line
		{strings.Repeat("x", 10_000) + "\nTHE-WORDS", true, nil},
		{"", false, nil},
	} {
		w := &watcher{until: "THE-WORDS", begin: time.Now()}
		var out bytes.Buffer
		found := w.watch(strings.NewReader(row.console), &out)
		if found != row.found || !cmp.Equal(w.stages, row.stages, cmp.AllowUnexported(stage{})) {
			t.Errorf("watch(%q) = %v with %v, want %v with %v", row.console, found, w.stages, row.found, row.stages)
		}
		if out.String() != row.console {
			t.Errorf("watch(%q) showed %q", row.console, out.String())
		}
		if table := w.table(); (table != "") != (row.stages != nil) || row.stages != nil &&
			!strings.Contains(table, "network  1.500 s") {
			t.Errorf("after %q the table is %q", row.console, table)
		}
	}
}
