// Package handover is what a bundle leaves in its initramfs for wyrinit, the booted container's first process: what newc
// archives cannot carry. It is a leaf package, for wyrinit has to stay small.
package handover

import (
	"encoding/binary"
	"errors"
	"io"
)

// The paths inside the booted root. The kernel starts Init, which is wyrinit; everything below Dir is gone before the
// container's own /init runs.
const (
	Init         = "/init"           // wyrinit, in the place of the image's own
	Dir          = "/.wyrcan"        // a directory of its own; an image that has this path gets no wyrinit
	OriginalInit = Dir + "/init"     // the image's /init, whatever it is
	List         = Dir + "/list"     // an encoded Manifest
	NewRoot      = Dir + "/newroot"  // an empty directory: where / is bound before it is moved over /
	Complete     = Dir + "/complete" // the archive's last file: where it is missing, the kernel ran out of room
)

// Xattr is one extended attribute of one file.
type Xattr struct {
	Path  string // absolute
	Name  string // with its namespace: "security.capability"
	Value string // raw bytes
}

// Manifest is what wyrinit has to restore.
type Manifest struct {
	RootMTime int64 // seconds; the removal of Dir would otherwise show in the mtime of /
	Xattrs    []Xattr
}

// magic tells a manifest, and its version, from anything else.
const magic = "wyrcan1\n"

var errBad = errors.New("not a list that a Wyrcan bundle wrote")

// Write encodes m: the magic, then RootMTime, the number of attributes and each attribute's three strings, all numbers as
// varints, all strings with their length before them.
func (m Manifest) Write(w io.Writer) error {
	b := binary.AppendVarint([]byte(magic), m.RootMTime)
	b = binary.AppendUvarint(b, uint64(len(m.Xattrs)))
	for _, x := range m.Xattrs {
		for _, s := range []string{x.Path, x.Name, x.Value} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	_, err := w.Write(b)
	return err
}

// Parse decodes what Write wrote, and refuses everything else.
func Parse(b []byte) (Manifest, error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return Manifest{}, errBad
	}
	b = b[len(magic):]
	mtime, n := binary.Varint(b)
	if n <= 0 {
		return Manifest{}, errBad
	}
	b = b[n:]
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) { // each attribute takes at least three bytes
		return Manifest{}, errBad
	}
	b = b[n:]
	m := Manifest{RootMTime: mtime}
	for range count {
		var x Xattr
		for _, s := range []*string{&x.Path, &x.Name, &x.Value} {
			l, n := binary.Uvarint(b)
			if n <= 0 || l > uint64(len(b)-n) {
				return Manifest{}, errBad
			}
			*s, b = string(b[n:n+int(l)]), b[n+int(l):]
		}
		m.Xattrs = append(m.Xattrs, x)
	}
	if len(b) != 0 {
		return Manifest{}, errBad
	}
	return m, nil
}
