// Package grub writes the configuration with which GRUB starts Wyrcan.
package grub

import (
	"fmt"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// Title is the name of the entry in the menu.
const Title = "Wyrcan ~ The Container Bootloader"

// Entry is what GRUB starts. A path without a device is one on the device or the server that GRUB's configuration came
// from.
type Entry struct {
	Kernel, Initrd string // paths
	Cmdline        string // the kernel's command line
	Timeout        int    // seconds that the menu waits for a person
}

// Config returns the text of grub.cfg: a menu with one entry, which boots by itself. GRUB shows it on the consoles of
// the firmware, which has the serial one among them where it is configured so.
func (e Entry) Config() (string, error) {
	linux := "  linux " + e.Kernel
	for _, a := range cmdline.Parse(e.Cmdline) {
		word := a.Key
		if a.HasValue {
			word += "=" + a.Value
		}
		if got := cmdline.Parse(passed(word)); len(got) != 1 || got[0] != a {
			return "", fmt.Errorf("GRUB cannot pass the argument %s to a kernel: it would arrive as %s", a, passed(word))
		}
		linux += " " + quoted(word)
	}
	return fmt.Sprintf("set timeout=%d\nmenuentry %s {\n%s\n  initrd %s\n}\n",
		e.Timeout, quoted(Title), linux, e.Initrd), nil
}

// passed returns what a kernel gets of a word: GRUB puts one with a space in it into quotes, and a backslash, which the
// kernel takes for a character like any other, before quotes and backslashes (grub_create_loader_cmdline in its
// grub-core/lib/cmdline.c).
func passed(word string) string {
	word = strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`).Replace(word)
	if strings.Contains(word, " ") {
		return `"` + word + `"`
	}
	return word
}

// quoted returns a word without single quotes in it as GRUB's shell language has it, where nothing inside single quotes
// has a meaning: GRUB's manual, "Quoting".
func quoted(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:/=_-+@%"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + word + "'"
}
