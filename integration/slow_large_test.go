//go:build slow

package integration

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/klauspost/compress/gzip"

	"gitlab.com/wyrcan/wyrcan/integration/large/pattern"
	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestSlowLarge boots a container whose initrd has more than 4 GiB, which lies above the first 4 GiB of memory: its size and
// its place take more than 32 bits each.
func TestSlowLarge(t *testing.T) {
	t.Parallel()
	const files, size = 9, 512 << 20
	var stored bytes.Buffer
	zw := gzip.NewWriter(&stored)
	tw := tar.NewWriter(zw)
	for i := range files {
		name := fmt.Sprintf("file-%d", i)
		if err := tw.WriteHeader(&tar.Header{Name: "large/" + name, Mode: 0o600, Size: size}); err != nil {
			t.Fatal(err)
		}
		if err := pattern.Write(tw, name, size); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(stored.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(imagetest.Image(t, kernelLayer(t), imagetest.Files(imagetest.File("init", program(t, "./large")).Mode(0o755))), layer)
	if err != nil {
		t.Fatal(err)
	}
	ref := fromGuest(imagetest.Serve(t).Push(t, "large", img))

	v := vm.Machine{Memory: "15G", Cmdline: "wyr.arg=console=ttyS0 wyr.arg=panic=-1 wyr.img=" + ref}.Start(t)
	v.Wait(`^wyrboot: kernel \S+, initrd of 4\.8\d GB \(compression: none\), `, 20*time.Minute)
	v.Wait(`^wyrboot: stage load [0-9.]+ s$`, 20*time.Minute)
	v.Wait(fmt.Sprintf(`^large: %d bytes in %d files are as they should be`, int64(files*size), files), 20*time.Minute)
	v.Exit(stepTime)
	v.Never(`Initramfs unpacking failed`)
}

// program builds a program for a container.
func program(t *testing.T, source string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", file, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build = %v: %s", err, out)
	}
	return string(read(t, file))
}
