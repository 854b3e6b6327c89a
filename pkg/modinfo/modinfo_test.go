package modinfo

import (
	"bytes"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

func TestName(t *testing.T) {
	for file, want := range map[string]string{
		"kernel/drivers/net/virtio-net.ko": "virtio_net",
		"a/b.c.ko.xz":                      "b.c",
		"x.ko.zst":                         "x",
		"x.ko.gz":                          "x",
		"x.ko.debug":                       "",
		"x.kod":                            "",
		".ko":                              "",
		"modules.dep":                      "",
		"":                                 "",
	} {
		if got := Name(file); got != want {
			t.Errorf("Name(%q) = %q, want %q", file, got, want)
		}
	}
}

var r8169 = imagetest.Module("license=GPL", "firmware=rtl_nic/rtl8168h-2.fw", "firmware=rtl_nic/rtl8125*.fw",
	"softdep=pre: realtek post: a b",
	"depends=libphy,mii", "alias=pci:v000010ECd00008168sv*sd*bc*sc*i*", "name=r8169", "parm=x:firmware=y", "firmware")

func TestParse(t *testing.T) {
	want := &Info{
		Depends:  []string{"libphy", "mii"},
		Softdeps: []string{"realtek", "a", "b"},
		Aliases:  []string{"pci:v000010ECd00008168sv*sd*bc*sc*i*"},
		Firmware: []string{"rtl_nic/rtl8168h-2.fw", "rtl_nic/rtl8125*.fw", ""},
	}
	for suffix, tool := range map[string][]string{
		"":     {"cat"},
		".gz":  {"gzip"},
		".xz":  {"xz", "--check=crc32"},
		".zst": {"zstd"},
	} {
		pack := exec.Command(tool[0], tool[1:]...)
		pack.Stdin = bytes.NewReader(r8169)
		packed, err := pack.Output()
		if err != nil {
			t.Fatalf("%v: %v", tool, err)
		}
		b, err := Decompress("r8169.ko"+suffix, packed)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(b)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v, (-want +got):\n%s", suffix, err, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, b, want string }{
		{"empty", "", "EOF"},
		{"a script", "#!/bin/sh" + strings.Repeat(" ", 64), "bad magic number"},
		{"short", string(r8169[:100]), "EOF"},
		{"another program", strings.Replace(string(r8169), ".modinfo", ".comment", 1), "not a kernel module"},
	} {
		if _, err := Parse([]byte(tt.b)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%s) = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	for _, file := range []string{"x.ko.gz", "x.ko.xz", "x.ko.zst"} {
		if _, err := Decompress(file, []byte("no such thing")); err == nil ||
			!strings.Contains(err.Error(), "cannot decompress "+file) {
			t.Errorf("Decompress(%q) = %v, want an error that names it", file, err)
		}
	}
}

func TestParseBuiltin(t *testing.T) {
	const text = "tg3.firmware=tigon/tg3.bin\x00virtio.description=x=y\x00" +
		"tg3.file=drivers/net/ethernet/broadcom/tg3\x00\x00x\x00y=z\x00tg3.firmware=tigon/tg3_tso.bin\x00"
	want := []*Builtin{
		{Name: "tg3", File: "drivers/net/ethernet/broadcom/tg3",
			Info: Info{Firmware: []string{"tigon/tg3.bin", "tigon/tg3_tso.bin"}}},
		{Name: "virtio"},
	}
	if diff := cmp.Diff(want, ParseBuiltin([]byte(text))); diff != "" {
		t.Errorf("ParseBuiltin (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(r8169)
	f.Add(r8169[:100])
	f.Add(imagetest.Module())
	f.Fuzz(func(t *testing.T, b []byte) {
		if info, err := Parse(b); (info == nil) == (err == nil) {
			t.Errorf("Parse = %v, %v", info, err)
		}
	})
}

// A file says how large a dictionary its decompression needs, and may say 4 GiB. What xz itself writes is read.
func TestDictionary(t *testing.T) {
	imagetest.NeedsPrograms(t, "xz")
	for _, row := range []struct {
		options []string
		fails   bool
	}{
		{[]string{"--check=crc32", "--lzma2=dict=1MiB"}, false},
		{[]string{"-9", "--check=sha256"}, false},
		{[]string{"--x86", "--lzma2=dict=32MiB", "--check=none"}, false},
		{[]string{"--lzma2=preset=0,dict=65MiB"}, true},
		{[]string{"--lzma2=preset=0,dict=1536MiB"}, true},
	} {
		cmd := exec.Command("xz", append([]string{"--stdout", "--threads=1"}, row.options...)...)
		cmd.Stdin = strings.NewReader("a module")
		packed, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b, err := Decompress("x.ko.xz", packed)
		runtime.ReadMemStats(&after)
		if row.fails != (err != nil) || err == nil && string(b) != "a module" {
			t.Errorf("xz %q: %q, %v", row.options, b, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 2*maxDict {
			t.Errorf("xz %q: it takes %d MiB of memory", row.options, used>>20)
		}
	}
}
