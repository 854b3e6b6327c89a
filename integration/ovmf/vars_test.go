package ovmf

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const guid = "6987e713-a5ff-4ec2-ad55-c1fca471ed2d"

// empty returns a firmware volume with an empty store of this size.
func empty(t testing.TB, size int) []byte {
	const header = 72
	b := bytes.Repeat([]byte{0xff}, header+size+100)
	copy(b[40:], "_FVH")
	binary.LittleEndian.PutUint16(b[48:], header)
	g, err := guidBytes(authenticated)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[header:], g)
	binary.LittleEndian.PutUint32(b[header+16:], uint32(size))
	b[header+20], b[header+21] = 0x5a, 0xfe
	return b
}

// stores returns an empty store and those of the firmware that is installed on this machine.
func stores(t *testing.T) map[string][]byte {
	all := map[string][]byte{"made here": empty(t, 8192)}
	for _, pattern := range []string{"/usr/share/OVMF/OVMF_VARS*.fd", "/usr/share/AAVMF/AAVMF_VARS.*.fd"} {
		installed, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range installed {
			if all[name], err = os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

func TestStore(t *testing.T) {
	for name, b := range stores(t) {
		s, err := parse(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		before := s.List()
		first := Variable{"Wyrcan", guid, 7, []byte(`{"image":"x"}`)}
		second := Variable{"Größe", "8be4df61-93ca-11d2-aa0d-00e098032b8c", 6, nil}
		third := Variable{"Wyrcan", guid, 7, bytes.Repeat([]byte("y"), 999)}
		for _, v := range []Variable{first, second, third} {
			if err := s.Add(v); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		file := filepath.Join(t.TempDir(), "vars.fd")
		if err := s.WriteFile(file); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(file); err != nil {
			t.Fatal(err)
		}
		second.Data = []byte{}
		if diff := cmp.Diff(append(before, second, third), s.List()); diff != "" {
			t.Errorf("%s: the variables differ (-want +got):\n%s", name, diff)
		}
		if v, ok := s.Lookup("Wyrcan", strings.ToUpper(guid)); !ok || len(v.Data) != 999 {
			t.Errorf("%s: Lookup = %v, %v", name, v, ok)
		}
		if !s.Delete("Wyrcan", guid) || s.Delete("Wyrcan", guid) {
			t.Errorf("%s: Delete returns a wrong result", name)
		}
		if _, ok := s.Lookup("Wyrcan", guid); ok {
			t.Errorf("%s: a deleted variable is still there", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	s, err := parse(empty(t, 200))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(Variable{Name: "x", GUID: guid, Data: make([]byte, 200)}); err == nil ||
		!strings.Contains(err.Error(), "172 are free") {
		t.Errorf("Add of too much: %v", err)
	}
	if err := s.Add(Variable{Name: "x", GUID: "1-2"}); err == nil {
		t.Error("Add with a wrong GUID succeeded")
	}
	bad := empty(t, 200)
	binary.LittleEndian.PutUint32(bad[72+16:], 1<<30)
	over := empty(t, 200)
	copy(over[72+28:], "\xaa\x55\x3f")
	for name, b := range map[string][]byte{"nothing": nil, "text": []byte(strings.Repeat("x", 99)),
		"store over the end": bad, "variable over the end": over} {
		if _, err := parse(b); err == nil {
			t.Errorf("%s: parse succeeded", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(empty(f, 200))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parse(b)
		if err != nil {
			return
		}
		s.List()
		if err := s.Add(Variable{Name: "x", GUID: guid}); err == nil && !s.Delete("x", guid) {
			t.Error("the added variable is missing")
		}
	})
}
