// Package grub writes the configuration with which GRUB starts Wyrcan.
package grub

import (
	"errors"
	"fmt"
	"io"
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

// Room is the size of the file that Padded returns, and mark its first line. A medium with such a file can get another
// command line, at the same place and of the same size. GRUB takes what follows a # for a comment.
const (
	Room = 8 << 10
	mark = "# Wyrcan's entry, and room for another command line\n"
)

// Padded is Config with as many empty lines behind it as it takes for a file of Room bytes.
func (e Entry) Padded() (string, error) {
	text, err := e.Config()
	if err != nil {
		return "", err
	}
	text = mark + text
	if len(text) > Room {
		return "", fmt.Errorf("the command line has %d bytes, for which the medium has no room", len(e.Cmdline))
	}
	return text + strings.Repeat("\n", Room-len(text)), nil
}

// Find returns where a medium, of which a CD's file system divides the size into sectors, has the file that Padded
// returned.
func Find(r io.ReaderAt, size int64) (int64, error) {
	const sector = 2048
	b := make([]byte, 256*sector)
	for at := int64(0); at+Room <= size; at += int64(len(b)) {
		n, err := r.ReadAt(b, at)
		if err != nil && err != io.EOF {
			return 0, err
		}
		for i := 0; i+len(mark) <= n; i += sector {
			if string(b[i:i+len(mark)]) == mark && at+int64(i)+Room <= size {
				return at + int64(i), nil
			}
		}
	}
	return 0, errors.New("it is not the medium of make SECUREBOOT=1: it has no configuration of GRUB by Wyrcan")
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
