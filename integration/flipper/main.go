// Flipper is the /init of a container whose kernel checks the root by dm-verity. It says what the root is, and reads
// all files that /sums lists. With the word flip=FILE on the kernel's command line it then changes one bit of that file in
// the memory that the root's image is in, and reads them all again.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/guest"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

func main() { guest.Main("flipper", run) }

func say(format string, args ...any) { fmt.Printf("flipper: "+format+"\n", args...) }

func run() error {
	words, err := guest.Words()
	if err != nil {
		return err
	}
	say("command line %s", strings.Join(words, " "))
	if b, err := os.ReadFile(record.File); err == nil { // morph leaves none
		r, err := record.Parse(b)
		if err != nil {
			return err
		}
		say("record %s", r.Initrd.RootHash)
	}
	disk, err := tell()
	if err != nil {
		return err
	}
	if err := compare(); err != nil {
		return err
	}
	for _, word := range words {
		file, ok := strings.CutPrefix(word, "flip=")
		if !ok {
			continue
		}
		if err := flip(disk, file); err != nil {
			return err
		}
		if err := compare(); err != nil {
			return err
		}
	}
	say("end")
	return nil
}

// tell says what the root's image is in, and returns the device under the one of dm-verity.
func tell() (string, error) {
	found, err := filepath.Glob("/sys/block/dm-*")
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("there are %d devices of dm, %v", len(found), err)
	}
	under, err := os.ReadDir(found[0] + "/slaves")
	if err != nil || len(under) != 1 {
		return "", fmt.Errorf("%s has %d devices under it, %v", found[0], len(under), err)
	}
	var facts []string
	for _, name := range []string{"dm/name", "dm/uuid", "ro"} {
		b, err := os.ReadFile(filepath.Join(found[0], name))
		if err != nil {
			return "", err
		}
		facts = append(facts, strings.TrimSpace(string(b)))
	}
	say("device %s over %s", strings.Join(facts, " "), under[0].Name())
	return "/dev/" + under[0].Name(), nil
}

// compare reads all files, each from the device.
func compare() error {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return err
	}
	list, err := os.ReadFile("/sums")
	if err != nil {
		return err
	}
	same := 0
	for line := range strings.Lines(string(list)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch got, err := sum(name); {
		case errors.Is(err, unix.EIO):
			say("%s cannot be read", name)
		case err != nil:
			return err
		case got != want:
			say("%s is another file", name)
		default:
			same++
		}
	}
	say("%d files are the same", same)
	return nil
}

func sum(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// flip changes a bit in the middle of a file, which nothing can compress.
func flip(disk, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	part := content[len(content)/2:][:64]
	d, err := os.OpenFile(disk, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	image, err := io.ReadAll(d)
	if err != nil {
		return err
	}
	at := bytes.Index(image, part)
	if at < 0 {
		return fmt.Errorf("%s does not have %s", disk, file)
	}
	if _, err := d.WriteAt([]byte{part[0] ^ 1}, int64(at)); err != nil {
		return err
	}
	say("a bit of block %d is another one", at/4096)
	return nil
}
