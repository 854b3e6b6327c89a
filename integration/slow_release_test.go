//go:build slow

package integration

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"gitlab.com/wyrcan/wyrcan/pkg/modinfo"
)

// TestSlowFirmware checks the initrd that make FIRMWARE=debian builds, here with the modules of another release of
// Debian. It has the firmware that its modules name, as far as Debian has it, and no other.
func TestSlowFirmware(t *testing.T) {
	records := initrdOf(t, "trixie/wyrcan.initrd")
	var names []string
	for name := range records {
		if modinfo.Name(name) == "" {
			continue
		}
		info, err := modinfo.Parse(content(t, records, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		names = append(names, info.Firmware...)
	}

	var files []string
	for name, rec := range records {
		file, ok := strings.CutPrefix(name, "lib/firmware/")
		if !ok || rec.Mode&cpio.S_IFMT == cpio.S_IFDIR {
			continue
		}
		files = append(files, file)
		if !slices.ContainsFunc(names, func(pattern string) bool {
			matches, err := path.Match(pattern, file)
			return err == nil && matches
		}) {
			t.Errorf("no module names %s", name)
		}
		if rec.Mode&cpio.S_IFMT == cpio.S_IFREG && rec.FileSize == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	slices.Sort(files)
	t.Logf("%d files: %v", len(files), files)
	for _, card := range []string{"3com/", "bnx2/", "bnx2x/", "cxgb4/", "intel/ice/ddp/ice.pkg", "liquidio/",
		"netronome/", "qed/", "rtl_nic/rtl8125", "rtl_nic/rtl8168", "tigon/"} {
		if !slices.ContainsFunc(files, func(s string) bool { return strings.HasPrefix(s, card) }) {
			t.Errorf("no firmware begins with %s", card)
		}
	}
}
