package cmdline

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func word(key string) Arg        { return Arg{Key: key} }
func pair(key, value string) Arg { return Arg{Key: key, Value: value, HasValue: true} }

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       []Arg
	}{
		// The examples of the README.
		{"recommended", `quiet wyr.arg=loglevel=3 wyr.img=CONTAINER`,
			[]Arg{word("quiet"), pair("wyr.arg", "loglevel=3"), pair("wyr.img", "CONTAINER")}},
		{"qemu", `console=ttyS0 quiet wyr.arg=loglevel=3 wyr.img=CONTAINER`,
			[]Arg{pair("console", "ttyS0"), word("quiet"), pair("wyr.arg", "loglevel=3"), pair("wyr.img", "CONTAINER")}},
		{"img", `wyr.img=registry.example/wyrcan/debian:latest`,
			[]Arg{pair("wyr.img", "registry.example/wyrcan/debian:latest")}},
		{"quoted arg", `wyr.arg="quiet log-buf-len=1M" wyr.arg=print-fatal-signals=1`,
			[]Arg{pair("wyr.arg", "quiet log-buf-len=1M"), pair("wyr.arg", "print-fatal-signals=1")}},
		{"chain load", `wyr.img=registry.example/wyrcan/wyrcan wyr.arg=wyr.img=registry.example/wyrcan/debian`,
			[]Arg{pair("wyr.img", "registry.example/wyrcan/wyrcan"), pair("wyr.arg", "wyr.img=registry.example/wyrcan/debian")}},
		{"network", `wyr.net.link.lan.Match.MACAddress=00:11:22:33:44:55 wyr.net.lan.Network.DNS="1.1.1.1 9.9.9.9"`,
			[]Arg{pair("wyr.net.link.lan.Match.MACAddress", "00:11:22:33:44:55"),
				pair("wyr.net.lan.Network.DNS", "1.1.1.1 9.9.9.9")}},
		{"efi", `wyr.efi=write wyr.efi=clear`, []Arg{pair("wyr.efi", "write"), pair("wyr.efi", "clear")}},

		// Lines that firmware and boot loaders pass in practice.
		{"systemd-boot", `initrd=\initrd quiet wyr.img=c`,
			[]Arg{pair("initrd", `\initrd`), word("quiet"), pair("wyr.img", "c")}},
		{"OVMF -kernel", "wyr.img=c console=ttyS0 initrd=initrd\n",
			[]Arg{pair("wyr.img", "c"), pair("console", "ttyS0"), pair("initrd", "initrd")}},
		{"iPXE on EFI", `wyrcan.kernel wyr.img=c initrd=wyrcan.initrd`,
			[]Arg{word("wyrcan.kernel"), pair("wyr.img", "c"), pair("initrd", "wyrcan.initrd")}},
		{"iPXE on EFI, name with a query", `wyrcan.kernel?job=images wyr.img=c`,
			[]Arg{pair("wyrcan.kernel?job", "images"), pair("wyr.img", "c")}},
		{"PXELINUX", `BOOT_IMAGE=wyrcan.kernel initrd=wyrcan.initrd quiet wyr.img=c `,
			[]Arg{pair("BOOT_IMAGE", "wyrcan.kernel"), pair("initrd", "wyrcan.initrd"), word("quiet"), pair("wyr.img", "c")}},
		{"GRUB", `BOOT_IMAGE=/kernel root=LABEL=x ro`,
			[]Arg{pair("BOOT_IMAGE", "/kernel"), pair("root", "LABEL=x"), word("ro")}},
		{"GRUB on EFI", `BOOT_IMAGE=(hd0,gpt2)/kernel quiet`, []Arg{pair("BOOT_IMAGE", "(hd0,gpt2)/kernel"), word("quiet")}},
		{"GRUB, quoted as GRUB does", `"wyr.arg=a b" wyr.img=c`, []Arg{pair("wyr.arg", "a b"), pair("wyr.img", "c")}},

		// Quotes.
		{"quote before the value", `wyr.arg="a b" c`, []Arg{pair("wyr.arg", "a b"), word("c")}},
		{"quote before the key", `"wyr.arg=a b" c`, []Arg{pair("wyr.arg", "a b"), word("c")}},
		{"quoted word", `"a b" c`, []Arg{word("a b"), word("c")}},
		{"quoted key with a space", `"a b=c d"`, []Arg{pair("a b", "c d")}},
		{"inner quotes kept", `wyr.arg=dyndbg="file a.c +p" x`, []Arg{pair("wyr.arg", `dyndbg="file a.c +p"`), word("x")}},
		{"quoted argument for the last kernel of a chain", `wyr.arg=wyr.arg="a b=c" x`,
			[]Arg{pair("wyr.arg", `wyr.arg="a b=c"`), word("x")}},
		{"closed early", `a="b"c d`, []Arg{pair("a", `b"c`), word("d")}},
		{"opened late", `a=b"c d"`, []Arg{pair("a", `b"c d"`)}},
		{"two quoted runs", `a="b c"d"e f" g`, []Arg{pair("a", `b c"d"e f`), word("g")}},
		{"empty quotes", `a="" b`, []Arg{pair("a", ""), word("b")}},
		{"quoted nothing", `"" b`, []Arg{word(""), word("b")}},
		{"quote in the name", `a"b c"=d e`, []Arg{pair(`a"b c"`, "d"), word("e")}},
		{"quoted at both places", `"a="b c""`, []Arg{pair("a", "b"), word(`c""`)}},
		{"quoted at both places, nothing inside", `"a=" b`, []Arg{pair("a", ""), word("b")}},
		{"single quotes are letters", `a='b c'`, []Arg{pair("a", "'b"), word("c'")}},
		{"backslash is a letter", `a=b\ c`, []Arg{pair("a", `b\`), word("c")}},

		// Unclosed quotes extend to the end of the line.
		{"unclosed value", `a="b c d=e`, []Arg{pair("a", "b c d=e")}},
		{"unclosed word", `"a b`, []Arg{word("a b")}},
		{"unclosed late", `a=b" c`, []Arg{pair("a", `b" c`)}},
		{"unclosed, with the newline of /proc/cmdline", "a=\"b c\n", []Arg{pair("a", "b c\n")}},
		{"lone quote", `"`, []Arg{word("")}},
		{"lone quote as a value", `a="`, []Arg{pair("a", "")}},
		{"three quotes", `"""`, []Arg{word(`"`)}},

		// Equals signs and the rest of the grammar.
		{"no value", `a b= c`, []Arg{word("a"), pair("b", ""), word("c")}},
		{"second equals is the value's", `a=b=c`, []Arg{pair("a", "b=c")}},
		{"equals in front is the name's", `=a`, []Arg{word("=a")}},
		{"equals in front and later", `=a=b`, []Arg{pair("=a", "b")}},
		{"lone equals", `=`, []Arg{word("=")}},
		{"two equals", `==`, []Arg{pair("=", "")}},
		{"double dash", `a -- b=c -d`, []Arg{word("a"), word("--"), pair("b", "c"), word("-d")}},
		{"repeats in order", `a=1 b=2 a=1`, []Arg{pair("a", "1"), pair("b", "2"), pair("a", "1")}},
		{"white space", " \ta=1\n\v\f\r b \n", []Arg{pair("a", "1"), word("b")}},
		{"no-break space in Latin-1", "a\xa0b", []Arg{word("a"), word("b")}},
		{"no-break space in quotes", "a=\"voil\u00e0 x\"", []Arg{pair("a", "voil\u00e0 x")}},
		{"not UTF-8", "a=\xff\xfe", []Arg{pair("a", "\xff\xfe")}},
		{"NUL ends it", "a=1\x00b=2", []Arg{pair("a", "1")}},
		{"empty", "", nil},
		{"blank", " \n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Parse(tt.line)); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", tt.line, diff)
			}
		})
	}
}

func TestString(t *testing.T) {
	for _, tt := range []struct {
		arg  Arg
		want string
	}{
		{word("quiet"), `quiet`},
		{pair("a", ""), `a=`},
		{pair("wyr.img", "r/x:1"), `wyr.img=r/x:1`},
		{pair("wyr.arg", "loglevel=3"), `wyr.arg=loglevel=3`},
		{pair("wyr.arg", "a b"), `wyr.arg="a b"`},
		{pair("wyr.arg", `wyr.arg="a b"`), `wyr.arg=wyr.arg="a b"`},
		{pair("wyr.arg", `x="a b" y`), `wyr.arg=x="a b" y`}, // no form: a space outside its own quotes
		{pair("a", "voil\u00e0"), "a=\"voil\u00e0\""},
		{word("a b"), `"a b"`},
		{word(""), `""`},
		{pair("a b", "c"), `"a b=c"`},
		{pair("a", `"b"`), `a=""b""`},
		{pair("a", `b" c`), `a=b" c`},     // no form: the quote stays open
		{pair("a", "b\x00c"), "a=b\x00c"}, // no form: the line ends there
	} {
		if got := tt.arg.String(); got != tt.want {
			t.Errorf("%#v.String() = %q, want %q", tt.arg, got, tt.want)
		}
	}
}

// FuzzParse checks for any line that no argument without a value has one, and that Parse reads String's form back.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		`quiet wyr.arg="quiet log-buf-len=1M" "wyr.arg=a b" wyr.img=r/x -- y`,
		`"a="b c"" =a= """ a="b"c`, "a\xa0b\x00c", `a="`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := Parse(line)
		var forms []string
		for _, a := range args {
			if !a.HasValue && a.Value != "" {
				t.Fatalf("Parse(%q): %#v has a value, but HasValue is false", line, a)
			}
			if got := Parse(a.String() + " x"); len(got) == 2 && got[0] == a {
				forms = append(forms, a.String())
				continue
			}
			// Only an argument with a quote or a NUL may have no form.
			if !strings.ContainsAny(a.Key+a.Value, "\"\x00") {
				t.Errorf("Parse(%q): %#v.String() = %q is not read back", line, a, a.String())
			}
		}
		if len(forms) == len(args) {
			if diff := cmp.Diff(args, Parse(strings.Join(forms, " "))); diff != "" {
				t.Errorf("Parse(%q) joined again (-want +got):\n%s", line, diff)
			}
		}
	})
}
