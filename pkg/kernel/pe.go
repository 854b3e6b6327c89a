package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A section is a section of a PE file. This package does not use debug/pe, which reads symbols and relocations too.
// Many sections can share the same ones, so that debug/pe needs 40 GB of memory for a file of 3 MB.
type section struct {
	name      string
	off, size int64 // in the file
	virtual   int64 // its size in memory
}

// sections reads the section table of a PE file (Microsoft's "PE Format": MS-DOS stub, signature, COFF header, optional
// header, section table).
func sections(r io.ReaderAt) ([]section, error) {
	var dos [0x40]byte
	if _, err := r.ReadAt(dos[:], 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	at := int64(le.Uint32(dos[0x3c:]))
	var coff [24]byte // signature and COFF header
	if _, err := r.ReadAt(coff[:], at); err != nil {
		return nil, err
	}
	if !has(coff[:], 0, "PE\x00\x00") {
		return nil, errors.New("it has no PE header")
	}
	const entry = 40
	table := make([]byte, entry*int(le.Uint16(coff[6:])))
	if _, err := r.ReadAt(table, at+int64(len(coff))+int64(le.Uint16(coff[20:]))); err != nil {
		return nil, err
	}
	var list []section
	for ; len(table) > 0; table = table[entry:] {
		name, _, _ := bytes.Cut(table[:8], []byte{0})
		list = append(list, section{
			name:    string(name),
			virtual: int64(le.Uint32(table[8:])),
			size:    int64(le.Uint32(table[16:])),
			off:     int64(le.Uint32(table[20:])),
		})
	}
	return list, nil
}

// content returns the content of a section. Its size in the file is rounded up; the virtual size is the exact one.
func (s *section) content(r io.ReaderAt) *io.SectionReader {
	n := s.size
	if s.virtual != 0 {
		n = min(n, s.virtual)
	}
	return io.NewSectionReader(r, s.off, n)
}

// checkInside returns an error if a section does not lie inside the file.
func checkInside(list []section, size int64) error {
	for _, s := range list {
		if end := s.off + s.size; end > size {
			return fmt.Errorf("a kernel cut short: %d of at least %d bytes", size, end)
		}
	}
	return nil
}

func find(list []section, name string) *section {
	for i := range list {
		if list[i].name == name {
			return &list[i]
		}
	}
	return nil
}

// chosen returns the section of a unified kernel image that counts if nobody chooses one of its profiles: that of the
// first profile, or else the one that all profiles share, which stands before the first .profile (UAPI.5).
func chosen(list []section, name string) *section {
	shared, profiles := cutProfile(list)
	first, _ := cutProfile(profiles)
	if s := find(first, name); s != nil {
		return s
	}
	return find(shared, name)
}

// cutProfile returns the sections before and behind the first .profile.
func cutProfile(list []section) (before, behind []section) {
	for i, s := range list {
		if s.name == ".profile" {
			return list[:i], list[i+1:]
		}
	}
	return list, nil
}

// parseUKI extracts the kernel (section .linux) and the command line (.cmdline) of a unified kernel image. Of several
// profiles it takes the first one.
func parseUKI(r io.ReaderAt, size int64) (_ *Kernel, err error) {
	list, err := sections(r)
	if err != nil {
		return nil, fmt.Errorf("not a Linux kernel: an EFI program that cannot be read: %v", err)
	}
	linux := chosen(list, ".linux")
	if linux == nil {
		return nil, errors.New("an EFI program without a Linux kernel inside")
	}
	if err := checkInside(list, size); err != nil {
		return nil, err
	}
	content := linux.content(r)
	inner, err := parse(content, content.Size(), true)
	if err != nil {
		return nil, fmt.Errorf("a unified kernel image whose kernel is %w", err)
	}
	defer func() {
		if err != nil && inner.Image != nil {
			inner.Image.Close()
		}
	}()
	if s := chosen(list, ".cmdline"); s != nil {
		if s.size > 64<<10 {
			return nil, errors.New("a unified kernel image with a command line of more than 64 KiB")
		}
		b, err := io.ReadAll(s.content(r))
		if err != nil {
			return nil, err
		}
		inner.Cmdline = strings.Join(strings.Fields(strings.TrimRight(string(b), "\x00")), " ")
	}
	if inner.Image == nil {
		if inner.Image, err = keep("unified kernel image", content); err != nil {
			return nil, err
		}
	}
	inner.Format = "unified kernel image (" + inner.Format + ")"
	return inner, nil
}
