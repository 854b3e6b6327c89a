// Package devicetree changes the node /chosen of a flattened device tree: the Devicetree Specification, chapter 5. All
// else in the tree stays as it is. A tree comes from firmware, so nothing in it is trusted.
//
// u-root's pkg/dt reads and writes such trees too. It believes the sizes in them and allocates up to 4 GiB; it finds a
// node called chosen anywhere in the tree; and it changes names of nodes that have bytes above 0x7f.
package devicetree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// MaxSize is the size of the largest tree that an arm64 kernel accepts: Documentation/arch/arm64/booting.rst.
const MaxSize = 2 << 20

// Property is a property of a node. Numbers are big-endian.
type Property struct {
	Name  string
	Value []byte
}

// Reservation is memory that the kernel must not use.
type Reservation struct{ Address, Size uint64 }

// Tree is a flattened device tree.
type Tree struct {
	Reserved []Reservation // the memory reservation block
	Chosen   []Property    // the properties of /chosen; nil if there is no such node

	cpu     uint32 // boot_cpuid_phys
	strings []byte // the strings block
	before  []byte // the structure block, up to the properties of /chosen
	after   []byte // and behind them
}

var be = binary.BigEndian

// Numbers of the structure block: section 5.4.1.
const (
	beginNode = 1
	endNode   = 2
	property  = 3
	nop       = 4
	end       = 9
)

const (
	magic   = 0xd00dfeed
	version = 17 // of what Bytes writes, and the newest that Parse knows
	oldest  = 16 // compatible with each other
	header  = 40 // bytes, of version 17
)

// Parse reads a tree. It keeps no part of b.
func Parse(b []byte) (*Tree, error) {
	if len(b) < header || be.Uint32(b) != magic {
		return nil, errors.New("no flattened device tree")
	}
	if v, compatible := be.Uint32(b[20:]), be.Uint32(b[24:]); v < oldest || compatible > version {
		return nil, fmt.Errorf("a device tree of version %d, which is not known", v)
	}
	total := be.Uint32(b[4:])
	if int64(total) > int64(len(b)) {
		return nil, fmt.Errorf("a device tree cut short: %d of %d bytes", len(b), total)
	}
	b = b[:total]
	if len(b) < header {
		return nil, errors.New("a damaged device tree: its header does not fit into it")
	}
	t := &Tree{cpu: be.Uint32(b[28:])}
	var err error
	if t.Reserved, err = reservations(b, be.Uint32(b[16:])); err != nil {
		return nil, err
	}
	names, ok := part(b, be.Uint32(b[12:]), be.Uint32(b[32:]))
	if !ok {
		return nil, errors.New("a damaged device tree: its names lie outside of it")
	}
	at, size := be.Uint32(b[8:]), be.Uint32(b[36:])
	if be.Uint32(b[20:]) == oldest { // this version does not tell the size
		size = total - min(at, total)
	}
	nodes, ok := part(b, at, size)
	if !ok {
		return nil, errors.New("a damaged device tree: its nodes lie outside of it")
	}
	t.strings = slices.Clone(names)
	if err := t.split(nodes); err != nil {
		return nil, fmt.Errorf("a damaged device tree: %w", err)
	}
	return t, nil
}

// part returns size bytes of b from at on.
func part(b []byte, at, size uint32) ([]byte, bool) {
	if uint64(at)+uint64(size) > uint64(len(b)) {
		return nil, false
	}
	return b[at : uint64(at)+uint64(size)], true
}

// reservations reads the memory reservation block: section 5.3.
func reservations(b []byte, at uint32) ([]Reservation, error) {
	var all []Reservation
	for ; uint64(at)+16 <= uint64(len(b)); at += 16 {
		r := Reservation{be.Uint64(b[at:]), be.Uint64(b[at+8:])}
		if r == (Reservation{}) {
			return all, nil
		}
		all = append(all, r)
	}
	return nil, errors.New("a damaged device tree: its list of reserved memory has no end")
}

// split cuts the structure block in two, where the properties of /chosen are.
func (t *Tree) split(nodes []byte) error {
	r := reader{nodes: nodes, strings: t.strings}
	var out []byte
	depth, roots, here := 0, 0, false // here: in /chosen itself
	for {
		i, err := r.next()
		if err != nil {
			return err
		}
		if depth == 0 && i.kind != beginNode && i.kind != end && i.kind != nop {
			return errors.New("something outside of its root")
		}
		switch i.kind {
		case nop:
			continue
		case property:
			if here {
				t.Chosen = append(t.Chosen, Property{i.name, slices.Clone(i.value)})
				continue
			}
		case beginNode:
			if depth++; depth == 1 {
				roots++
			}
			here = depth == 2 && t.Chosen == nil && isChosen(i.name)
			if here {
				t.Chosen = []Property{}
				out = append(out, i.raw...)
				t.before, out = out, nil
				continue
			}
		case endNode:
			depth--
			here = false
			if depth == 0 && t.Chosen == nil {
				// A node is added as the last one of the root.
				out = be.AppendUint32(out, beginNode)
				t.before, out = append(out, "chosen\x00\x00"...), be.AppendUint32(nil, endNode)
				t.Chosen = []Property{}
			}
		case end:
			if depth != 0 || roots != 1 {
				return errors.New("its nodes do not end as they begin")
			}
			t.after = append(out, i.raw...)
			return nil
		}
		out = append(out, i.raw...)
	}
}

// isChosen reports whether the kernel takes a node of the root for /chosen: fdt_path_offset of libfdt ignores the unit
// address of a node if the path has none.
func isChosen(name string) bool {
	return name == "chosen" || len(name) > 6 && name[:7] == "chosen@"
}

// item is one item of the structure block.
type item struct {
	kind  uint32
	name  string // of a node or a property
	value []byte
	raw   []byte // all of it
}

type reader struct{ nodes, strings []byte }

// next reads one item.
func (r *reader) next() (item, error) {
	if len(r.nodes) < 4 {
		return item{}, errors.New("it has no end")
	}
	i := item{kind: be.Uint32(r.nodes)}
	rest := r.nodes[4:]
	size := 0
	switch i.kind {
	case beginNode:
		n := bytes.IndexByte(rest, 0)
		if n < 0 {
			return i, errors.New("a node's name has no end")
		}
		i.name, size = string(rest[:n]), n+1
	case property:
		if len(rest) < 8 {
			return i, errors.New("it ends in a property")
		}
		n, at := be.Uint32(rest), be.Uint32(rest[4:])
		value, ok := part(rest, 8, n)
		if !ok {
			return i, errors.New("it ends in a property")
		}
		if uint64(at) > uint64(len(r.strings)) {
			return i, errors.New("a property's name lies outside of it")
		}
		name, _, ok := bytes.Cut(r.strings[at:], []byte{0})
		if !ok {
			return i, errors.New("a property's name has no end")
		}
		i.name, i.value, size = string(name), value, 8+int(n)
	case endNode, nop, end:
	default:
		return i, fmt.Errorf("something of an unknown kind, %#x", i.kind)
	}
	size = 4 + (size+3)&^3
	if size > len(r.nodes) {
		return i, errors.New("it ends in a node")
	}
	i.raw, r.nodes = r.nodes[:size], r.nodes[size:]
	return i, nil
}

// Get returns a property of /chosen.
func (t *Tree) Get(name string) ([]byte, bool) {
	for _, p := range t.Chosen {
		if p.Name == name {
			return p.Value, true
		}
	}
	return nil, false
}

// Drop removes properties of /chosen. A copy of t still has them.
func (t *Tree) Drop(names ...string) {
	t.Chosen = slices.DeleteFunc(slices.Clone(t.Chosen), func(p Property) bool { return slices.Contains(names, p.Name) })
}

// Set sets a property of /chosen.
func (t *Tree) Set(name string, value []byte) {
	t.Drop(name)
	t.Chosen = append(t.Chosen, Property{name, value})
}

// Bytes returns the tree in the form that Parse reads, without room for changes.
func (t *Tree) Bytes() ([]byte, error) {
	strings := slices.Clone(t.strings)
	nodes := slices.Clone(t.before)
	for _, p := range t.Chosen {
		name := append([]byte(p.Name), 0)
		at := bytes.Index(strings, name) // the end of a longer name does as well
		if at < 0 {
			at = len(strings)
			strings = append(strings, name...)
		}
		nodes = be.AppendUint32(nodes, property)
		nodes = be.AppendUint32(nodes, uint32(len(p.Value)))
		nodes = be.AppendUint32(nodes, uint32(at))
		nodes = append(nodes, p.Value...)
		nodes = append(nodes, make([]byte, -len(p.Value)&3)...)
	}
	nodes = append(nodes, t.after...)

	const reserved = header // a multiple of 8, as it has to be
	nodesAt := reserved + 16*(len(t.Reserved)+1)
	total := nodesAt + len(nodes) + len(strings)
	if total > MaxSize {
		return nil, fmt.Errorf("a device tree of %d bytes, and the kernel accepts no more than %d", total, MaxSize)
	}
	var b []byte
	for _, n := range []uint32{magic, uint32(total), uint32(nodesAt), uint32(nodesAt + len(nodes)), reserved,
		version, oldest, t.cpu, uint32(len(strings)), uint32(len(nodes))} {
		b = be.AppendUint32(b, n)
	}
	for _, r := range append(slices.Clone(t.Reserved), Reservation{}) {
		b = be.AppendUint64(b, r.Address)
		b = be.AppendUint64(b, r.Size)
	}
	return append(append(b, nodes...), strings...), nil
}
