package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// packed returns content, compressed as a suffix says.
func packed(t *testing.T, suffix string, content []byte) string {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	switch suffix {
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	default:
		return string(content)
	}
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// withDrivers is a bootable container whose drivers name firmware. It has some of that firmware.
func withDrivers(t *testing.T) []imagetest.Entry {
	const modules, firmware = "usr/lib/modules/" + release + "/", "usr/lib/firmware/"
	module := func(file, suffix string, names ...string) imagetest.Entry {
		var entries []string
		for _, n := range names {
			entries = append(entries, "firmware="+n)
		}
		return imagetest.File(modules+file+suffix, packed(t, suffix, imagetest.Module(entries...)))
	}
	entries := append(bootable(),
		module("kernel/drivers/net/ethernet/broadcom/bnx2.ko", ".zst", "bnx2/b.fw", "bnx2/a.fw", "bnx2/a.fw"),
		module("kernel/drivers/net/ethernet/broadcom/tg3.ko", ".xz", "tigon/there.bin", "tigon/gone.bin"),
		module("kernel/drivers/net/ethernet/intel/ice.ko", ".gz", "intel/ice/ddp/ice.pkg"),
		module("kernel/drivers/net/wireless/intel/iwlwifi/iwlwifi.ko", "", "iwlwifi-1.ucode"),
		module("kernel/drivers/net/ethernet/cavium/liquidio.ko", "", "liquidio/lio_*.bin"),
		module("kernel/drivers/scsi/qla2xxx/qla2xxx.ko", "", "ql2400_fw.bin", "ql2500_[x]*"),
		module("kernel/drivers/ata/ahci.ko", ""),
		module("updates/dkms/mine.ko", "", "mine/for-all.bin", "mine/for-this.bin", ""),
		imagetest.File(modules+"kernel/drivers/net/broken.ko", "no driver"),
		imagetest.File(modules+"kernel/drivers/net/readme.ko.txt", "no driver"),
		imagetest.File("usr/lib/modules/another/kernel/drivers/net/other.ko",
			string(imagetest.Module("firmware=other.bin"))),
		imagetest.File(modules+"modules.builtin.modinfo",
			"e100.file=drivers/net/ethernet/intel/e100\x00e100.firmware=e100/d101m_ucode.bin\x00"+
				"e100.license=GPL\x00x.alias=y\x00"),
		imagetest.File(firmware+"tigon/there.bin.xz", "a file that is not unpacked"),
		imagetest.File(firmware+"intel/ice-1.pkg.zst", "a file"),
		imagetest.Symlink(firmware+"intel/ice/ddp/ice.pkg.zst", "../../ice-1.pkg.zst"),
		imagetest.Symlink(firmware+"iwlwifi-1.ucode", "nowhere"),
		imagetest.File(firmware+"liquidio/lio_23xx.bin.zst", "a file"),
		imagetest.File(firmware+"updates/mine/for-all.bin", "a file"),
		imagetest.File(firmware+"updates/"+release+"/mine/for-this.bin.xz", "a file"),
	)
	for i := range 7 {
		entries = append(entries, module(fmt.Sprintf("kernel/drivers/net/many%d.ko", i), "", "many.bin"))
	}
	return entries
}

// The firmware that drivers name is searched as the kernel searches it. Missing firmware is reported for each driver.
func TestCheckFirmware(t *testing.T) {
	img := onDisk(t, imagetest.Image(t, imagetest.Files(withDrivers(t)...)))
	check := func(options ...string) string {
		t.Helper()
		c, stdout, _ := tool(t, append([]string{"check", img}, options...)...)
		withWyrinit(t, c)
		if err := c.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		return stdout.String()
	}
	about := func(report string) []string {
		var lines []string
		for line := range strings.Lines(report) {
			for _, label := range []string{"drivers ", "firmware ", "warning "} {
				if rest, ok := strings.CutPrefix(line, label); ok {
					lines = append(lines, strings.TrimSpace(rest))
				}
			}
		}
		return lines
	}
	const damaged = "the driver /usr/lib/modules/" + release +
		"/kernel/drivers/net/broken.ko is damaged: not a kernel module: EOF"
	const another = "295 B you could drop: the machine boots /boot/vmlinuz (" + release + "), and the image has more " +
		"kernels than that (/usr/lib/modules/another)"
	want := []string{
		"17 modules, 8 firmware files",
		"missing for 9 network drivers: bnx2, e100, many0, many1, many2 and 4 more",
		"missing for 1 storage driver: qla2xxx",
		"missing for 1 driver of other kinds (1 wireless)",
		"missing in part for 1 driver (-v names all drivers and files)",
		damaged, another,
	}
	if diff := cmp.Diff(want, about(check())); diff != "" {
		t.Errorf("the report about drivers (-want +got):\n%s", diff)
	}

	missing := []driver{{"bnx2", "network", 2, []string{"bnx2/a.fw", "bnx2/b.fw"}},
		{"e100", "network", 1, []string{"e100/d101m_ucode.bin"}},
		{"iwlwifi", "wireless", 1, []string{"iwlwifi-1.ucode"}}}
	for i := range 7 {
		missing = append(missing, driver{fmt.Sprintf("many%d", i), "network", 1, []string{"many.bin"}})
	}
	missing = append(missing, driver{"qla2xxx", "storage", 2, []string{"ql2400_fw.bin", "ql2500_[x]*"}},
		driver{"tg3", "network", 2, []string{"tigon/gone.bin"}})
	want = []string{want[0]}
	for _, d := range missing {
		want = append(want, "missing for "+d.Name+" ("+d.Kind+"): "+strings.Join(d.Missing, ", "))
	}
	want = append(want, damaged, another)
	if diff := cmp.Diff(want, about(check("-v"))); diff != "" {
		t.Errorf("the report of -v about drivers (-want +got):\n%s", diff)
	}

	var r report
	if err := json.Unmarshal([]byte(check("-json")), &r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(missing, r.Missing); diff != "" || r.Modules != 17 || r.Firmware != 8 {
		t.Errorf("-json: %d modules, %d files, firmware missing (-want +got):\n%s", r.Modules, r.Firmware, diff)
	}
}

// The kinds of drivers are counted, without a list if none has a name.
func TestCount(t *testing.T) {
	for _, row := range []struct {
		kinds map[string][]string
		want  string
	}{
		{map[string][]string{}, ""},
		{map[string][]string{other: {"a", "b"}}, ""},
		{map[string][]string{"sound": {"a"}, "graphics": {"b", "c"}}, " (1 sound, 2 graphics)"},
		{map[string][]string{"sound": {"a"}, other: {"b", "c"}}, " (1 sound, 2 for something else)"},
	} {
		if _, got := count(row.kinds); got != row.want {
			t.Errorf("count(%v) = %q, want %q", row.kinds, got, row.want)
		}
	}
}

// Nothing is reported about an image whose drivers have all their firmware.
func TestCheckNoFirmware(t *testing.T) {
	for _, set := range []*driverSet{{}, {modules: 3, firmware: 4}} {
		if rows := append(set.rows(false), set.rows(true)...); len(rows) > 0 {
			t.Errorf("%+v: %q", set, rows)
		}
	}
}
