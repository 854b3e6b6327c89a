package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nvram is a store that holds data, "" for nothing. If err is set, it always fails.
type nvram struct {
	data string
	err  error
}

func (n *nvram) Load() ([]byte, error) {
	if n.err == nil && n.data == "" {
		return nil, fs.ErrNotExist
	}
	return []byte(n.data), n.err
}

func (n *nvram) Save(b []byte) error { n.data = string(b); return n.err }
func (n *nvram) Clear() error        { n.data = ""; return n.err }

func TestWyrefi(t *testing.T) {
	const (
		line   = `wyrcan.kernel quiet wyr.img=r/x:1 wyr.arg="a b" wyr.efi=write initrd=i` + "\n"
		stored = `{"network":{},"cmdline":["a b"],"image":"r/x:1"}`
	)
	const hostile = `{"network":{},"cmdline":["a\u001b[2J\nwyr.img=other/image"],"image":"r/x:1"}`
	noEFI := fmt.Errorf("no EFI here: %w %w", fs.ErrNotExist, errors.ErrUnsupported)

	for _, tt := range []struct {
		name    string
		args    []string
		cmdline string
		answer  string
		store   nvram
		after   string
		out     []string // parts of the output
		err     string   // a part of the error, "" for none
	}{
		{name: "write", args: []string{"write"}, cmdline: line, answer: "yes\n", after: stored,
			out: []string{"WARNING", `wyr.arg="a b"`, "[yes/no]", "stored"}},
		{name: "write, no", args: []string{"write"}, cmdline: line, answer: "no\n", out: []string{"WARNING"}, err: "not yes"},
		{name: "write, no input", args: []string{"write"}, cmdline: line, err: "not yes"},
		{name: "write over another, no", args: []string{"write"}, cmdline: line, answer: "y\n", store: nvram{data: "{}"},
			after: "{}", err: "not yes"},
		{name: "write the same", args: []string{"write"}, cmdline: line, store: nvram{data: stored}, after: stored,
			out: []string{"already"}},
		{name: "write words", args: []string{"write", "wyr.img=r/x:1", "wyr.arg=a b"}, answer: "yes\n", after: stored},
		{name: "write, warned", args: []string{"write", "wyr.img=r/x:1", "wyr.arg=a b", "wyr.rot=1"}, answer: "yes\n",
			after: stored, out: []string{"wyr.root is the nearest"}},
		{name: "write, one of the kernel's arguments", args: []string{"write", "wyr.img=x", "quiet"}, answer: "yes\n",
			err: `wyr.arg="quiet"`},
		{name: "write without an image", args: []string{"write"}, cmdline: "quiet\n", answer: "yes\n",
			err: "no container image"},
		{name: "write without EFI", args: []string{"write"}, cmdline: line, answer: "yes\n", store: nvram{err: noEFI},
			err: "no EFI"},
		{name: "write fails", args: []string{"write"}, cmdline: line, answer: "yes\n", store: nvram{err: fs.ErrInvalid},
			err: "invalid", after: stored},
		{name: "clear", args: []string{"clear"}, answer: "yes\n", store: nvram{data: stored},
			out: []string{"WARNING", "cleared"}},
		{name: "clear, no", args: []string{"clear"}, answer: "\n", store: nvram{data: stored}, after: stored, err: "not yes"},
		{name: "clear nothing", args: []string{"clear"}, out: []string{"nothing stored"}},
		{name: "clear without EFI", args: []string{"clear"}, store: nvram{err: noEFI}, err: "no EFI"},
		{name: "show", args: []string{"show"}, store: nvram{data: stored}, after: stored,
			out: []string{"wyr.img=r/x:1\nwyr.arg=\"a b\"\n"}},
		{name: "show hostile text", args: []string{"show"}, store: nvram{data: hostile}, after: hostile,
			out: []string{`wyr.img=r/x:1` + "\n" + `wyr.arg="a [2J wyr.img=other/image"` + "\n"}},
		{name: "write hostile text", args: []string{"write", "wyr.img=r/x:1",
			"wyr.arg=a\x1b[2J\n    wyr.img=other/image"}, answer: "no\n",
			out: []string{"    wyr.img=r/x:1\n" + `    wyr.arg="a [2J wyr.img=other/image"` + "\n"}, err: "not yes"},
		{name: "show nothing", args: []string{"show"}, out: []string{"nothing stored"}},
		{name: "show garbage", args: []string{"show"}, store: nvram{data: "x"}, after: "x", err: "wyrefi clear removes it"},
		{name: "show without EFI", args: []string{"show"}, store: nvram{err: noEFI}, err: "no EFI"},
		{name: "nothing to do", err: "usage"},
		{name: "unknown", args: []string{"wipe"}, err: "usage"},
		{name: "too much", args: []string{"clear", "all"}, err: "usage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "cmdline")
			if err := os.WriteFile(file, []byte(tt.cmdline), 0o644); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			c := &cmd{
				stdin: strings.NewReader(tt.answer), stdout: &out, stderr: &out,
				args: tt.args, cmdline: file, store: &tt.store,
			}
			if err := c.run(); (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("run() = %v, want %q", err, tt.err)
			}
			if tt.store.data != tt.after {
				t.Errorf("NVRAM holds %q, want %q", tt.store.data, tt.after)
			}
			for _, want := range tt.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output %q, want %q in it", out.String(), want)
				}
			}
		})
	}
}
