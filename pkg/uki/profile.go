package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Profile is one of several ways to start the kernel of an image (UAPI.5, "Multi-Profile UKIs"). Boot loaders show a
// menu entry for each. The stub gets the number of the chosen one as the load option @N. The first profile, @0, is
// what is started if nobody chooses.
type Profile struct {
	ID    string // a word of small letters, digits and dashes
	Title string // for the menu, which shows it behind the name in Image.Release
	Args  string // arguments that this profile adds to Image.Cmdline
}

// ErrProfiles is the error of Marshal if the image has profiles and the stub cannot have any.
var ErrProfiles = fmt.Errorf("profiles need a systemd-stub of version %d or newer", profilesSince)

// profilesSince is the first version of systemd whose stub knows profiles. Older ones do not stop at .profile: until
// 255 they use the last .cmdline of the file, which belongs to the last profile (locate_sections in src/boot/efi/pe.c).
const profilesSince = 257

// StubVersion returns the version of a systemd-stub, 257 for "257.9-1~deb13u1". It returns 0 for another EFI program.
func StubVersion(stub []byte) int {
	f, _, err := open(stub)
	if err != nil {
		return 0
	}
	s := f.Section(".sdmagic") // the stub's name and version, for boot loaders (src/boot/efi/stub.c)
	if s == nil {
		return 0
	}
	magic := make([]byte, min(s.Size, 256))
	n, _ := s.ReadAt(magic, 0) // a section that is cut short has no version
	_, version, found := bytes.Cut(magic[:n], []byte("LoaderInfo: systemd-stub "))
	if !found {
		return 0
	}
	digits := version[:len(version)-len(bytes.TrimLeft(version, "0123456789"))]
	number, _ := strconv.Atoi(string(digits)) // 0 without digits
	return number
}

// profiles returns the sections of all profiles, as they follow the sections that all profiles share.
func (i *Image) profiles() ([]section, error) {
	if len(i.Profiles) > 0 && StubVersion(i.Stub) < profilesSince {
		return nil, ErrProfiles
	}
	var all []section
	for _, p := range i.Profiles {
		text, err := p.text()
		if err != nil {
			return nil, err
		}
		all = append(all, section{name: ".profile", content: []byte(text)})
		if p.Args == "" {
			continue // its command line is the one that all share
		}
		line := join(i.Cmdline, p.Args)
		if err := CheckCmdline(line); err != nil {
			return nil, fmt.Errorf("profile %s: %w", p.ID, err)
		}
		all = append(all, section{name: ".cmdline", content: []byte(line), room: cmdlineRoom})
	}
	return all, nil
}

// text returns the content of the section .profile, which has the form of os-release(5).
func (p Profile) text() (string, error) {
	if p.ID == "" || strings.Trim(p.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", fmt.Errorf("%q cannot be the ID of a profile: it may have small letters, digits and dashes", p.ID)
	}
	for _, c := range []byte(p.Title) {
		if c < ' ' || c > '~' || strings.IndexByte("\"\\$`", c) >= 0 { // os-release(5) would need a \ before these
			return "", fmt.Errorf("profile %s: the title has %q in it", p.ID, c)
		}
	}
	return fmt.Sprintf("ID=%s\nTITLE=\"%s\"\n", p.ID, p.Title), nil
}

// join returns two parts of a command line as one.
func join(a, b string) string { return strings.TrimSpace(a + " " + strings.TrimSpace(b)) }

// An Edit is a change of some bytes of a file.
type Edit struct {
	Offset int64
	Bytes  []byte
}

// EditCmdline returns the edits that give a unified kernel image of Marshal another command line. They are small, so
// that one image in memory can be given to many machines, each with its own line. The line takes the place of the one
// that is used if nobody chooses a profile. A profile that only adds arguments to that keeps them behind the new line;
// a profile with a line of its own keeps it. A signed image is not changed: the error is ErrSigned.
func EditCmdline(image []byte, cmdline string) ([]Edit, error) {
	f, o, err := open(image)
	if err != nil {
		return nil, fmt.Errorf("cannot read the unified kernel image: %w", err)
	}
	if err := CheckCmdline(cmdline); err != nil {
		return nil, err
	}
	if o.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY].Size != 0 {
		return nil, ErrSigned
	}
	lines, err := cmdlines(image, f)
	if err != nil {
		return nil, err
	}
	first := defaultLine(lines)
	if first < 0 {
		return nil, errors.New("the unified kernel image has no command line to replace")
	}
	var edits []Edit
	for i, l := range lines {
		text := cmdline
		if i != first {
			more, added := strings.CutPrefix(l.text, lines[first].text)
			if !added || more != "" && lines[first].text != "" && more[0] != ' ' {
				continue
			}
			text = join(cmdline, more)
		}
		if text == l.text {
			continue
		}
		e, err := l.edits(text)
		if err != nil {
			return nil, err
		}
		edits = append(edits, e...)
	}
	return edits, nil
}

// A cmdlineSection is one of the command lines in an image.
type cmdlineSection struct {
	text    string
	profile int   // which profile has it: -1 for the part that all share
	header  int64 // the offset of its section header
	offset  int64 // the offset of its content
	room    int   // how many bytes the content can have
}

// cmdlines returns the command lines of an image, the first one of each profile. The stub uses no second one.
func cmdlines(image []byte, f *pe.File) ([]cmdlineSection, error) {
	le := binary.LittleEndian
	at := int64(le.Uint32(image[0x3c:]))
	header := at + offOptional + int64(le.Uint16(image[at+offOptionalSize:]))
	profile, seen := -1, false
	var all []cmdlineSection
	for _, s := range f.Sections {
		switch {
		case s.Name == ".profile":
			profile, seen = profile+1, false
		case s.Name == ".cmdline" && !seen:
			switch {
			case int64(s.Offset)+int64(s.Size) > int64(len(image)):
				return nil, errors.New("the unified kernel image is cut short")
			case !apart(f, s):
				return nil, errors.New("the sections of the unified kernel image overlap")
			}
			content := image[s.Offset : s.Offset+min(s.Size, s.VirtualSize)]
			all = append(all, cmdlineSection{string(bytes.TrimRight(content, "\x00")), profile, header, int64(s.Offset),
				int(s.Size)})
			seen = true
		}
		header += sectionHeader
	}
	return all, nil
}

// apart reports whether no other section, and no header, has bytes of s in the file.
func apart(f *pe.File, s *pe.Section) bool {
	start, end := uint64(s.Offset), uint64(s.Offset)+uint64(s.Size)
	if o, ok := f.OptionalHeader.(*pe.OptionalHeader64); ok && start < uint64(o.SizeOfHeaders) {
		return false
	}
	return !slices.ContainsFunc(f.Sections, func(other *pe.Section) bool {
		return other != s && uint64(other.Offset) < end && uint64(other.Offset)+uint64(other.Size) > start
	})
}

// defaultLine returns the index of the line that is used if nobody chooses a profile: the first profile's own, or else
// the one that all share. It is -1 if there is none.
func defaultLine(lines []cmdlineSection) int {
	shared := -1
	for i, l := range lines {
		switch l.profile {
		case -1:
			shared = i
		case 0:
			return i
		}
	}
	return shared
}

// edits returns the edits that make text of the line.
func (l cmdlineSection) edits(text string) ([]Edit, error) {
	if err := CheckCmdline(text); err != nil {
		return nil, fmt.Errorf("profile @%d: %w", max(l.profile, 0), err)
	}
	if len(text) > l.room {
		return nil, fmt.Errorf("the unified kernel image has room for a command line of %d bytes, not %d", l.room,
			len(text))
	}
	content := make([]byte, l.room)
	copy(content, text)
	return []Edit{
		{l.header + 8, binary.LittleEndian.AppendUint32(nil, uint32(len(text)))}, // VirtualSize
		{l.offset, content},
	}, nil
}
