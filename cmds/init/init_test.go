package main

import (
	"slices"
	"testing"

	"github.com/u-root/u-root/pkg/uflag"
)

// TestArguments reads what u-root writes, and what a person writes.
func TestArguments(t *testing.T) {
	want := []string{"wyr.img=registry.example/x", "wyr.arg=two \"words\"", "-cmdline", "a\nb"}
	if got := arguments(uflag.ArgvToFile(want) + "\n"); !slices.Equal(got, want) {
		t.Errorf("arguments = %q, want %q", got, want)
	}
	want = []string{"wyr.img=registry.example/x", "wyr.arg=two words", `"wyr.arg=open`}
	if got := arguments("\nwyr.img=registry.example/x\r\n  wyr.arg=two words\n\"wyr.arg=open"); !slices.Equal(got, want) {
		t.Errorf("arguments = %q, want %q", got, want)
	}
	if got := arguments(""); got != nil {
		t.Errorf("arguments of nothing = %q", got)
	}
}

// FuzzArguments: process 1 must not panic.
func FuzzArguments(f *testing.F) {
	f.Add("\"a\"\nb\n\"")
	f.Fuzz(func(t *testing.T, flags string) {
		if slices.Contains(arguments(flags), "") {
			t.Errorf("arguments(%q) has an empty one", flags)
		}
	})
}

func TestConsolesOf(t *testing.T) {
	got := consolesOf(`quiet console=tty0 console=ttyS0,115200n8 console= earlycon=x quote=" console=hvc0`)
	if want := []string{"tty0", "ttyS0"}; !slices.Equal(got, want) {
		t.Errorf("consolesOf = %q, want %q", got, want)
	}
}
