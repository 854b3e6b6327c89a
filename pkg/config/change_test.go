package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"
)

func TestConfirm(t *testing.T) {
	for _, tt := range []struct {
		answer string
		ok     bool
	}{
		{"yes\n", true},
		{"yes\r\n", true},
		{" yes \n", true},
		{"yes", true}, // the end of a file instead of Enter
		{"", false},
		{"\n", false},
		{"no\n", false},
		{"y\n", false},
		{"YES\n", false},
		{"yes please\n", false},
		{"no\nyes\n", false},
		{"\nyes\n", false},
		{strings.Repeat("y", 1<<20), false},
	} {
		for _, efi := range []EFI{EFIWrite, EFIClear} {
			err := Change{Config: Config{Image: "x", EFI: efi}}.Confirm(strings.NewReader(tt.answer), io.Discard)
			if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, ErrDeclined) {
				t.Errorf("Confirm(%s) answered %.20q: %v", efi, tt.answer, err)
			}
		}
	}
}

func TestConfirmShows(t *testing.T) {
	var out strings.Builder
	c := Config{Image: "r/x:1", Args: []string{"a b"}, EFI: EFIWrite, EFIYes: true, Debug: "shell", Fail: "shell"}
	if err := (Change{Config: c}).Confirm(strings.NewReader("yes\n"), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"WARNING", "brick", "wyr.img=r/x:1", `wyr.arg="a b"`, "[yes/no]"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("Confirm does not show %q:\n%s", want, out.String())
		}
	}
	for _, hidden := range []string{"wyr.efi", "wyr.debug", "wyr.fail"} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("Confirm shows %q, which is not stored:\n%s", hidden, out.String())
		}
	}
}

// Confirm must not read beyond the answer: the rest of the input is for others.
func TestConfirmLeavesTheRest(t *testing.T) {
	in := strings.NewReader("yes\nmore")
	if err := (Change{Config: Config{EFI: EFIClear}}).Confirm(in, io.Discard); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(in); string(rest) != "more" {
		t.Errorf("Confirm left %q, want %q", rest, "more")
	}
}

func TestConfirmFailures(t *testing.T) {
	c := Change{Config: Config{EFI: EFIClear}}
	broken := errors.New("broken")
	if err := c.Confirm(iotest.ErrReader(broken), io.Discard); !errors.Is(err, ErrDeclined) || !errors.Is(err, broken) {
		t.Errorf("Confirm from a broken reader: %v, want ErrDeclined and its cause", err)
	}
	_, w := io.Pipe()
	w.CloseWithError(broken)
	if err := c.Confirm(strings.NewReader("yes\n"), w); err == nil {
		t.Error("Confirm accepted the answer although it could not show the warning")
	}
}

func TestChange(t *testing.T) {
	const old, want = `{"network":{},"cmdline":[],"image":"old"}`, `{"network":{},"cmdline":["a"],"image":"x"}`
	// by returns the same, written by a version.
	by := func(version string) string { return strings.TrimSuffix(want, "}") + `,"version":` + version + "}" }
	noNVRAM := fmt.Errorf("no EFI: %w %w", fs.ErrNotExist, errors.ErrUnsupported)
	write := Config{Image: "x", Args: []string{"a"}, EFI: EFIWrite}

	for _, tt := range []struct {
		name    string
		config  Config
		version string
		store   memory
		needed  bool
		err     string
		after   string
	}{
		{name: "write", config: write, needed: true, after: want},
		{name: "write a file", config: Config{File: "https://h/x", EFI: EFIWrite, EFIYes: true}, needed: true,
			after: `{"network":{},"cmdline":[],"image":"","config":"https://h/x"}`},
		{name: "write over another", config: write, store: memory{data: []byte(old)}, needed: true, after: want},
		{name: "write the same", config: write, store: memory{data: []byte(want)}, after: want},
		{name: "write, with a version", config: write, version: "v0.2.0", needed: true, after: by(`"v0.2.0"`)},
		{name: "write over another, with a version", config: write, version: "v0.2.0", store: memory{data: []byte(old)},
			needed: true, after: by(`"v0.2.0"`)},
		{name: "write the same by the same", config: write, version: "v0.2.0", store: memory{data: []byte(by(`"v0.2.0"`))}},
		{name: "write the same by another", config: write, version: "v0.2.0", store: memory{data: []byte(by(`"v0.1.0"`))}},
		{name: "write the same as Wyrcan 2.1", config: write, version: "v0.2.0", store: memory{data: []byte(want)}},
		{name: "write over a version of another form", config: write, version: "v0.2.0",
			store: memory{data: []byte(by(`[0,3]`))}, needed: true, after: by(`"v0.2.0"`)},
		{name: "write over a version that is too long", config: write, version: "v0.2.0",
			store: memory{data: []byte(by(`"` + strings.Repeat("9", maxStored) + `"`))}, needed: true, after: by(`"v0.2.0"`)},
		{name: "write over garbage", config: write, store: memory{data: []byte("x")}, needed: true, after: want},
		{name: "write over what cannot be read", config: write, store: memory{err: fs.ErrInvalid}, needed: true, after: want},
		{name: "write without an image", config: Config{EFI: EFIWrite}, err: ErrNoImage.Error()},
		{name: "write what JSON cannot hold", config: Config{Image: "\xff", EFI: EFIWrite}, err: "UTF-8"},
		{name: "write without NVRAM", config: write, store: memory{err: noNVRAM}, err: "no EFI"},
		{name: "clear", config: Config{EFI: EFIClear}, store: memory{data: []byte(old)}, needed: true},
		{name: "clear nothing", config: Config{EFI: EFIClear}},
		{name: "clear garbage", config: Config{EFI: EFIClear}, store: memory{data: []byte("x")}, needed: true},
		{name: "clear without NVRAM", config: Config{EFI: EFIClear}, store: memory{err: noNVRAM}, err: "no EFI"},
		{name: "neither", config: Config{Image: "x"}, store: memory{data: []byte(old)}, after: old},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Change{Config: tt.config, Store: &tt.store, Version: tt.version}
			needed, err := c.Needed()
			if needed != tt.needed || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("Needed() = %v, %v, want %v, %q", needed, err, tt.needed, tt.err)
			}
			if err != nil || !needed && tt.config.EFI != "" {
				return
			}
			if err := c.Apply(); err != nil {
				t.Fatal(err)
			}
			if string(tt.store.data) != tt.after {
				t.Errorf("after Apply the store holds %q, want %q", tt.store.data, tt.after)
			}
		})
	}
}
