package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// xattrs are the extended attributes of all files. Files with the same attributes share a list of them, and lists with
// the same long value share that.
type xattrs struct {
	lists  *table
	ids    *table
	count  uint32
	known  map[string]uint32 // lists, by their text
	values map[string]uint64 // where values are that a reference can take the place of
}

func newXattrs(c codec) *xattrs {
	return &xattrs{lists: newTable(c), ids: newTable(c), known: map[string]uint32{}, values: map[string]uint64{}}
}

// xattrType returns the number of an attribute's namespace, and its name there. The format has three namespaces.
func xattrType(name string) (kind uint16, rest string, err error) {
	for i, prefix := range []string{"user.", "trusted.", "security."} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			switch {
			case rest == "":
				return 0, "", errors.New("it has no name behind its namespace")
			case len(name) > maxXattrName:
				return 0, "", fmt.Errorf("its name has %d bytes; Linux takes %d", len(name), maxXattrName)
			}
			return uint16(i), rest, nil
		}
	}
	return 0, "", errors.New("SquashFS has only user, trusted and security attributes")
}

// canHold returns why an image cannot hold an attribute.
func canHold(name, value string) error {
	_, _, err := xattrType(name)
	if err == nil && len(value) > maxXattrValue {
		err = fmt.Errorf("its value has %d bytes; Linux takes %d", len(value), maxXattrValue)
	}
	return err
}

// id returns the number of a file's list of attributes, noXattr if it has none. lost is told which cannot be stored.
func (x *xattrs) id(set map[string]string, lost func(name string, why error)) uint32 {
	le := binary.LittleEndian
	var key []byte
	var kept []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		value := set[name]
		if err := canHold(name, value); err != nil {
			lost(name, err)
			continue
		}
		kept = append(kept, name)
		key = append(le.AppendUint16(key, uint16(len(name))), name...)
		key = append(le.AppendUint32(key, uint32(len(value))), value...)
	}
	if len(kept) == 0 {
		return noXattr
	}
	if id, ok := x.known[string(key)]; ok {
		return id
	}
	ref, size := x.lists.ref(), 0
	for _, name := range kept {
		size += x.add(name, set[name])
	}
	id := x.count
	x.known[string(key)] = id
	x.count++
	entry := le.AppendUint64(nil, ref)
	entry = le.AppendUint32(entry, uint32(len(kept)))
	x.ids.add(le.AppendUint32(entry, uint32(size)))
	return id
}

// add adds an attribute to the list that is being written, and returns how many bytes it takes.
func (x *xattrs) add(name, value string) int {
	const refSize = 8
	le := binary.LittleEndian
	kind, rest, _ := xattrType(name) // it was checked
	at, shared := x.values[value]
	if shared {
		kind |= outOfLine
	}
	b := le.AppendUint16(nil, kind)
	b = le.AppendUint16(b, uint16(len(rest)))
	x.lists.add(append(b, rest...))
	n := len(b) + len(rest)
	if shared {
		x.lists.add(le.AppendUint64(le.AppendUint32(b[:0], refSize), at))
		return n + 4 + refSize
	}
	if len(value) > refSize {
		x.values[value] = x.lists.ref()
	}
	x.lists.add(append(le.AppendUint32(b[:0], uint32(len(value))), value...))
	return n + 4 + len(value)
}
