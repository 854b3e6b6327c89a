// Hopper is the /init of a test system. It boots one container image after the other, each with another kernel or with
// another form of its root, and prints what each of these systems is.
//
// Description:
//
//	The word hopper=NAME:ROOT:PLACE:VERITY,… of the kernel's command line says how to go on. NAME is an image in a
//	layout below /images. ROOT is the form of the root, as wyr.root= names it. PLACE says whether an image of the root may
//	be left in memory ("memory") or not ("file"), or whether the running kernel refuses that when it loads it
//	("refused"). VERITY says whether the kernel checks the image, as wyr.verity= does. The booted container gets the rest
//	of the list, with the images that are still to come, and hopper as its /init. After the last one the machine is
//	powered off.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/guest"
	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

func main() { guest.Main("hopper", run) }

func say(format string, args ...any) { fmt.Printf("hopper: "+format+"\n", args...) }

func run() error {
	if err := guest.Silence(); err != nil {
		return err
	}
	words, err := guest.Words()
	if err != nil {
		return err
	}
	if err := tell(); err != nil {
		return err
	}
	if err := use(); err != nil {
		return err
	}
	for i, word := range words {
		if list, ok := strings.CutPrefix(word, "hopper="); ok && list != "" {
			step, rest, _ := strings.Cut(list, ",")
			words[i] = "hopper=" + rest
			return hop(step, rest, words)
		}
	}
	say("done")
	return nil
}

// tell prints the kernel, what is mounted at /, the block devices that hold something, and the modules in the order in
// which they were loaded.
func tell() error {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	say("begin %s", bytes.TrimSpace(release))
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	kind := ""
	for line := range strings.Lines(string(mounts)) { // a later mount hides earlier ones
		if f := strings.Fields(line); len(f) > 2 && f[1] == "/" {
			kind = f[2]
		}
	}
	say("root %s", kind)
	sizes, err := filepath.Glob("/sys/block/*/size")
	if err != nil {
		return err
	}
	var devices []string
	for _, file := range sizes {
		size, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if string(size) != "0\n" {
			devices = append(devices, filepath.Base(filepath.Dir(file)))
		}
	}
	say("devices %s", strings.Join(devices, " "))
	list, err := os.ReadFile("/proc/modules")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var modules []string
	for line := range strings.Lines(string(list)) { // the last one comes first
		name, _, _ := strings.Cut(line, " ")
		modules = append(modules, name)
	}
	slices.Reverse(modules)
	say("modules %s", strings.Join(modules, " "))
	return nil
}

// use reads and changes files of the image, if this is a container. What it does depends on the kernel's configuration
// and on its overlay.
func use() error {
	data, err := os.ReadFile("/data/noise")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	say("data %s", hex.EncodeToString(sum[:]))
	var one, other unix.Stat_t
	if err := errors.Join(unix.Stat("/data/noise", &one), unix.Stat("/data/link", &other)); err != nil {
		return err
	}
	b := make([]byte, 64)
	n, err := unix.Getxattr("/data/noise", "trusted.test", b)
	if err != nil {
		return fmt.Errorf("cannot read an attribute: %w", err)
	}
	say("link %v attribute %s", one.Ino == other.Ino && one.Dev == other.Dev && one.Nlink == 2, b[:n])
	if err := os.Rename("/data", "/moved"); err != nil {
		return err
	}
	if err := unix.Setxattr("/moved/noise", "trusted.test", []byte("changed"), 0); err != nil {
		return fmt.Errorf("cannot change an attribute: %w", err)
	}
	if err := os.WriteFile("/moved/new", []byte("new"), 0o600); err != nil {
		return err
	}
	if err := os.Remove("/moved/gone"); err != nil {
		return err
	}
	names, err := filepath.Glob("/moved/*")
	if err != nil {
		return err
	}
	say("changed %s", strings.Join(names, " "))
	return nil
}

// hop boots the image of a step. rest are the steps after it.
func hop(step, rest string, words []string) error {
	parts := strings.Split(step, ":")
	if len(parts) != 4 {
		return fmt.Errorf("%q is no step", step)
	}
	ctx := context.Background()
	wyrinit, err := os.ReadFile("/wyrinit")
	if err != nil {
		return err
	}
	b := &boot.Boot{
		Root:   bundle.Root(parts[1]),
		Verity: parts[3],
		Logf:   func(format string, args ...any) { say("says "+format, args...) },
		Budget: bundle.Budget{
			Read:   func() (memory.Info, error) { return memory.Read("/proc/meminfo") },
			Copies: kexec.Copies(),
			Remedy: "give the machine more memory",
		},
		Kernel: kernel{place: parts[2]},
	}
	img, err := new(image.Source).Open(ctx, "oci:/images/"+parts[0])
	if err != nil {
		return err
	}
	tree, err := b.Read(ctx, img, own(rest))
	if err != nil {
		return err
	}
	made, err := b.Convert(ctx, tree, bundle.Options{Args: words, Wyrinit: wyrinit})
	if err != nil {
		return err
	}
	if err := b.Load(ctx, made); err != nil {
		return err
	}
	guest.Drain()
	return kexec.Jump()
}

// kernel is the running kernel, which leaves images in memory if it is to.
type kernel struct{ place string }

func (k kernel) CanLeaveImage() error {
	if k.place == "file" {
		return errors.New("the image is to be in a file")
	}
	return kexec.CanLeaveImage()
}

func (kernel) Load(kernel, initrd *os.File, cmdline string) (kexec.Result, error) {
	return kexec.Load(kernel, initrd, cmdline)
}

func (k kernel) LoadImage(kernel, initrd, image *os.File, cmdline string) error {
	if k.place == "refused" {
		return errors.New("the image is refused")
	}
	return kexec.LoadImage(kernel, initrd, image, cmdline)
}

func (kernel) Wait(ctx context.Context) error { return kexec.Wait(ctx) }

// own is the layer with what the next system needs for the steps that remain.
type own string

func (own) String() string                    { return "hopper's own layer" }
func (own) Digests() (stored, archive string) { return "", "" }

func (o own) Open(context.Context) (io.ReadCloser, error) {
	roots := []string{"/init", "/wyrinit"}
	for _, step := range strings.Split(string(o), ",") {
		if name, _, ok := strings.Cut(step, ":"); ok && !slices.Contains(roots, "/images/"+name) {
			roots = append(roots, "/images/"+name)
		}
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(write(w, roots)) }()
	return r, nil
}

// write writes files and directories to an archive.
func write(to io.Writer, roots []string) error {
	w := tar.NewWriter(to)
	for _, root := range roots {
		err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			h, err := tar.FileInfoHeader(info, "")
			if err != nil {
				return err
			}
			h.Name = path[1:]
			if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		})
		if err != nil {
			return err
		}
	}
	return w.Close()
}
