package syscred

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// table returns a table of type 11 as the kernel shows it.
func table(texts ...string) []byte {
	b := []byte{11, 5, 0, 0x0e, byte(len(texts))}
	for _, t := range texts {
		b = append(append(b, t...), 0)
	}
	return append(b, 0)
}

// machine returns a file system with these files.
func machine(files map[string]string) fstest.MapFS {
	root := make(fstest.MapFS)
	for name, content := range files {
		root[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o400}
	}
	return root
}

const (
	fwcfg  = "sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials/"
	smbios = "sys/firmware/dmi/entries/"
)

// secret is in the content of malformed credentials. No error may show it.
const secret = "hunter2"

func TestRead(t *testing.T) {
	binaryText := base64.StdEncoding.EncodeToString([]byte("\x00binary\xff"))
	root := machine(map[string]string{
		".extra/credentials/wyr.auth.cred":        "stub",
		".extra/credentials/other.cred":           "not ours",
		".extra/credentials/wyr.auth":             "not a .cred",
		".extra/credentials/wyr.cred":             "no name",
		".extra/global_credentials/wyr.auth.cred": "all",
		fwcfg + "wyr.auth/raw":                    "fw\nline two\n",
		fwcfg + "wyr.auth/size":                   "12",
		fwcfg + "login.password/raw":              "not ours",
		smbios + "0-0/raw":                        "\x00BIOS",
		smbios + "11-10/raw":                      string(table("io.systemd.credential:wyr.late=10")),
		smbios + "11-2/raw": string(table("a vendor's text", "io.systemd.credential:wyr.auth={\"a\": \"b=c\"}",
			"io.systemd.credential.binary:wyr.ca="+binaryText, "io.systemd.credential:login.x=y",
			"io.systemd.credential:wyr.key=")),
		smbios + "11-2/type": "11",
	})
	set, errs := Read(root)
	for _, err := range errs {
		t.Error(err)
	}
	var got []string
	for _, c := range set {
		got = append(got, fmt.Sprintf("%s=%q from %s", c.Name, c.Data, c.From))
	}
	want := []string{
		`wyr.auth="stub" from /.extra/credentials/wyr.auth.cred`,
		`wyr.auth="all" from /.extra/global_credentials/wyr.auth.cred`,
		`wyr.auth="fw\nline two\n" from fw_cfg`,
		`wyr.auth="{\"a\": \"b=c\"}" from SMBIOS`,
		`wyr.ca="\x00binary\xff" from SMBIOS`,
		`wyr.key="" from SMBIOS`,
		`wyr.late="10" from SMBIOS`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("Read = \n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if named := set.Named("wyr.auth"); len(named) != 4 || named[0].From != "/.extra/credentials/wyr.auth.cred" {
		t.Errorf("Named = %v", named)
	}
	if set, errs := Read(machine(nil)); len(set) != 0 || len(errs) != 0 {
		t.Errorf("Read of a machine without credentials = %v, %v", set, errs)
	}
}

func TestReadMalformed(t *testing.T) {
	good := "io.systemd.credential:wyr.good=1"
	encrypted := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0x5a}, 90))
	first := func(raw string) map[string]string { return map[string]string{"11-0/raw": raw} }
	texts := func(texts ...string) map[string]string { return first(string(table(texts...))) }
	const plain = "io.systemd.credential:"
	for name, row := range map[string]struct {
		files map[string]string
		want  string // in the error
		left  string // the names of the credentials that can be read
	}{
		"empty table":  {first(""), "no table of type 11", ""},
		"another type": {first("\x01" + string(table(good)[1:])), "no table of type 11", ""},
		"too long":     {first("\x0b\xff\x00\x00\x01a\x00\x00"), "no table of type 11", ""},
		"too short":    {first("\x0b\x04\x00\x00\x01a\x00\x00"), "no table of type 11", ""},
		"no end":       {first(string(table()[:5]) + good + "\x00" + plain + "wyr.auth=" + secret), "no end", "wyr.good"},
		"next table":   {map[string]string{"11-0/raw": "x", "11-1/raw": string(table(good))}, "11-0", "wyr.good"},
		"not base64": {
			texts("io.systemd.credential.binary:wyr.auth="+secret+"!", good), "wyr.auth in SMBIOS is not base64", "wyr.good"},
		"no equals": {texts(plain+"wyr.auth"+secret, good), "has no value", "wyr.good"},
		"twice":     {texts(good, good), "wyr.good twice", "wyr.good"},
		"twice, tables": {
			map[string]string{"11-0/raw": string(table(good)), "11-1/raw": string(table(good))}, "wyr.good twice", "wyr.good"},
		"large table":        {texts(plain + "wyr.auth=" + strings.Repeat("x", maxSize)), "1024 KiB", ""},
		"an escape":          {texts(plain+"wyr.\x1b[2J=x", good), "", "wyr.good"},
		"a directory upward": {texts(plain + "wyr./../x=x"), "", ""},
	} {
		files := make(map[string]string)
		for name, content := range row.files {
			files[smbios+name] = content
		}
		check(t, name, machine(files), row.want, row.left)
	}
	stub := func(raw string) fs.FS { return machine(map[string]string{".extra/credentials/wyr.auth.cred": raw}) }
	fw := func(raw string) fs.FS { return machine(map[string]string{fwcfg + "wyr.auth/raw": raw}) }
	check(t, "encrypted", stub(encrypted), "encrypted for systemd", "")
	check(t, "encrypted, in lines", stub(encrypted[:60]+"\n"+encrypted[60:]+"\n"), "encrypted for systemd", "")
	check(t, "large file", fw(strings.Repeat("x", maxSize+1)), "1024 KiB", "")
	check(t, "largest file", fw(strings.Repeat("x", maxSize)), "", "wyr.auth")
	check(t, "no raw", machine(map[string]string{fwcfg + "wyr.auth/size": "1"}), "file does not exist", "")
	pipe := machine(nil)
	pipe[".extra/credentials/wyr.auth.cred"] = &fstest.MapFile{Mode: fs.ModeNamedPipe | 0o600}
	check(t, "pipe", pipe, "not a file", "")

	many := make(map[string]string)
	for i := range maxFiles + 1 {
		many[fmt.Sprintf("%swyr.%03d/raw", fwcfg, i)] = "x"
	}
	set, errs := Read(machine(many))
	if len(set) != maxFiles || len(errs) != 1 {
		t.Errorf("%d files: %d credentials, %v", len(many), len(set), errs)
	}
	clear(many)
	for i := range maxTotal/maxSize + 1 {
		many[fmt.Sprintf("%swyr.%03d/raw", fwcfg, i)] = strings.Repeat("x", maxSize)
	}
	many[fwcfg+"wyr.small/raw"] = ""
	set, errs = Read(machine(many))
	if len(set) != maxTotal/maxSize+1 || len(errs) != 1 {
		t.Errorf("%d large files: %d credentials, %v", len(many), len(set), errs)
	}
}

func check(t *testing.T, name string, root fs.FS, want, left string) {
	t.Helper()
	set, errs := Read(root)
	var names []string
	for _, c := range set {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != left {
		t.Errorf("%s: the credentials are %q, want %q", name, got, left)
	}
	switch {
	case want == "" && len(errs) > 0:
		t.Errorf("%s: %v", name, errs)
	case want != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), want)):
		t.Errorf("%s: %v, want one error with %q", name, errs, want)
	}
	for _, err := range errs {
		if !errors.As(err, new(*Error)) {
			t.Errorf("%s: %v is no *Error", name, err)
		}
		if strings.Contains(err.Error(), secret) || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%s: the error shows the content: %v", name, err)
		}
	}
}

// FuzzSMBIOS reads tables from firmware that is wrong.
func FuzzSMBIOS(f *testing.F) {
	f.Add(table("io.systemd.credential:wyr.auth={}", "io.systemd.credential.binary:wyr.ca=AAAA"))
	f.Add([]byte("\x0b\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, errs := Read(machine(map[string]string{smbios + "11-0/raw": string(raw)}))
		for _, c := range set {
			if !ours(c.Name) || len(c.Data) > len(raw) {
				t.Errorf("%q = %q", c.Name, c.Data)
			}
		}
		for _, err := range errs {
			if strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%q", err)
			}
		}
	})
}
