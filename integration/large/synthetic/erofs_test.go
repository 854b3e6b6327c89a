package synthetic_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/large/synthetic"
	"gitlab.com/wyrcan/wyrcan/pkg/erofs"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// packs is the variable of the environment that has this program make an EROFS image of a container image, and nothing
// else. So what that takes can be told from what the test takes.
const packs = "WYRCAN_TEST_PACKS"

func TestMain(m *testing.M) {
	ref := os.Getenv(packs)
	if ref == "" {
		os.Exit(m.Run())
	}
	if err := pack(context.Background(), ref); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// pack makes an EROFS image of a container image, in memory, as wyrboot does it. It writes the size, and
// ends when its input does: until then the image is there to be measured.
func pack(ctx context.Context, ref string) error {
	source := &image.Source{Insecure: func(string) bool { return true }}
	img, err := source.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	var layers []rootfs.Layer
	for _, l := range img.Layers {
		layers = append(layers, l)
	}
	p := erofs.New(erofs.Options{})
	tree, err := rootfs.Read(ctx, layers, rootfs.Options{SkipDiffIDs: true, Store: p.Store})
	if err != nil {
		return err
	}
	defer tree.Close()
	made, err := p.Image(ctx, tree, time.Unix(0, 0), nil)
	if err != nil {
		return err
	}
	defer made.Close()
	info, err := made.Stat()
	if err != nil {
		return err
	}
	fmt.Println(info.Size())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// BenchmarkLargeEROFS makes EROFS images in memory, which is all that wyrboot does before it loads them: wyrcan morph
// makes none. It reports the same as BenchmarkLarge.
func BenchmarkLargeEROFS(b *testing.B) {
	for _, r := range append(mixed(), row{"all/10000MB", synthetic.Mixed(10 * gb)}) {
		b.Run(r.name, func(b *testing.B) {
			r.needsMemory(b)
			ref := serve(b, r.shape)
			for b.Loop() {
				packed(b, ref)
			}
		})
	}
}

// packed runs pack and reports what it took.
func packed(b *testing.B, ref string) {
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), program)
	cmd.Env = append(os.Environ(), packs+"="+ref)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	run(b, cmd, func(out io.Reader) (size int64, err error) {
		_, err = fmt.Fscan(out, &size)
		return size, errors.Join(err, in.Close())
	})
}
