package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
)

// A file's name must not bring control characters or line ends to the console.
func TestSay(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	say("loses user.x of /a\x1b[2J\nwyrinit: all is well: operation not supported")
	os.Stderr = stderr
	w.Close()
	got, err := io.ReadAll(r)
	want := "wyrinit: loses user.x of /a [2J wyrinit: all is well: operation not supported\n"
	if err != nil || string(got) != want {
		t.Errorf("say wrote %q, %v, want %q", got, err, want)
	}
}

// If attributes of many files are lost, restore prints at most two lines for each kind.
func TestRestore(t *testing.T) {
	var list []handover.Xattr
	add := func(path, name string) { list = append(list, handover.Xattr{Path: path, Name: name, Value: "x"}) }
	for i := range 5000 {
		add(fmt.Sprint("/link", i), "user.a")
		add(fmt.Sprint("/file", i), "user.a")
		add(fmt.Sprint("/good", i), "user.good")
	}
	add("/evil\x1b[2J", "x.\x1b[2J")
	set := func(x handover.Xattr) error {
		switch {
		case x.Name == "user.good":
			return nil
		case strings.HasPrefix(x.Path, "/link"):
			return unix.EPERM
		}
		return unix.EOPNOTSUPP
	}
	var said []string
	say := func(s string) { said = append(said, s) }
	restore(list, set, say)
	want := []string{
		`loses "user.a" of "/link0": operation not permitted`,
		`loses "user.a" of "/file0": operation not supported`,
		`loses "x.\x1b[2J" of "/evil\x1b[2J": operation not supported`,
		`loses "user.a" of 4999 more files: operation not permitted`,
		`loses "user.a" of 4999 more files: operation not supported`,
	}
	if !slices.Equal(said, want) {
		t.Errorf("restore says %q, want %q", said, want)
	}

	list, said = nil, nil
	for i := range 1000 {
		add("/f", fmt.Sprint("user.", i))
	}
	restore(list, func(handover.Xattr) error { return unix.ENOSPC }, say)
	if len(said) != mostKinds+1 || said[mostKinds] != "loses 980 more attributes, of other kinds" {
		t.Errorf("for 1000 kinds restore says %d lines, the last %q", len(said), said[len(said)-1])
	}
}

// TestRestoreInit puts the image's /init back, or removes wyrinit's where the image has none.
func TestRestoreInit(t *testing.T) {
	for name, c := range map[string]struct {
		own   bool   // the image has an /init
		init  string // in the list
		want  string
		there string // what is /init afterwards
	}{
		"the image's":           {true, "", handover.Init, "own"},
		"another":               {true, "/bin/sh", "/bin/sh", "own"},
		"there is no /init":     {false, "/sbin/init", "/sbin/init", ""},
		"the list was not read": {false, "", handover.Init, "wyrinit"},
	} {
		root := t.TempDir()
		if err := os.Mkdir(root+handover.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{handover.Init: "wyrinit"}
		if c.own {
			files[handover.OriginalInit] = "own"
		}
		for path, content := range files {
			if err := os.WriteFile(root+path, []byte(content), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		got, err := restoreInit(root, handover.Manifest{Init: c.init})
		if got != c.want || (err != nil) != (c.there == "wyrinit") {
			t.Errorf("%s: restoreInit = %q, %v, want %q", name, got, err, c.want)
		}
		if b, _ := os.ReadFile(root + handover.Init); string(b) != c.there {
			t.Errorf("%s: /init is %q, want %q", name, b, c.there)
		}
	}
}
