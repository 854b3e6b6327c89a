package erofs

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// namespaces are the beginnings of attributes' names, by their numbers in an image. Access control lists have nothing
// behind theirs.
var namespaces = [...]string{1: "user.", 2: "system.posix_acl_access", 3: "system.posix_acl_default", 4: "trusted.",
	6: "security."}

// split returns the number of an attribute's namespace, and its name there; 0 if there is no such namespace.
func split(name string) (kind uint8, rest string) {
	for i, prefix := range namespaces {
		rest, ok := strings.CutPrefix(name, prefix)
		if prefix != "" && ok && (rest == "") != strings.HasSuffix(prefix, ".") {
			return uint8(i), rest
		}
	}
	return 0, ""
}

// held returns the names of the attributes of a file that an image can hold, and of those that it cannot.
func held(n *rootfs.Node) (names, lost []string) {
	for _, name := range slices.Sorted(maps.Keys(n.Xattrs)) {
		kind, _ := split(name)
		if kind == 0 || len(name) > maxXattrName || len(n.Xattrs[name]) > maxXattrValue || len(names) == maxXattrs {
			lost = append(lost, name)
		} else {
			names = append(names, name)
		}
	}
	return names, lost
}

// Lost returns the names of the attributes of a file that an image cannot hold.
func (p *Packer) Lost(n *rootfs.Node) []string {
	_, lost := held(n)
	return lost
}

// xattrs is the table of attributes. Files with the same attribute share it.
type xattrs struct {
	table []byte
	known map[[2]string]uint32 // where each is in the table, in words
}

// of returns what follows the inode of a file: struct erofs_xattr_ibody_header.
func (x *xattrs) of(n *rootfs.Node) []byte {
	names, _ := held(n)
	if len(names) == 0 {
		return nil
	}
	b := make([]byte, xattrHead, xattrHead+4*len(names))
	b[4] = byte(len(names))
	for _, name := range names {
		b = binary.LittleEndian.AppendUint32(b, x.add(name, n.Xattrs[name]))
	}
	return b
}

// add returns where an attribute is in the table: struct erofs_xattr_entry.
func (x *xattrs) add(name, value string) uint32 {
	key := [2]string{name, value}
	at, ok := x.known[key]
	if !ok {
		at = uint32(len(x.table) / 4)
		x.known[key] = at
		kind, rest := split(name)
		x.table = append(x.table, byte(len(rest)), kind)
		x.table = binary.LittleEndian.AppendUint16(x.table, uint16(len(value)))
		x.table = append(append(x.table, rest...), value...)
		for len(x.table)%4 != 0 {
			x.table = append(x.table, 0)
		}
	}
	return at
}
