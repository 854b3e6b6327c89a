package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// loading prints the times of kexec_load and kexec_file_load: to load the next kernel, and from the last message of
// the boot environment to the first message of the next kernel.
func (c *cmd) loading(ctx context.Context, dir, wyrcan, ref string) error {
	slow, err := shortHeader(ctx, dir, wyrcan, ref)
	if err != nil {
		return err
	}
	ways := []struct{ name, ref string }{{"kexec_load", ref}, {"kexec_file_load", slow}}
	type times struct{ load, jump time.Duration }
	took := make(map[string][]times)
	for range c.runs {
		for _, w := range ways {
			load, jump, err := boot(ctx, filepath.Dir(wyrcan), w.ref, w.name)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			took[w.name] = append(took[w.name], times{load, jump})
		}
	}
	fmt.Fprint(c.stdout, "\nFrom kernel and initrd to the next kernel's first message, under emulation:\n\n"+
		"| way | load | jump |\n| --- | ---: | ---: |\n")
	for _, w := range ways {
		load := median(took[w.name], func(t times) time.Duration { return t.load })
		jump := median(took[w.name], func(t times) time.Duration { return t.jump })
		fmt.Fprintf(c.stdout, "| %s | %.2f s | %.2f s |\n", w.name, load.Seconds(), jump.Seconds())
	}
	return nil
}

// shortHeader pushes the image once more, with a kernel that only kexec_file_load takes: its header ends before
// handover_offset, which is not needed here.
func shortHeader(ctx context.Context, dir, wyrcan, ref string) (string, error) {
	work := filepath.Join(dir, "loading")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	file := filepath.Join(work, "kernel")
	if err := run(wyrcan, "morph", ref, "-kernel", file, "-initrd", filepath.Join(work, "initrd")); err != nil {
		return "", err
	}
	kernel, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	kernel[0x201] = 0x62
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	w.WriteHeader(&tar.Header{Name: "boot/wyrcan.kernel", Mode: 0o644, Size: int64(len(kernel))})
	w.Write(kernel)
	if err := w.Close(); err != nil {
		return "", err
	}
	from, err := name.ParseReference(ref)
	if err != nil {
		return "", err
	}
	to, err := name.ParseReference(ref + "-short-header")
	if err != nil {
		return "", err
	}
	img, err := remote.Image(from, remote.WithContext(ctx))
	if err != nil {
		return "", err
	}
	top, err := tarball.LayerFromOpener(func() (io.ReadCloser,
		error) {
		return io.NopCloser(bytes.NewReader(layer.Bytes())), nil
	})
	if err != nil {
		return "", err
	}
	if img, err = mutate.AppendLayers(img, top); err != nil {
		return "", err
	}
	return to.String(), remote.Write(to, img, remote.WithContext(ctx))
}

var (
	stageLoad = regexp.MustCompile(`wyrboot: stage load ([0-9.]+) s`)
	starts    = regexp.MustCompile(`wyrboot: starts kernel`)
	version   = regexp.MustCompile(`\] Linux version`)
)

// boot starts a machine with what make built in dir, and lets it boot the image until the image's kernel prints its
// first message.
func boot(ctx context.Context, dir, ref, way string) (load, jump time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	ref = strings.Replace(ref, "127.0.0.1", "10.0.2.2", 1)
	registry, _, _ := strings.Cut(ref, "/")
	vm := qemu(ctx, filepath.Join(dir, "wyrcan.kernel"), filepath.Join(dir, "wyrcan.initrd"),
		"console=ttyS0 quiet wyr.img="+ref+" wyr.insecure="+registry+" wyr.arg=console=ttyS0",
		"-nic", "user,model=virtio-net-pci", "-device", "virtio-rng-pci")
	out, err := vm.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := vm.Start(); err != nil {
		return 0, 0, err
	}
	defer vm.Wait()
	defer vm.Process.Kill()
	var jumped time.Time
	slowly := false
	for s := bufio.NewScanner(out); s.Scan(); {
		line := s.Bytes()
		slowly = slowly || bytes.Contains(line, []byte("with kexec_file_load"))
		switch m := stageLoad.FindSubmatch(line); {
		case m != nil:
			if load, err = time.ParseDuration(string(m[1]) + "s"); err != nil {
				return 0, 0, err
			}
		case starts.Match(line):
			jumped = time.Now()
		case version.Match(line) && !jumped.IsZero():
			if slowly != (way == "kexec_file_load") {
				return 0, 0, errors.New("the kernel was loaded with the other system call")
			}
			return load, time.Since(jumped), nil
		}
	}
	return 0, 0, errors.New("the machine ended before the image's kernel printed anything")
}
