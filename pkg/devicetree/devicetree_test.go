package devicetree

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/dt"
)

// node is a node of a tree that a test writes down.
type node struct {
	name       string
	properties []Property
	nodes      []node
}

// tree is what a test writes down, as a loader would write it: with a space between any two blocks, and with NOPs.
type tree struct {
	version  uint32
	reserved []Reservation
	root     node
}

func (t tree) bytes() []byte {
	var nodes, names []byte
	var write func(n node)
	write = func(n node) {
		nodes = padded(append(be.AppendUint32(nodes, beginNode), n.name+"\x00"...))
		for _, p := range n.properties {
			nodes = be.AppendUint32(nodes, property)
			nodes = be.AppendUint32(nodes, uint32(len(p.Value)))
			nodes = be.AppendUint32(nodes, uint32(len(names)))
			nodes = padded(append(nodes, p.Value...))
			nodes = be.AppendUint32(nodes, nop)
			names = append(names, p.Name+"\x00"...)
		}
		for _, n := range n.nodes {
			write(n)
		}
		nodes = be.AppendUint32(nodes, endNode)
	}
	write(t.root)
	nodes = be.AppendUint32(nodes, end)
	var reserved []byte
	for _, r := range append(slices.Clone(t.reserved), Reservation{}) {
		reserved = be.AppendUint64(be.AppendUint64(reserved, r.Address), r.Size)
	}
	const reservedAt = 48
	nodesAt := reservedAt + len(reserved) + 8
	namesAt := nodesAt + len(nodes) + 8
	total := namesAt + len(names) + 100
	var b []byte
	for _, n := range []int{magic, total, nodesAt, namesAt, reservedAt, int(t.version), 16, 3, len(names), len(nodes)} {
		b = be.AppendUint32(b, uint32(n))
	}
	b = append(append(b, make([]byte, reservedAt-len(b))...), reserved...)
	b = append(append(b, make([]byte, 8)...), nodes...)
	b = append(append(b, make([]byte, 8)...), names...)
	return append(b, make([]byte, total-len(b))...)
}

func padded(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

// text lists a tree as u-root reads it.
func text(t *testing.T, b []byte) string {
	t.Helper()
	read, err := dt.ReadFDT(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "cpu %d\n", read.Header.BootCpuidPhys)
	for _, r := range read.ReserveEntries {
		fmt.Fprintf(&s, "reserved %x+%x\n", r.Address, r.Size)
	}
	var list func(path string, n *dt.Node)
	list = func(path string, n *dt.Node) {
		fmt.Fprintf(&s, "%s\n", path)
		for _, p := range n.Properties {
			fmt.Fprintf(&s, "%s:%s=%x\n", path, p.Name, p.Value)
		}
		for _, n := range n.Children {
			list(path+"/"+n.Name, n)
		}
	}
	list("", read.RootNode)
	return s.String()
}

// machine is a machine with what can be mistaken for /chosen.
func machine(chosen ...node) tree {
	return tree{17, []Reservation{{0x1000, 0x2000}, {0x80000000, 0x10}}, node{
		properties: []Property{{"compatible", []byte("a,machine\x00")}, {"model", nil}},
		nodes: append(append([]node{
			{"cpus", nil, []node{{"chosen", []Property{{"bootargs", []byte("of another\x00")}}, nil}}},
			{"chosenone", []Property{{"bootargs", []byte("of another\x00")}}, nil},
		}, chosen...), node{"soc", []Property{{"ranges", []byte{1, 2, 3, 4, 5}}}, []node{{"uart@1", nil, nil}}}),
	}}
}

func chosen(name string) node {
	return node{name, []Property{
		{"stdout-path", []byte("/soc/uart@1\x00")}, {"bootargs", []byte("old\x00")}, {"rng-seed", []byte{1, 2, 3}},
		{"bootargs", []byte("twice\x00")}, {"linux,initrd-start", []byte{0, 0, 0, 1}},
	}, []node{{"framebuffer", []Property{{"bootargs", []byte("of a child\x00")}}, nil}}}
}

// TestChange changes /chosen, which has a unit address or not or does not exist, and compares all else.
func TestChange(t *testing.T) {
	for _, version := range []uint32{16, 17, 18} {
		for _, name := range []string{"chosen", "chosen@0", ""} {
			var nodes []node
			if name != "" {
				nodes = []node{chosen(name), chosen("chosen@7")}
			}
			m := machine(nodes...)
			m.version = version
			before := m.bytes()
			read, err := Parse(append(before, "what lies behind"...))
			if err != nil {
				t.Fatal(err)
			}
			copied := *read
			defer func() {
				if again, err := copied.Bytes(); err != nil || text(t, again) != text(t, m17(m).bytes()) && name != "" {
					t.Errorf("version %d, %q: a copy has changed, %v", version, name, err)
				}
			}()
			old, ok := read.Get("bootargs")
			if string(old) != "old\x00" && name != "" || ok != (name != "") {
				t.Errorf("%q: bootargs are %q", name, old)
			}
			read.Drop("rng-seed", "bootargs", "no such property")
			read.Set("linux,initrd-start", be.AppendUint64(nil, 0x123456789))
			read.Set("bootargs", []byte("new line\x00"))
			read.Set("args", []byte("the end of another name"))
			read.Reserved = read.Reserved[1:]
			after, err := read.Bytes()
			if err != nil {
				t.Fatal(err)
			}

			want := text(t, m17(m).bytes())
			want = strings.Replace(want, "reserved 1000+2000\n", "", 1)
			set := ""
			path := "/" + name
			if name == "" {
				path = "/chosen"
				want += path + "\n"
			} else {
				a := strings.Index(want, path+":stdout-path")
				b := strings.Index(want, path+"/framebuffer\n")
				set = path + ":stdout-path=" + fmt.Sprintf("%x", "/soc/uart@1\x00") + "\n"
				want = want[:a] + want[b:]
			}
			set += path + ":linux,initrd-start=0000000123456789\n" + path + ":bootargs=" +
				fmt.Sprintf("%x", "new line\x00") + "\n" + path + ":args=" + fmt.Sprintf("%x", "the end of another name") + "\n"
			want = strings.Replace(want, "\n"+path+"\n", "\n"+path+"\n"+set, 1)
			if got := text(t, after); got != want {
				t.Errorf("version %d, %q:\n%s\nwant\n%s", version, name, got, want)
			}
			if n := be.Uint32(after[4:]); int(n) != len(after) {
				t.Errorf("%d bytes, and the header says %d", len(after), n)
			}
		}
	}
}

// m17 is a tree for u-root's reader, which takes the number of bytes of the structure block from any version.
func m17(t tree) tree { t.version = 17; return t }

// TestDamaged has trees that Parse must refuse.
func TestDamaged(t *testing.T) {
	good := machine(chosen("chosen")).bytes()
	nodesAt, namesAt := int(be.Uint32(good[8:])), int(be.Uint32(good[12:]))
	put := func(at int, n uint32) func([]byte) []byte {
		return func(b []byte) []byte { be.PutUint32(b[at:], n); return b }
	}
	for name, change := range map[string]func([]byte) []byte{
		"nothing":              func(b []byte) []byte { return nil },
		"short":                func(b []byte) []byte { return b[:len(b)-1] },
		"header only":          func(b []byte) []byte { be.PutUint32(b[4:], 39); return b },
		"no magic":             put(0, 0xd00dfeee),
		"too old":              put(20, 3),
		"too new":              put(24, 18),
		"nodes outside":        put(8, uint32(len(good)-8)),
		"nodes far outside":    put(8, 0xfffffff0),
		"too many nodes":       put(36, 0xffffffff),
		"too few nodes":        put(36, 16),
		"names outside":        put(12, uint32(len(good))),
		"too many names":       put(32, 0xffffffff),
		"too few names":        put(32, 5),
		"reserved outside":     put(16, uint32(len(good)-8)),
		"reserved far outside": put(16, 0xfffffffc),
		"reserved without end": func(b []byte) []byte {
			be.PutUint32(b[16:], uint32(len(b)-100))
			return append(b[:len(b)-100], bytes.Repeat([]byte{1}, 100)...)
		},
		"property first":      put(nodesAt, property),
		"end first":           put(nodesAt, end),
		"end of a node first": put(nodesAt, endNode),
		"unknown item":        put(nodesAt, 5),
		"long property":       put(nodesAt+12, 0xfffffff0),
		"name far outside":    put(nodesAt+16, 0xfffffff0),
		"name at the end":     put(nodesAt+16, uint32(be.Uint32(good[32:]))),
		"names without end":   func(b []byte) []byte { b[namesAt+int(be.Uint32(b[32:]))-1] = 'x'; return b },
		"no end": func(b []byte) []byte {
			put(nodesAt+int(be.Uint32(b[36:]))-4, nop)(b)
			return b
		},
		"end in a node": func(b []byte) []byte {
			put(nodesAt+int(be.Uint32(b[36:]))-8, nop)(b)
			return b
		},
		"two roots": func(b []byte) []byte { return twoRoots() },
	} {
		if _, err := Parse(change(bytes.Clone(good))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
}

// twoRoots is a tree with a second root.
func twoRoots() []byte {
	var nodes []byte
	for _, n := range []uint32{beginNode, 0, endNode, beginNode, 0, endNode, end} {
		nodes = be.AppendUint32(nodes, n)
	}
	var b []byte
	for _, n := range []int{magic, 56 + len(nodes), 56, 56 + len(nodes), 40, 17, 16, 0, 0, len(nodes)} {
		b = be.AppendUint32(b, uint32(n))
	}
	return append(append(b, make([]byte, 16)...), nodes...)
}

// TestTooLarge has a tree that the kernel would not accept.
func TestTooLarge(t *testing.T) {
	read, err := Parse(machine().bytes())
	if err != nil {
		t.Fatal(err)
	}
	read.Set("x", make([]byte, MaxSize-2000))
	if _, err := read.Bytes(); err != nil {
		t.Error(err)
	}
	read.Set("x", make([]byte, MaxSize))
	if _, err := read.Bytes(); err == nil {
		t.Error("no error")
	}
}

// FuzzParse checks that whatever Parse accepts can be written, and is read again as it was.
func FuzzParse(f *testing.F) {
	f.Add(machine(chosen("chosen")).bytes())
	f.Add(machine(chosen("chosen@0"), chosen("chosen")).bytes())
	f.Add(machine().bytes())
	f.Add(twoRoots())
	f.Fuzz(func(t *testing.T, b []byte) {
		read, err := Parse(b)
		if err != nil {
			return
		}
		read.Set("bootargs", []byte("quiet\x00"))
		out, err := read.Bytes()
		if err != nil {
			return
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("%v: written as\n%x", err, out)
		}
		if !slices.Equal(read.Reserved, again.Reserved) || !slices.EqualFunc(read.Chosen, again.Chosen, same) {
			t.Fatalf("%v became %v", read, again)
		}
		if !bytes.Equal(read.before, again.before) || !bytes.Equal(read.after, again.after) {
			t.Fatal("nodes have changed")
		}
		if !bytes.HasPrefix(again.strings, read.strings) {
			t.Fatal("names have changed")
		}
	})
}

func same(a, b Property) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) }
