package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// mount mounts /image, by a loop device, and returns where. /kind names the file system, and the kernel modules for that
// are /1.ko, /2.ko and so on.
func mount() (string, error) {
	for i := 1; ; i++ {
		name := fmt.Sprintf("/%d.ko", i)
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err == nil {
			err = unix.InitModule(b, "")
		}
		if err != nil {
			return "", fmt.Errorf("cannot load %s: %w", name, err)
		}
	}
	kind, err := os.ReadFile("/kind")
	if err != nil {
		return "", err
	}
	options := ""
	if string(kind) == "squashfs" {
		options = "errors=panic"
	}
	const at = "/mnt"
	for _, dir := range []string{"/dev", at} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
	}
	if err := unix.Mount("dev", "/dev", "devtmpfs", 0, ""); err != nil {
		return "", fmt.Errorf("cannot mount /dev: %w", err)
	}
	image, err := os.Open("/image")
	if err != nil {
		return "", err
	}
	defer image.Close()
	loop, err := os.Open("/dev/loop0")
	if err != nil {
		return "", err
	}
	defer loop.Close()
	config := unix.LoopConfig{Fd: uint32(image.Fd())}
	config.Info.Flags = unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR
	if err := unix.IoctlLoopConfigure(int(loop.Fd()), &config); err != nil {
		return "", fmt.Errorf("cannot set up a loop device: %w", err)
	}
	if err := unix.Mount("/dev/loop0", at, string(kind), unix.MS_RDONLY, options); err != nil {
		return "", fmt.Errorf("cannot mount the image: %w", err)
	}
	return at, nil
}
