package hostile

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// TestImages converts every malicious image into a kernel and an initrd, as far as possible. The conversion must end,
// use limited memory, and create no names outside of the tree.
func TestImages(t *testing.T) {
	for _, i := range Images() {
		t.Run(i.Name, func(t *testing.T) { // not in parallel, because their memory is measured
			if testing.Short() && strings.Contains(i.Name, "a bomb") {
				t.Skip("-short: this test takes hundreds of MiB apart")
			}
			var layers []rootfs.Layer
			for _, l := range i.Layers(t) {
				layers = append(layers, l.Blob(t))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := boot(ctx, t, layers)
			runtime.ReadMemStats(&after)
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Error("it has not ended after a minute")
			}
			if all := after.TotalAlloc - before.TotalAlloc; all > 1<<30 {
				t.Errorf("it took %d MiB", all>>20)
			}
			if i.Boots && err != nil {
				t.Error(err)
			}
			t.Log(err)
		})
	}
}

// boot converts layers into a bundle, as wyrboot does.
func boot(ctx context.Context, t *testing.T, layers []rootfs.Layer) error {
	tree, err := rootfs.Read(ctx, layers, rootfs.Options{Memory: 64 << 20})
	if kept := inMemory(t); kept > 256<<20 {
		t.Errorf("the tree keeps %d MiB", kept>>20)
	}
	if err != nil {
		return err
	}
	defer tree.Close()
	err = tree.Walk(ctx, func(n *rootfs.Node, _ io.Reader) error {
		if n.Path != "" && !filepath.IsLocal(n.Path) {
			t.Errorf("%q is in the tree", n.Path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	plan, err := bundle.Inspect(ctx, tree, bundle.Options{Arch: "amd64"})
	if err != nil {
		return err
	}
	defer plan.Close()
	b, err := plan.Make(ctx)
	if err != nil {
		return err
	}
	return b.Close()
}

// inMemory returns how many bytes this process has in files without a name.
func inMemory(t *testing.T) (bytes int64) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, fd := range fds {
		path := filepath.Join("/proc/self/fd", fd.Name())
		if target, err := os.Readlink(path); err != nil || !strings.HasPrefix(target, "/memfd:") {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			bytes += st.Blocks * 512
		}
	}
	return bytes
}
