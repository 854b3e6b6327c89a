//go:build slow

package integration

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

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
	// Larger than 4 GiB: its size needs more than 32 bits. So do the size of the initrd, or of the image, and its address.
	const beyond = 4<<30 + 32<<20
	layer := largeLayer(t, beyond)
	init := imagetest.Files(imagetest.File("init", string(vm.Program(t, "./large"))).Mode(0o755))
	// The initrd lies above the first 4 GiB of memory.
	t.Run("amd64", func(t *testing.T) {
		img, err := mutate.AppendLayers(imagetest.Image(t, kernelLayer(t), init), layer)
		if err != nil {
			t.Fatal(err)
		}
		bootsLarge(t, vm.Machine{Memory: "15G", Kernel: vm.Unpacked(t), Cmdline: "wyr.arg=console=ttyS0"}, img, beyond,
			`4\.3\d GB \(compression: none\)`)
	})
	// The image is left in memory. It is larger than half of that, and only the memory above the first 4 GiB has room for
	// it in one piece.
	t.Run("in place", func(t *testing.T) {
		img, err := mutate.AppendLayers(imagetest.Image(t, erofsLayer(t), init), layer)
		if err != nil {
			t.Fatal(err)
		}
		bootsLarge(t, vm.Machine{Memory: "8G", Kernel: vm.Unpacked(t), QEMU: vm.AES,
			Cmdline: "wyr.arg=console=ttyS0 wyr.root=erofs"}, img, beyond, `[\d.]+ .B \(beside EROFS of 4\.3\d GB\)`)
	})
	// A file that just needs parts, in a machine that has to pack some of it. The host has no memory for both machines at
	// a time.
	t.Run("arm64", func(t *testing.T) {
		const size = 2<<30 + 16<<20
		img, err := mutate.AppendLayers(forARM(t, kernelForARM(t), vm.ProgramFor(t, "arm64", "./large")),
			largeLayer(t, size))
		if err != nil {
			t.Fatal(err)
		}
		bootsLarge(t, vm.Machine{Arch: "arm64", Memory: "5250M", Cmdline: "wyr.arg=console=ttyAMA0"}, img, size,
			`2\.\d+ GB \(compression: mixed\)`)
	})
}

// erofsLayer returns a layer with the kernel out/wyrcan.kernel, and its modules for an EROFS image that was left in
// memory.
func erofsLayer(t *testing.T) imagetest.Layer {
	t.Helper()
	kernel, version := ourKernel(t)
	layer := imagetest.Files(imagetest.File("boot/wyrcan.kernel", string(kernel)))
	for name, content := range modulesFor(t, version, "crc32c_generic", "erofs", "overlay", "nd_pmem", "nd_e820") {
		layer.Entries = append(layer.Entries, imagetest.File(path.Join("lib/modules", version, name), string(content)))
	}
	return layer
}

// smaller is the size of the other file in a largeLayer.
const smaller = 16 << 20

// largeLayer returns a layer with a file of that size, which has a capability and a second name, and with another one.
// It is stored as zstd, which an emulated processor unpacks in a third of the time that it takes for gzip.
func largeLayer(t *testing.T, size int64) v1.Layer {
	t.Helper()
	// struct vfs_cap_data of include/uapi/linux/capability.h: cap_net_raw=p
	const capability = "\x00\x00\x00\x02\x00\x20\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	var stored bytes.Buffer
	zw, err := zstd.NewWriter(&stored)
	if err != nil {
		t.Fatal(err)
	}
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
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(stored.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayerZStd))
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
		fmt.Sprintf("another 100600 %d 1 1234567890 0 and all pages", smaller),
		fmt.Sprintf("one 104755 %d 2 1234567890 20 and all pages", size),
		fmt.Sprintf("other-name 104755 %d 2 1234567890 20 and is one", size),
	} {
		v.Wait(`^large: `+file+`\r?\n`, 20*time.Minute)
	}
	v.Exit(stepTime)
	v.Never(`Initramfs unpacking failed`)
}
