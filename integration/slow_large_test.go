//go:build slow

package integration

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/klauspost/compress/gzip"

	"gitlab.com/wyrcan/wyrcan/integration/large/pattern"
	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// TestSlowLarge boots containers with a file that is stored in parts.
func TestSlowLarge(t *testing.T) {
	t.Parallel()
	host, err := memory.Read("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	if host.Total < 20<<30 {
		t.Skipf("a machine with 15 GiB needs a host with 20 GiB, but this one has %d MiB", host.Total>>20)
	}
	// The initrd is larger than 4 GiB and lies above the first 4 GiB of memory. So its size and its address need more than
	// 32 bits. The size of the file does too.
	t.Run("amd64", func(t *testing.T) {
		layer := largeLayer(t, 4<<30+256<<20)
		img, err := mutate.AppendLayers(imagetest.Image(t, kernelLayer(t),
			imagetest.Files(imagetest.File("init", string(vm.Program(t, "./large"))).Mode(0o755))), layer)
		if err != nil {
			t.Fatal(err)
		}
		bootsLarge(t, vm.Machine{Memory: "15G", Cmdline: "wyr.arg=console=ttyS0"}, img, 4<<30+256<<20,
			`4\.8\d GB \(compression: none\)`)
	})
	// A file that just needs parts, in a machine that has to pack some of it. The host has no memory for both machines at
	// a time.
	t.Run("arm64", func(t *testing.T) {
		const size = 2<<30 + 128<<20
		img, err := mutate.AppendLayers(forARM(t, kernelForARM(t), vm.ProgramFor(t, "arm64", "./large")),
			largeLayer(t, size))
		if err != nil {
			t.Fatal(err)
		}
		bootsLarge(t, vm.Machine{Arch: "arm64", Memory: "6G", Cmdline: "wyr.arg=console=ttyAMA0"}, img, size,
			`2\.\d+ GB \(compression: mixed\)`)
	})
}

// smaller is the size of the other file in a largeLayer.
const smaller = 256 << 20

// largeLayer returns a layer with a file of that size, which has a capability and a second name, and with another one.
func largeLayer(t *testing.T, size int64) v1.Layer {
	t.Helper()
	// struct vfs_cap_data of include/uapi/linux/capability.h: cap_net_raw=p
	const capability = "\x00\x00\x00\x02\x00\x20\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	var stored bytes.Buffer
	zw := gzip.NewWriter(&stored)
	tw := tar.NewWriter(zw)
	for _, h := range []tar.Header{
		{Name: "large/one", Mode: 0o4755, Size: size,
			PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability}},
		{Name: "large/another", Mode: 0o600, Size: smaller},
		{Name: "large/other-name", Typeflag: tar.TypeLink, Linkname: "large/one"},
	} {
		h.ModTime = time.Unix(1234567890, 0)
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if err := pattern.Write(tw, filepath.Base(h.Name), h.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser,
		error) {
		return io.NopCloser(bytes.NewReader(stored.Bytes())), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// bootsLarge boots an image with a largeLayer, whose /init looks at the files. initrd is what Wyrcan says of its own.
func bootsLarge(t *testing.T, m vm.Machine, img v1.Image, size int64, initrd string) {
	t.Helper()
	ref := fromGuest(imagetest.Serve(t).Push(t, "large", img))
	m.Long, m.Cmdline = true, m.Cmdline+" wyr.arg=panic=-1 "+vm.Boot(ref)
	v := m.Start(t)
	v.Wait(`^wyrboot: kernel \S+, initrd of `+initrd+`, `, 20*time.Minute)
	v.Wait(`^wyrboot: stage load [0-9.]+ s$`, 20*time.Minute)
	for _, file := range []string{
		fmt.Sprintf("another 100600 %d 1 1234567890 0", smaller),
		fmt.Sprintf("one 104755 %d 2 1234567890 20", size),
		fmt.Sprintf("other-name 104755 %d 2 1234567890 20", size),
	} {
		v.Wait(`^large: `+file+` and all pages\r?\n`, 20*time.Minute)
	}
	v.Exit(stepTime)
	v.Never(`Initramfs unpacking failed`)
}
