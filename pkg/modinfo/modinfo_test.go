package modinfo

import (
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
	got, err := Parse(r8169)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Parse: %v, (-want +got):\n%s", err, diff)
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
