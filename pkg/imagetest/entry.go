package imagetest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"path"
	"time"
)

// Epoch is the default modification time of an entry: 2020-09-13 12:26:40 UTC.
var Epoch = time.Unix(1600000000, 0)

// Entry is one member of a layer's tar archive. The functions below return entries with the owner root, the time Epoch
// and the usual permissions. The methods return a changed copy.
type Entry struct {
	Header  tar.Header
	Content []byte

	raw []byte // the bytes of the member, instead of Header and Content
}

func entry(kind byte, name string, mode int64) Entry {
	return Entry{Header: tar.Header{Typeflag: kind, Name: name, Mode: mode, ModTime: Epoch}}
}

// Dir returns a directory with mode 0755.
func Dir(name string) Entry { return entry(tar.TypeDir, name, 0o755) }

// File returns a regular file with mode 0644.
func File(name, content string) Entry {
	e := entry(tar.TypeReg, name, 0o644)
	e.Content = []byte(content)
	e.Header.Size = int64(len(content))
	return e
}

// Symlink returns a symbolic link.
func Symlink(name, target string) Entry {
	e := entry(tar.TypeSymlink, name, 0o777)
	e.Header.Linkname = target
	return e
}

// Link returns a hard link to target, a path from the root.
func Link(name, target string) Entry {
	e := entry(tar.TypeLink, name, 0o644)
	e.Header.Linkname = target
	return e
}

// Char returns a character device with mode 0600.
func Char(name string, major, minor int64) Entry {
	e := entry(tar.TypeChar, name, 0o600)
	e.Header.Devmajor, e.Header.Devminor = major, minor
	return e
}

// Block returns a block device with mode 0600.
func Block(name string, major, minor int64) Entry {
	e := entry(tar.TypeBlock, name, 0o600)
	e.Header.Devmajor, e.Header.Devminor = major, minor
	return e
}

// FIFO returns a named pipe with mode 0600.
func FIFO(name string) Entry { return entry(tar.TypeFifo, name, 0o600) }

// Whiteout returns an entry that deletes name from the layers below ("Whiteouts" in layer.md).
func Whiteout(name string) Entry {
	dir, base := path.Split(name)
	return entry(tar.TypeReg, dir+".wh."+base, 0o644)
}

// Opaque returns an entry that hides everything that the layers below have in dir ("Opaque Whiteout" in layer.md).
func Opaque(dir string) Entry { return entry(tar.TypeReg, path.Join(dir, ".wh..wh..opq"), 0o644) }

// Raw returns an entry of bytes that go into the archive unchanged.
func Raw(b []byte) Entry { return Entry{raw: b} }

// Mode sets the permissions including setuid, setgid and sticky, or any other value that the header's field can hold.
func (e Entry) Mode(mode int64) Entry { e.Header.Mode = mode; return e }

// Owner sets the numeric owner.
func (e Entry) Owner(uid, gid int) Entry { e.Header.Uid, e.Header.Gid = uid, gid; return e }

// At sets the modification time.
func (e Entry) At(t time.Time) Entry { e.Header.ModTime = t; return e }

// Format sets the tar format.
func (e Entry) Format(f tar.Format) Entry { e.Header.Format = f; return e }

// PAX adds a PAX record, such as "SCHILY.xattr.user.k".
func (e Entry) PAX(key, value string) Entry {
	m := map[string]string{key: value}
	for k, v := range e.Header.PAXRecords {
		m[k] = v
	}
	e.Header.PAXRecords = m
	return e
}

// Xattr adds an extended attribute, as a PAX record in the form of star.
func (e Entry) Xattr(name, value string) Entry { return e.PAX("SCHILY.xattr."+name, value) }

// bytes returns the blocks of the member.
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

// checksum writes the checksum into a header block: the sum of all bytes, with spaces in the checksum field.
func checksum(block []byte) {
	copy(block[148:156], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
}
