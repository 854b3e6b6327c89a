package uki

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
)

// menu are profiles as Wyrcan has them.
var menu = []Profile{
	{"main", "Boot", ""},
	{"clear", "Clear NVRAM", "wyr.efi=clear"},
	{"shell", "Debug shell, if it fails", "wyr.debug=shell"},
	{"nokeep", "Without wyr.net.keep", "wyr.net.keep=no"},
}

// table returns the names of the sections behind the stub's own, in the order of the section table, with the content
// of those that are text.
func table(t *testing.T, b []byte) []string {
	t.Helper()
	f, _ := sections(t, b)
	var names []string
	for _, s := range f.Sections[1:] {
		name := s.Name
		if name == ".cmdline" || name == ".profile" {
			text := make([]byte, s.VirtualSize)
			if _, err := s.ReadAt(text, 0); err != nil {
				t.Fatal(err)
			}
			name += " " + string(text)
		}
		names = append(names, name)
	}
	return names
}

// What all profiles share stands before the first .profile, and each profile has only what differs (UAPI.5).
func TestMarshalProfiles(t *testing.T) {
	in := Image{Stub: stub(1024), Release: "ID=wyrcan\n", Version: "6.1.0", Cmdline: "quiet", Initrd: []byte("initrd"),
		Kernel: bzImage(), Profiles: menu}
	b, err := in.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".osrel", ".uname", ".cmdline quiet", ".initrd", ".linux",
		".profile ID=main\nTITLE=\"Boot\"\n",
		".profile ID=clear\nTITLE=\"Clear NVRAM\"\n", ".cmdline quiet wyr.efi=clear",
		".profile ID=shell\nTITLE=\"Debug shell, if it fails\"\n", ".cmdline quiet wyr.debug=shell",
		".profile ID=nokeep\nTITLE=\"Without wyr.net.keep\"\n", ".cmdline quiet wyr.net.keep=no",
	}
	if got := table(t, b); !slices.Equal(got, want) {
		t.Errorf("the sections are\n%q, want\n%q", got, want)
	}
	for name, stub := range stubs(t) {
		if StubVersion(stub) < profilesSince {
			continue
		}
		in := in
		in.Stub = stub
		b, err := in.Marshal()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checkLayout(t, name, stub, b)
		if got := table(t, b); !slices.Equal(got[len(got)-len(want):], want) {
			t.Errorf("%s: the sections are\n%q, want at the end\n%q", name, got, want)
		}
	}
	in.Cmdline = "" // the profiles' lines then have no blank at the beginning
	if b, err = in.Marshal(); err != nil {
		t.Fatal(err)
	}
	if got := table(t, b)[7]; got != ".cmdline wyr.efi=clear" {
		t.Errorf("without a common line the second profile's is %q", got)
	}
}

func TestStubVersion(t *testing.T) {
	for version, want := range map[string]int{
		"257.9-1~deb13u1": 257, "252.39-1~deb12u2": 252, "258": 258, "v257": 0, "": 0,
		"99999999999999999999": 0x7fffffffffffffff, // more than there will be, and not less than 257
	} {
		if got := StubVersion(versioned(1024, version)); got != want {
			t.Errorf("StubVersion of %q = %d, want %d", version, got, want)
		}
	}
	cut := stub(1024)
	for name, b := range map[string][]byte{"nothing": nil, "text": []byte("systemd-stub 257"), "kernel": bzImage(),
		"cut": cut[:1024]} {
		if got := StubVersion(b); got != 0 {
			t.Errorf("StubVersion of %s = %d", name, got)
		}
	}
}

// EditCmdline sets the line of the first profile. Others keep what they add to it, or a line of their own.
func TestEditCmdlineProfiles(t *testing.T) {
	for name, c := range map[string]struct {
		common   string
		profiles []Profile
		want     []string // the lines afterwards
	}{
		"menu": {"quiet", menu, []string{"new", "new wyr.efi=clear", "new wyr.debug=shell", "new wyr.net.keep=no"}},
		"no common line": {"", menu, []string{"new", "new wyr.efi=clear", "new wyr.debug=shell",
			"new wyr.net.keep=no"}},
		"the first has its own line": {"quiet", []Profile{{"a", "", "one"}, {"b", "", "two"}, {"c", "", "one more"},
			{"d", "", "ones"}}, []string{"quiet", "new", "quiet two", "new more", "quiet ones"}},
	} {
		in := Image{Stub: stub(1024), Cmdline: c.common, Kernel: bzImage(), Profiles: c.profiles}
		b, err := in.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(b)
		edits, err := EditCmdline(b, "new")
		if err != nil || !bytes.Equal(b, before) {
			t.Errorf("%s: EditCmdline = %v, or it changed the image", name, err)
		}
		size := 0
		for _, e := range edits {
			size += len(e.Bytes)
		}
		if most := len(c.profiles) * (cmdlineRoom + 8); size > most {
			t.Errorf("%s: edits of %d bytes, want at most %d", name, size, most)
		}
		if err := SetCmdline(b, "new"); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range table(t, b) {
			if line, ok := strings.CutPrefix(s, ".cmdline "); ok {
				got = append(got, line)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: the lines are %q, want %q", name, got, c.want)
		}
		if k, err := kernel.Parse(bytes.NewReader(b), int64(len(b))); err != nil || k.Cmdline != "new" {
			t.Errorf("%s: kernel.Parse = %+v, %v", name, k, err)
		}
	}

	// A line that fits alone, and not with what a profile adds, changes nothing.
	b, err := (&Image{Stub: stub(1024), Cmdline: "quiet", Kernel: bzImage(), Profiles: menu}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(b)
	if err := SetCmdline(b, strings.Repeat("x", 2040)); err == nil || errors.Is(err, ErrSigned) ||
		!strings.Contains(err.Error(), "profile @1: a command line of 2054 bytes") || !bytes.Equal(b, before) {
		t.Errorf("SetCmdline of a line that is too long for a profile = %v", err)
	}
}
