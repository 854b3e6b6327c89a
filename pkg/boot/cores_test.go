package boot

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// TestPackCores leaves half of the processors to what packs a SquashFS.
func TestPackCores(t *testing.T) {
	for root, want := range map[bundle.Root]int{bundle.SquashFS: 4, bundle.EROFS: 8, bundle.Initramfs: 8} {
		opt := rootfs.Options{Cores: 8}
		if err := (&Boot{Root: root}).pack(&opt, bundle.Room{}, 0); err != nil || opt.Cores != want {
			t.Errorf("%v: %d, %v; want %d", root, opt.Cores, err, want)
		}
	}
}
