package main

import (
	"io"
	"os"
	"testing"
)

// A file's name must not reach the console as more than a name.
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
	if want := "wyrinit: loses user.x of /a [2J wyrinit: all is well: operation not supported\n"; err != nil || string(got) != want {
		t.Errorf("say wrote %q, %v, want %q", got, err, want)
	}
}
