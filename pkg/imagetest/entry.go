package imagetest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"path"
	"time"
)

// Epoch is the modification time of every entry that names no other: 2020-09-13 12:26:40 UTC.
var Epoch = time.Unix(1600000000, 0)

// Entry is one member of a layer's tar archive. The constructors below give it root as owner, Epoch as its time and
// the usual permissions; the methods return a changed copy.
type Entry struct {
	Header  tar.Header
	Content []byte

	raw []byte // the member as it is, instead of Header and Content
}

func entry(kind byte, name string, mode int64) Entry {
	return Entry{Header: tar.Header{Typeflag: kind, Name: name, Mode: mode, ModTime: Epoch}}
}

// Dir is a directory of mode 0755.
func Dir(name string) Entry { return entry(tar.TypeDir, name, 0o755) }

// File is a regular file of mode 0644.
func File(name, content string) Entry {
	e := entry(tar.TypeReg, name, 0o644)
	e.Content = []byte(content)
	e.Header.Size = int64(len(content))
	return e
}

// Symlink is a symbolic link.
func Symlink(name, target string) Entry {
	e := entry(tar.TypeSymlink, name, 0o777)
	e.Header.Linkname = target
	return e
}

// Link is a hard link to target, a path from the root.
func Link(name, target string) Entry {
	e := entry(tar.TypeLink, name, 0o644)
	e.Header.Linkname = target
	return e
}

// Char is a character device of mode 0600.
func Char(name string, major, minor int64) Entry {
	e := entry(tar.TypeChar, name, 0o600)
	e.Header.Devmajor, e.Header.Devminor = major, minor
	return e
}

// Block is a block device of mode 0600.
func Block(name string, major, minor int64) Entry {
	e := entry(tar.TypeBlock, name, 0o600)
	e.Header.Devmajor, e.Header.Devminor = major, minor
	return e
}

// FIFO is a named pipe of mode 0600.
func FIFO(name string) Entry { return entry(tar.TypeFifo, name, 0o600) }

// Whiteout deletes name of the layers below ("Whiteouts" in layer.md).
func Whiteout(name string) Entry {
	dir, base := path.Split(name)
	return entry(tar.TypeReg, dir+".wh."+base, 0o644)
}

// Opaque hides what layers below have in dir ("Opaque Whiteout" in layer.md).
func Opaque(dir string) Entry { return entry(tar.TypeReg, path.Join(dir, ".wh..wh..opq"), 0o644) }

// Raw is bytes that go into the archive as they are.
func Raw(b []byte) Entry { return Entry{raw: b} }

// Mode sets the permissions with setuid, setgid and sticky, or any other value that the header's field can hold.
func (e Entry) Mode(mode int64) Entry { e.Header.Mode = mode; return e }

// Owner sets the numeric owner.
func (e Entry) Owner(uid, gid int) Entry { e.Header.Uid, e.Header.Gid = uid, gid; return e }

// At sets the modification time.
func (e Entry) At(t time.Time) Entry { e.Header.ModTime = t; return e }

// Format asks for a tar dialect.
func (e Entry) Format(f tar.Format) Entry { e.Header.Format = f; return e }

// PAX adds a PAX record, "SCHILY.xattr.user.k" for instance.
func (e Entry) PAX(key, value string) Entry {
	m := map[string]string{key: value}
	for k, v := range e.Header.PAXRecords {
		m[k] = v
	}
	e.Header.PAXRecords = m
	return e
}

// Xattr adds an extended attribute, as a PAX record of star's form.
func (e Entry) Xattr(name, value string) Entry { return e.PAX("SCHILY.xattr."+name, value) }

// bytes returns the member's blocks.
func (e Entry) bytes() ([]byte, error) {
	if e.raw != nil {
		return e.raw, nil
	}
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	if err := tw.WriteHeader(&e.Header); err != nil {
		return nil, fmt.Errorf("entry %q: %w", e.Header.Name, err)
	}
	if _, err := tw.Write(e.Content); err != nil {
		return nil, fmt.Errorf("entry %q: %w", e.Header.Name, err)
	}
	if err := tw.Flush(); err != nil {
		return nil, fmt.Errorf("entry %q: %w", e.Header.Name, err)
	}
	return buf.Bytes(), nil
}

// checksum writes a header block's checksum: the sum of its bytes with the field itself taken as spaces.
func checksum(block []byte) {
	copy(block[148:156], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
}
