//go:build slow

package unpack

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
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
