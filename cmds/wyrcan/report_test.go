package main

import (
	"bytes"
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/audit"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// faulty is a bootable container that has a machine id, host keys and two drivers without firmware.
func faulty() []imagetest.Entry {
	const modules = "usr/lib/modules/" + release + "/kernel/drivers/net/"
	return append(bootable(),
		imagetest.File("etc/os-release", "ID=debian\n"), imagetest.File("etc/hosts", "127.0.0.1 localhost\n"),
		imagetest.File("etc/machine-id", strings.Repeat("a", 32)), imagetest.File("etc/ssh/ssh_host_rsa_key", "secret"),
		imagetest.File(modules+"bnx2x.ko", string(imagetest.Module("firmware=bnx2x/a.fw"))),
		imagetest.File(modules+"r8169.ko", string(imagetest.Module("firmware=rtl_nic/a.fw"))))
}

// Warnings have a kind and a mend for programs; -explain has the mend for people, and without it a line says so.
func TestExplain(t *testing.T) {
	img := onDisk(t, imagetest.Image(t, imagetest.Files(faulty()...)))
	var r struct {
		Bootable           bool
		Warnings, Hardware []map[string]string
	}
	text := succeeds(t, "check", "-json", img)
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	if !r.Bootable || len(r.Warnings) != 2 || len(r.Hardware) != 1 || r.Warnings[0]["id"] != "machine-id" ||
		r.Warnings[1]["id"] != "ssh-host-keys" || r.Hardware[0]["id"] != "nic-firmware" {
		t.Fatalf("-json gives %s", text)
	}
	for _, f := range append(r.Warnings, r.Hardware...) {
		if f["text"] == "" || f["mend"] == "" {
			t.Errorf("%q has no text or no mend", f)
		}
	}
	// Programs may walk through lists that are empty.
	fine := succeeds(t, "check", "-json", onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...))))
	if !strings.Contains(fine, `"warnings": [],`) || !strings.Contains(fine, `"hardware": []`) {
		t.Errorf("of an image without faults -json gives %s", fine)
	}
	short := succeeds(t, "check", img)
	if !strings.Contains(short, "\nhardware      these network cards do not work") ||
		strings.Contains(short, "RUN ") || !strings.HasSuffix(short, "(-explain says how to mend them)\n") {
		t.Errorf("without -explain:\n%s", short)
	}
	long := succeeds(t, "check", img, "-explain")
	for _, f := range append(r.Warnings, r.Hardware...) {
		for line := range strings.Lines(f["mend"]) {
			if !strings.Contains(long, "\n                "+strings.TrimRight(line, "\n")+"\n") {
				t.Errorf("-explain has no line %q in\n%s", line, long)
			}
		}
	}
	if strings.Contains(long, "-explain") || !strings.HasSuffix(long, "\nbootable      yes\n") {
		t.Errorf("with -explain:\n%s", long)
	}
	for _, f := range []string{short, long} {
		if strings.ContainsFunc(f, func(r rune) bool { return r > 0x7e || r < ' ' && r != '\n' }) {
			t.Errorf("a report that is no terminal's has more than ASCII:\n%q", f)
		}
	}
}

// On a terminal, and only where that shows them, the lines have signs and colours. The status stays the same.
func TestColours(t *testing.T) {
	warned := onDisk(t, imagetest.Image(t, imagetest.Files(faulty()...)))
	broken := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...), imagetest.Files(imagetest.Whiteout("init"),
		imagetest.Whiteout("bin/init"))))
	able := map[string]string{
		"TERM": "xterm-256color", "LANG": "de_DE.UTF-8", "NO_COLOR": "", "LC_ALL": "", "LC_CTYPE": "",
	}
	for name, row := range map[string]struct {
		img    string
		change map[string]string
		colour bool
		code   int
		want   string
	}{
		"warnings":     {warned, nil, true, 0, "\x1b[33m⚠ warning       the image has an id"},
		"bootable":     {warned, nil, true, 0, "\x1b[32m✓ bootable      yes\x1b[0m"},
		"not bootable": {broken, nil, true, notBootable, "\x1b[31m✗ bootable      no: "},
		"NO_COLOR":     {warned, map[string]string{"NO_COLOR": "1"}, false, 0, "bootable      yes"},
		"dumb":         {warned, map[string]string{"TERM": "dumb"}, false, 0, "bootable      yes"},
		"no TERM":      {warned, map[string]string{"TERM": ""}, false, 0, "bootable      yes"},
		"POSIX":        {warned, map[string]string{"LANG": "C"}, false, 0, "bootable      yes"},
		"LC_ALL":       {warned, map[string]string{"LC_ALL": "POSIX"}, false, 0, "bootable      yes"},
		"utf8":         {warned, map[string]string{"LC_CTYPE": "C.utf8", "LANG": "C"}, true, 0, "✓ bootable"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range able {
				t.Setenv(k, v)
			}
			for k, v := range row.change {
				t.Setenv(k, v)
			}
			person, program := pty(t)
			c, _, _ := tool(t, "check", row.img)
			withWyrinit(t, c)
			c.stdout = program
			var seen bytes.Buffer
			read := make(chan error, 1)
			go func() {
				_, err := io.Copy(&seen, person) // ends with EIO when the program's end is closed
				read <- err
			}()
			err := c.run(context.Background())
			program.Close()
			select {
			case <-read:
			case <-time.After(10 * time.Second):
				t.Fatal("the terminal stays open")
			}
			got := strings.ReplaceAll(seen.String(), "\r\n", "\n")
			if code(err) != row.code || !strings.Contains(got, row.want) || strings.Contains(got, "\x1b[") != row.colour {
				t.Errorf("status %d (%v), want %d and %q in\n%q", code(err), err, row.code, row.want, got)
			}
		})
	}
	if colourful(new(bytes.Buffer), func(string) string { return "xterm.UTF-8" }) {
		t.Error("a file is in colour")
	}
}

// docs/host-tool.md has each member of the report and each kind of warning, and no others.
func TestReportIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/host-tool.md")
	if err != nil {
		t.Fatal(err)
	}
	table := func(heading string) map[string]bool {
		_, text, _ := strings.Cut(string(b), "\n"+heading+"\n")
		rows := map[string]bool{}
		for _, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "#") {
				break
			}
			cell, ok := strings.CutPrefix(line, "| `")
			if !ok {
				continue
			}
			cell, _, _ = strings.Cut(cell, " |")
			for _, m := range regexp.MustCompile("[a-zA-Z-]+").FindAllString(cell, -1) {
				rows[m] = true
			}
		}
		return rows
	}
	members := map[string]bool{}
	for f := range reflect.TypeFor[report]().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			members[name] = true
		}
	}
	same(t, "members", members, table("### The report as JSON"))
	kinds := map[string]bool{}
	for file, first := range map[string]string{
		"../../pkg/audit/audit.go": "ResolvConf", "../../pkg/bundle/warnings.go": "KernelPassedOver",
	} {
		for _, k := range constants(t, file, first) {
			kinds[k] = true
			if first == "KernelPassedOver" && new(audit.View).Mend(k) == "" {
				t.Errorf("-explain does not say how to mend %s", k)
			}
		}
	}
	same(t, "kinds of warnings", kinds, table("### Warnings"))
}

func same(t *testing.T, what string, want, got map[string]bool) {
	t.Helper()
	if len(want) == 0 {
		t.Errorf("no %s were found", what)
	}
	for name := range want {
		if !got[name] {
			t.Errorf("%s: %s is not in the table", what, name)
		}
	}
	for name := range got {
		if !want[name] {
			t.Errorf("%s: the table has %s, which does not exist", what, name)
		}
	}
}

// constants returns the texts of the block of constants that begins with a name.
func constants(t *testing.T, file, first string) (all []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST || g.Specs[0].(*ast.ValueSpec).Names[0].Name != first {
			continue
		}
		for _, s := range g.Specs {
			text, err := strconv.Unquote(s.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
	}
	return all
}
