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

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/klauspost/compress/gzip"

	"gitlab.com/wyrcan/wyrcan/integration/large/pattern"
	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// TestSlowLarge boots a container whose initrd is larger than 4 GiB and lies above the first 4 GiB of memory. So its
// size and its address need more than 32 bits. The size of one of its files does too; that file is stored in parts.
func TestSlowLarge(t *testing.T) {
	t.Parallel()
	host, err := memory.Read("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	if host.Total < 20<<30 {
		t.Skipf("a machine with 15 GiB needs a host with 20 GiB, but this one has %d MiB", host.Total>>20)
	}
	const large, small = 4<<30 + 256<<20, 256 << 20
	// struct vfs_cap_data of include/uapi/linux/capability.h: cap_net_raw=p
	const capability = "\x00\x00\x00\x02\x00\x20\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	var stored bytes.Buffer
	zw := gzip.NewWriter(&stored)
	tw := tar.NewWriter(zw)
	for _, h := range []tar.Header{
		{Name: "large/one", Mode: 0o4755, Size: large,
			PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability}},
		{Name: "large/another", Mode: 0o600, Size: small},
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
	img, err := mutate.AppendLayers(imagetest.Image(t, kernelLayer(t),
		imagetest.Files(imagetest.File("init", string(vm.Program(t, "./large"))).Mode(0o755))), layer)
	if err != nil {
		t.Fatal(err)
	}
	ref := fromGuest(imagetest.Serve(t).Push(t, "large", img))

	v := vm.Machine{Memory: "15G", Long: true, Cmdline: "wyr.arg=console=ttyS0 wyr.arg=panic=-1 " + vm.Boot(ref)}.Start(t)
	v.Wait(`^wyrboot: kernel \S+, initrd of 4\.8\d GB \(compression: none\), `, 20*time.Minute)
	v.Wait(`^wyrboot: stage load [0-9.]+ s$`, 20*time.Minute)
	for _, file := range []string{
		fmt.Sprintf("another 100600 %d 1 1234567890 0", small),
		fmt.Sprintf("one 104755 %d 2 1234567890 20", int64(large)),
		fmt.Sprintf("other-name 104755 %d 2 1234567890 20", int64(large)),
	} {
		v.Wait(`^large: `+file+` and all pages\r?\n`, 20*time.Minute)
	}
	v.Exit(stepTime)
	v.Never(`Initramfs unpacking failed`)
}
