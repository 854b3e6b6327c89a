package handover

import (
	"bytes"
	"reflect"
	"testing"
)

func encode(t testing.TB, m Manifest) []byte {
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParse(t *testing.T) {
	for _, m := range []Manifest{
		{},
		{RootMTime: -5},
		{Init: "/sbin/init"},
		{Image: InFile},
		{Init: "/sbin/init", Image: InMemory, Kind: "squashfs", Modules: 3},
		{Joins: []Join{{"/srv/model", Parts + "1-", 5 << 30, -1}, {"/b", Parts + "2-", 1 << 50, 1}}},
		{RootMTime: 1 << 33, Xattrs: []Xattr{
			{"/bin/ping", "security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00"},
			{"/with space\nand newline", "user.empty", ""},
		}},
	} {
		got, err := Parse(encode(t, m))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("Parse(Write(%v)) = %v, %v", m, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := encode(t, Manifest{Joins: []Join{{"/d", Parts, 5 << 30, 300}}, Xattrs: []Xattr{{"/a", "user.b", "c"}}})
	for name, b := range map[string][]byte{
		"empty":           nil,
		"other magic":     []byte("wyrcan1\n\x00\x00\x00"),
		"trailing":        append(bytes.Clone(good), 0),
		"init and more":   append(encode(t, Manifest{Init: "/a"}), 1, 'b'),
		"modules below 0": append([]byte(magic), 0, 0, 0, 0, 0, 2, 1),
		"place below 0":   append([]byte(magic), 0, 0, 0, 0, 0, 1, 2),
		"no such place":   append([]byte(magic), 0, 0, 0, 0, 0, 6, 2),
		"count too large": append([]byte(magic), 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
		"length too large": append([]byte(magic), 0, 0, 1,
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
	} {
		if m, err := Parse(b); err == nil {
			t.Errorf("%s: Parse(%q) = %v, want an error", name, b, m)
		}
	}
	for i := range good {
		if m, err := Parse(good[:i]); err == nil {
			t.Errorf("Parse(first %d bytes) = %v, want an error", i, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(encode(f, Manifest{
		RootMTime: 1,
		Joins:     []Join{{"/d", Parts, 5 << 30, 3}},
		Xattrs:    []Xattr{{"/a", "user.b", "c"}},
		Init:      "/sbin/init",
		Image:     InFile,
		Kind:      "squashfs",
		Modules:   3,
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(encode(t, m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("Parse(Write(%v)) = %v, %v", m, again, err)
		}
	})
}
