package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// unpacking prints how long the image's kernel takes to unpack each form of initramfs.
func (c *cmd) unpacking(ctx context.Context, dir, self, wyrcan, ref string) error {
	work := filepath.Join(dir, "forms")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	kernel := filepath.Join(work, "kernel")
	if err := run(wyrcan, "morph", ref, "-kernel", kernel, "-initrd", filepath.Join(work, "initrd")); err != nil {
		return err
	}
	list := slices.DeleteFunc(forms(), func(f form) bool { return f.check }) // the bytes are those of another form
	for _, f := range list {
		if err := run(self, "-form", f.name, "-o", filepath.Join(work, f.name), ref); err != nil {
			return err
		}
	}
	times := make(map[string][]time.Duration)
	for range c.runs {
		for _, f := range list {
			took, err := unpack(ctx, kernel, filepath.Join(work, f.name))
			if err != nil {
				return fmt.Errorf("unpacking %s: %w", f.name, err)
			}
			times[f.name] = append(times[f.name], took)
		}
	}
	fmt.Fprintf(c.stdout, "\nThe kernel's own time to unpack, under emulation, medians of %d:\n\n"+
		"| form | bytes | time |\n| --- | ---: | ---: |\n", c.runs)
	for _, f := range list {
		info, err := os.Stat(filepath.Join(work, f.name))
		if err != nil {
			return err
		}
		took := median(times[f.name], func(d time.Duration) time.Duration { return d })
		fmt.Fprintf(c.stdout, "| %s | %s | %.2f s |\n", f.about, megabytes(info.Size()), took.Seconds())
	}
	return nil
}

// unpack boots a kernel and returns how long it took to unpack its initramfs, by its own clock. There is no first
// program: the kernel then panics, and the machine ends.
func unpack(ctx context.Context, kernel, initrd string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	out, err := qemu(ctx, kernel, initrd, "console=ttyS0 rdinit=/nothing root=/dev/nothing panic=-1", "-nic",
		"none").Output()
	if err != nil {
		return 0, err
	}
	begin, err1 := stamp(out, "Trying to unpack rootfs image as initramfs")
	end, err2 := stamp(out, "Freeing initrd memory")
	if bytes.Contains(out, []byte("Initramfs unpacking failed")) {
		return 0, errors.New("the kernel could not unpack it")
	}
	return end - begin, errors.Join(err1, err2)
}

// qemu returns a machine whose serial line is its standard output.
func qemu(ctx context.Context, kernel, initrd, cmdline string, more ...string) *exec.Cmd {
	args := []string{
		"-accel", "tcg", "-cpu", "max,-cx16", "-m", "3G", "-smp", "2", "-display", "none", "-monitor", "none",
		"-serial", "stdio", "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append", cmdline,
	}
	return exec.CommandContext(ctx, "qemu-system-x86_64", append(args, more...)...)
}

// stamp returns the time of a line in the kernel's log.
func stamp(log []byte, text string) (time.Duration, error) {
	m := regexp.MustCompile(`\[ *([0-9]+\.[0-9]+)\] ` + regexp.QuoteMeta(text)).FindSubmatch(log)
	if m == nil {
		return 0, fmt.Errorf("the kernel did not print %q", text)
	}
	s, err := strconv.ParseFloat(string(m[1]), 64)
	return time.Duration(s * float64(time.Second)), err
}
