// Package handover defines what a bundle puts into its initramfs for wyrinit, the booted container's first process: the
// properties of files that newc archives cannot hold, and where the record of the boot is. It is a leaf package,
// because wyrinit must stay small.
package handover

import (
	"encoding/binary"
	"errors"
	"io"
)

// The paths inside the booted root. The kernel starts Init, which is wyrinit. wyrinit removes Dir before the
// container's own /init runs.
const (
	Init         = "/init"           // wyrinit, in the place of the image's own
	Dir          = "/.wyrcan"        // a directory of its own; an image that has this path gets no wyrinit
	OriginalInit = Dir + "/init"     // the image's /init, whatever it is
	List         = Dir + "/list"     // an encoded Manifest
	Parts        = Dir + "/part-"    // begins the names of large files' parts: part-1-1 is the first of the first file
	NewRoot      = Dir + "/newroot"  // an empty directory: where / is bound before it is moved over /
	Complete     = Dir + "/complete" // the last file of the image: if it is missing, the kernel ran out of room
	Record       = Dir + "/record"   // the record of this boot: see package record; it comes after Complete

	Image   = Dir + "/root.image" // the file system that the root is made of, if the archive is not the root itself
	Modules = Dir + "/module-"    // begins the names of kernel modules: module-1 is loaded first
)

// BootRecord is where wyrinit leaves the record in the booted system.
const BootRecord = "/run/wyrcan/boot.json"

// Xattr is one extended attribute of one file.
type Xattr struct {
	Path  string // absolute
	Name  string // with its namespace: "security.capability"
	Value string // raw bytes
}

// Join is a file that is too large for an initramfs, and so comes in parts.
type Join struct {
	Path  string // absolute; the file has the first part
	Parts string // the beginning of the other parts' paths; a number follows, from 1 on
	Size  int64  // of the whole, in bytes
	MTime int64  // seconds
}

// Manifest is what wyrinit restores.
type Manifest struct {
	RootMTime int64 // of /, in seconds; removing Dir changes it
	Joins     []Join
	Xattrs    []Xattr
	Init      string // the program to start, an absolute path; "" for the image's /init

	// Image says where the root is, if the archive is not the root itself: an image of a file system of that Kind, by its
	// name for mount(2), over which a tmpfs lies for what is written. The kernel needs so many Modules for that. Xattrs
	// then has what such an image cannot hold.
	Image   Place
	Kind    string
	Modules int64
}

// Place is where a file system image is.
type Place int64

// The places of an image.
const (
	Nowhere  Place = iota // there is none
	InFile                // in the file Image
	InMemory              // beside the archive: see package pram
	places
)

// magic begins a manifest, and tells its version.
const magic = "wyrcan4\n"

var errBad = errors.New("not a list that a Wyrcan bundle wrote")

// Write encodes m: the magic, RootMTime, the number of joins and the fields of each, then the same for the attributes,
// Init, Kind, Image and Modules. Numbers are varints; a string follows its length.
func (m Manifest) Write(w io.Writer) error {
	b := binary.AppendVarint([]byte(magic), m.RootMTime)
	b = binary.AppendUvarint(b, uint64(len(m.Joins)))
	for _, j := range m.Joins {
		b = appendText(b, j.Path, j.Parts)
		b = binary.AppendVarint(binary.AppendVarint(b, j.Size), j.MTime)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Xattrs)))
	for _, x := range m.Xattrs {
		b = appendText(b, x.Path, x.Name, x.Value)
	}
	b = appendText(b, m.Init, m.Kind)
	b = binary.AppendVarint(binary.AppendVarint(b, int64(m.Image)), m.Modules)
	_, err := w.Write(b)
	return err
}

func appendText(b []byte, texts ...string) []byte {
	for _, s := range texts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// Parse decodes what Write has written, and refuses everything else.
func Parse(b []byte) (Manifest, error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return Manifest{}, errBad
	}
	d := decoder{b: b[len(magic):]}
	m := Manifest{RootMTime: d.number()}
	for n := d.count(); n > 0 && !d.bad; n-- {
		m.Joins = append(m.Joins, Join{Path: d.text(), Parts: d.text(), Size: d.number(), MTime: d.number()})
	}
	for n := d.count(); n > 0 && !d.bad; n-- {
		m.Xattrs = append(m.Xattrs, Xattr{Path: d.text(), Name: d.text(), Value: d.text()})
	}
	m.Init, m.Kind = d.text(), d.text()
	m.Image, m.Modules = Place(d.number()), d.number()
	d.bad = d.bad || m.Image < 0 || m.Image >= places || m.Modules < 0
	if d.bad || len(d.b) != 0 {
		return Manifest{}, errBad
	}
	return m, nil
}

// decoder decodes a list. After the first mistake it is empty and bad.
type decoder struct {
	b   []byte
	bad bool
}

// skip removes n bytes and returns them. Package binary returns n < 1 for an invalid number.
func (d *decoder) skip(n int) []byte {
	if n <= 0 || n > len(d.b) {
		d.b, d.bad = nil, true
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) number() int64 {
	v, n := binary.Varint(d.b)
	d.skip(n)
	return v
}

// count decodes the number of the things that follow. Each of them has at least one byte.
func (d *decoder) count() uint64 {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	if v > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return 0
	}
	return v
}

func (d *decoder) text() string {
	n := d.count()
	if n == 0 {
		return ""
	}
	return string(d.skip(int(n)))
}
