//go:build slow

package unpack

import (
	"fmt"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/squashfs"
)

// TestSlowForms are the forms that TestKernel leaves out.
func TestSlowForms(t *testing.T) {
	for _, f := range []form{
		{"gzip", initrd.Gzip, 0, true},
		{"zstd", initrd.Zstd, 0, true},
		{"mixed", initrd.Mixed, 1 << 20, false},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			unpacks(t, f, false)
		})
	}
}

func TestSlowKernel(t *testing.T) {
	t.Parallel()
	unpacks(t, packed, true)
}

// TestSlowLargest unpacks the largest file that package initrd stores in one part.
func TestSlowLargest(t *testing.T) {
	t.Parallel()
	tree := read(t, 0,
		imagetest.Files(imagetest.Dir("."), imagetest.PAXSparse("f", "end", initrd.MaxSize-3, initrd.MaxSize)))
	defer tree.Close()
	boots(t, form{"zstd", initrd.Zstd, 0, true}, tree, "3G")
}

// TestSlowSquashFS mounts images in the forms that TestSquashFS leaves out. With large blocks, an emulated kernel
// takes minutes for all of the corpus: many small files that are alike share few of them.
func TestSlowSquashFS(t *testing.T) {
	t.Run("gzip, with the smallest blocks", func(t *testing.T) {
		t.Parallel()
		vm.Long(t)
		opt := squashfs.Options{Compression: squashfs.Gzip, BlockSize: 4 << 10}
		mounts(t, packer(t, opt), append(layers(t, false, true), special(100)))
	})
	t.Run("zstd, with the largest blocks", func(t *testing.T) {
		t.Parallel()
		vm.Long(t)
		opt := squashfs.Options{Level: 15, BlockSize: 1 << 20}
		var text strings.Builder
		for i := range 400000 {
			fmt.Fprintln(&text, "some text and the number", i*i)
		}
		mounts(t, packer(t, opt), []imagetest.Layer{special(2000), imagetest.Files(imagetest.File("text", text.String()))})
	})
}
