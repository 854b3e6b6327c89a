package synthetic_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"gitlab.com/wyrcan/wyrcan/integration/large/synthetic"
	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

const gb = 1e9

// kernel is a layer with a kernel that has all that a root needs built in, and does not boot.
func kernel() imagetest.Layer {
	const version = "6.1.0-40-amd64"
	config := ""
	for _, option := range []string{
		"SQUASHFS", "SQUASHFS_ZSTD", "SQUASHFS_XATTR", "OVERLAY_FS", "TMPFS_XATTR", "DEVTMPFS", "BLK_DEV_LOOP",
	} {
		config += "CONFIG_" + option + "=y\n"
	}
	return imagetest.Files(
		imagetest.File("boot/wyrcan.kernel", string(imagetest.BzImage(version))),
		imagetest.File("boot/config-"+version, config),
		imagetest.File("bin/sh", "a shell").Mode(0o755), imagetest.File("init", "#!/bin/sh\n").Mode(0o755),
	)
}

// BenchmarkLarge makes a kernel and an initrd, with a root in SquashFS, of images of many sizes. It reports seconds,
// seconds of the processors, the peak of the memory, and the size of what was made: the initrd. The image comes from a
// registry that makes it while it is read. The rows "mixed" show how that grows; the others are extremes.
func BenchmarkLarge(b *testing.B) {
	rows := append(mixed(),
		row{"all/10000MB", synthetic.Mixed(10 * gb)},
		row{"small/5000MB", synthetic.Shape{Small: 5 * gb}},
		row{"small/20000MB", synthetic.Shape{Small: 20 * gb, Of: synthetic.Text}},
		row{"large/5000MB", synthetic.Shape{Large: 5 * gb, Each: 1 * gb}},
		row{"large/20000MB", synthetic.Shape{Large: 20 * gb, Each: 7 * gb, Of: synthetic.Text}},
		row{"one/6000MB", synthetic.Shape{Large: 6 * gb, Each: 6 * gb}},
		row{"noise/5000MB", synthetic.Shape{Small: 1 * gb, Large: 4 * gb, Each: 4 * gb, Of: synthetic.Noise}},
	)
	program := vm.Artefact(b, "wyrcan")
	for _, r := range rows {
		b.Run(r.name, func(b *testing.B) {
			r.needsMemory(b)
			ref := serve(b, r.shape)
			for b.Loop() {
				morph(b, program, ref)
			}
		})
	}
}

// A row is an image to be measured.
type row struct {
	name  string
	shape synthetic.Shape
}

// mixed returns images of growing size.
func mixed() (rows []row) {
	for _, mb := range []int64{64, 256, 1000, 2000, 4000, 8000} {
		rows = append(rows, row{fmt.Sprintf("mixed/%dMB", mb), synthetic.Mixed(mb * 1e6)})
	}
	return rows
}

// needsMemory skips an image for which this machine has too little memory.
func (r row) needsMemory(b *testing.B) {
	b.Helper()
	info, err := memory.Read("/proc/meminfo")
	if err != nil {
		b.Fatal(err)
	}
	if bytes := r.shape.Small + r.shape.Large; info.Available < bytes+1<<30 {
		b.Skipf("%d MB are available", info.Available/1e6)
	}
}

// serve starts a registry that makes an image with a layer of that shape while it is read, and returns its name.
func serve(t testing.TB, s synthetic.Shape) string {
	t.Helper()
	registry, layer := imagetest.Serve(t), synthetic.New(t, s)
	registry.Stream(t, layer)
	img, err := mutate.AppendLayers(imagetest.Image(t, kernel()), layer)
	if err != nil {
		t.Fatal(err)
	}
	return registry.Push(t, "large", img)
}

// morph runs wyrcan morph and reports what it took.
func morph(b *testing.B, program, ref string) {
	dir := b.TempDir()
	run(b, exec.CommandContext(b.Context(), program, "morph", "-root", "squashfs", "-kernel", filepath.Join(dir, "kernel"),
		"-cmdline", filepath.Join(dir, "cmdline"), "-initrd", "-", ref),
		func(out io.Reader) (int64, error) { return io.Copy(io.Discard, out) })
}

// run runs a program and reports what it took. size reads its output, and returns the size of what it has made.
func run(b *testing.B, cmd *exec.Cmd, size func(out io.Reader) (int64, error)) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	peak := watch(ctx, cmd.Process.Pid)
	made, err := size(out)
	err = errors.Join(err, cmd.Wait())
	cancel()
	if err != nil {
		b.Fatalf("%s: %v: %s", filepath.Base(cmd.Path), err, &said)
	}
	most := <-peak
	b.ReportMetric((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), "cpu-s")
	b.ReportMetric(float64(most.heap)/1e6, "heap-MB")
	b.ReportMetric(float64(most.sum)/1e6, "peak-MB")
	b.ReportMetric(float64(made)/1e6, "made-MB")
}

// use is memory of a process in bytes: the peak of its own pages, and of these and its files in memory together.
type use struct{ heap, sum int64 }

// watch watches a process until the context is done.
func watch(ctx context.Context, pid int) <-chan use {
	peak := make(chan use, 1)
	go func() {
		var most use
		for ctx.Err() == nil {
			heap := anonymous(pid)
			most.heap, most.sum = max(most.heap, heap), max(most.sum, heap+inMemory(pid))
			time.Sleep(20 * time.Millisecond)
		}
		peak <- most
	}()
	return peak
}

// anonymous returns RssAnon of proc(5).
func anonymous(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(b), "RssAnon:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseInt(kib, 10, 64)
	return n << 10
}

// inMemory returns how many bytes the files in memory have that a process has open.
func inMemory(pid int) (sum int64) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	names, _ := os.ReadDir(dir)
	seen := map[uint64]bool{}
	for _, n := range names {
		name := filepath.Join(dir, n.Name())
		if to, _ := os.Readlink(name); !strings.HasPrefix(to, "/memfd:") {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && !seen[st.Ino] {
			seen[st.Ino] = true
			sum += st.Blocks * 512
		}
	}
	return sum
}
