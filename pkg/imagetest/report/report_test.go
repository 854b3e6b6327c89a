package report_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"golang.org/x/sys/unix"
)

func sample() report.Tree {
	return report.Tree{
		".": {Mode: unix.S_IFDIR | 0o755, ModTime: time.Unix(1, 0), Same: "."},
		"a b\n\xff\"": {Mode: unix.S_IFREG | 0o4755, UID: 1, GID: 2, Size: 3, Sum: "abc", ModTime: time.Unix(-5, 7),
			Same: "a b\n\xff\"", Xattrs: map[string]string{"user.x": "\x00\xff y", "user.a": ""}},
		"link": {Mode: unix.S_IFREG | 0o4755, UID: 1, GID: 2, Size: 3, Sum: "abc", ModTime: time.Unix(1<<33, 0),
			Same: "a b\n\xff\""},
		"s": {Mode: unix.S_IFLNK | 0o777, Target: "/x y", ModTime: time.Unix(0, 0), Same: "s"},
		"dev": {Mode: unix.S_IFCHR | 0o600, Major: 4095, Minor: 1<<20 - 1, ModTime: time.Unix(0, 0),
			Same: "dev"},
	}
}

func TestText(t *testing.T) {
	var text bytes.Buffer
	if err := sample().Write(&text); err != nil {
		t.Fatal(err)
	}
	got, err := report.Parse(bytes.NewReader(text.Bytes()))
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Errorf("Parse of\n%s= %v, %v, want %v", text.String(), got, err, sample())
	}
	for _, bad := range []string{"x", `"p" 1`, `"p" 1 2 3 4 "" 5 6 "" 7 8 "" 1`} {
		if got, err := report.Parse(strings.NewReader(bad)); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", bad, got)
		}
	}
}

// TestDiff changes one field at a time. Each change must be reported.
func TestDiff(t *testing.T) {
	if d := report.Diff(sample(), sample(), 10); len(d) != 0 {
		t.Errorf("Diff of the same = %q", d)
	}
	for name, change := range map[string]func(*report.File){
		"mode":            func(f *report.File) { f.Mode ^= 1 },
		"uid":             func(f *report.File) { f.UID++ },
		"gid":             func(f *report.File) { f.GID++ },
		"size":            func(f *report.File) { f.Size++ },
		"content":         func(f *report.File) { f.Sum += "x" },
		"mtime":           func(f *report.File) { f.ModTime = f.ModTime.Add(1) },
		"target":          func(f *report.File) { f.Target += "x" },
		"device":          func(f *report.File) { f.Minor++ },
		"first hard link": func(f *report.File) { f.Same += "x" },
		"xattrs":          func(f *report.File) { f.Xattrs = map[string]string{"user.new": "1"} },
	} {
		for path := range sample() {
			got := sample()
			f := got[path]
			change(&f)
			got[path] = f
			if d := report.Diff(sample(), got, 10); len(d) != 1 || !strings.Contains(d[0], name+" is ") {
				t.Errorf("Diff with another %s of %q = %q", name, path, d)
			}
		}
	}
	less := sample()
	delete(less, "s")
	if d := report.Diff(sample(), less, 10); len(d) != 1 || d[0] != `"s" is missing` {
		t.Errorf("Diff with a path missing = %q", d)
	}
	if d := report.Diff(less, sample(), 10); len(d) != 1 || !strings.Contains(d[0], "should not be") {
		t.Errorf("Diff with a path too many = %q", d)
	}
	if d := report.Diff(sample(), report.Tree{}, 2); len(d) != 3 || d[2] != "..." {
		t.Errorf("Diff cut at two = %q", d)
	}
}

func TestFromDir(t *testing.T) {
	dir := t.TempDir()
	when := time.Unix(1600000000, 123456789)
	file := filepath.Join(dir, "f")
	for _, err := range []error{
		os.WriteFile(file, []byte("abc"), 0o600), os.Link(file, filepath.Join(dir, "g")),
		os.Symlink("f", filepath.Join(dir, "s")),
		os.Mkdir(filepath.Join(dir, "d"), 0o700), unix.Mkfifo(filepath.Join(dir, "d", "p"), 0o600),
		os.Chmod(file, 0o640), os.Chtimes(file, when, when),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := report.FromDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	abc := "2cd8094a1a277627" // as xz -lvv shows it for such a file
	for path, want := range map[string]report.File{
		"f":   {Mode: unix.S_IFREG | 0o640, Size: 3, Sum: abc, ModTime: when, Same: "f"},
		"g":   {Mode: unix.S_IFREG | 0o640, Size: 3, Sum: abc, ModTime: when, Same: "f"},
		"s":   {Mode: unix.S_IFLNK | 0o777, Target: "f", Same: "s"},
		"d":   {Mode: unix.S_IFDIR | 0o700, Same: "d"},
		"d/p": {Mode: unix.S_IFIFO | 0o600, Same: "d/p"},
	} {
		f := got[path]
		f.UID, f.GID, f.Xattrs = 0, 0, nil
		if want.ModTime.IsZero() {
			f.ModTime = time.Time{}
		}
		if d := report.Diff(report.Tree{path: want}, report.Tree{path: f}, 10); len(d) > 0 {
			t.Error(d)
		}
	}
	if len(got) != 6 {
		t.Errorf("FromDir has %d paths, want 6", len(got))
	}
}
