// Package ovmf reads and writes the file with the variable store of OVMF, the UEFI firmware for QEMU, and of AAVMF,
// the one for arm64. With it a test can prepare a machine's NVRAM and examine it afterwards. The format is that of
// EDK II: a firmware volume (UEFI PI 1.8, volume 3, 3.2.1) with authenticated variables
// (MdeModulePkg/Include/Guid/VariableFormat.h). The package does not reclaim the space of deleted variables. It must
// not be used while the machine runs.
package ovmf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Variable is an EFI variable that has not been deleted.
type Variable struct {
	Name       string
	GUID       string // as efivarfs writes it: 6987e713-a5ff-4ec2-ad55-c1fca471ed2d
	Attributes uint32 // 7: survives a reboot, visible to boot services and to the operating system
	Data       []byte
}

// Store is the content of a file such as OVMF_VARS_4M.fd.
type Store struct {
	b     []byte
	vars  int // the offset of the first variable
	limit int // the end of the store
}

// The parts of EDK II's AUTHENTICATED_VARIABLE_HEADER; the name and the data follow it.
const (
	headerSize   = 60
	offState     = 2
	offAttribute = 4
	offNameSize  = 36
	offDataSize  = 40
	offGUID      = 44
	startID      = 0x55aa
	stateAdded   = 0x3f // as in flash memory, each change of the state clears bits
	stateDeleted = 0xfd
)

// authenticated is gEfiAuthenticatedVariableGuid, which stands at the start of a store of such variables.
const authenticated = "aaf32c78-947b-439a-a180-2e144ec37792"

// Open reads a file with a variable store.
func Open(name string) (*Store, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func parse(b []byte) (*Store, error) {
	le := binary.LittleEndian
	const volumeHeader, storeHeader, formatted, healthy = 56, 28, 0x5a, 0xfe
	if len(b) < volumeHeader || string(b[40:44]) != "_FVH" {
		return nil, errors.New("not a firmware volume")
	}
	start := int(le.Uint16(b[48:])) // HeaderLength
	if start+storeHeader > len(b) || guidString(b[start:]) != authenticated {
		return nil, errors.New("not a store of authenticated variables")
	}
	size := le.Uint32(b[start+16:])
	if uint64(start)+uint64(size) > uint64(len(b)) || size < storeHeader || b[start+20] != formatted ||
		b[start+21] != healthy {
		return nil, errors.New("a damaged variable store")
	}
	s := &Store{b: b, vars: start + storeHeader, limit: start + int(size)}
	return s, s.each(func(int, Variable) {})
}

// each calls f for every live variable with its offset.
func (s *Store) each(f func(at int, v Variable)) error {
	_, err := s.walk(f)
	return err
}

// walk does the same as each, and returns the offset of the free space.
func (s *Store) walk(f func(at int, v Variable)) (int, error) {
	le := binary.LittleEndian
	at := s.vars
	for at+headerSize <= s.limit && le.Uint16(s.b[at:]) == startID {
		h := s.b[at:]
		nameSize, dataSize := le.Uint32(h[offNameSize:]), le.Uint32(h[offDataSize:])
		if uint64(nameSize)+uint64(dataSize) > uint64(s.limit-at-headerSize) {
			return 0, fmt.Errorf("the variable at %#x extends beyond the end of the store", at)
		}
		name, data := int(nameSize), int(dataSize)
		if h[offState] == stateAdded {
			f(at, Variable{
				Name:       ucs2(h[headerSize : headerSize+name]),
				GUID:       guidString(h[offGUID:]),
				Attributes: le.Uint32(h[offAttribute:]),
				Data:       bytes.Clone(h[headerSize+name : headerSize+name+data]),
			})
		}
		at = align(at + headerSize + name + data)
	}
	return at, nil
}

// List returns the live variables in the order in which they were written.
func (s *Store) List() []Variable {
	var all []Variable
	s.each(func(_ int, v Variable) { all = append(all, v) }) // parse and Add have checked that walk does not fail
	return all
}

// Lookup returns a live variable, and reports whether it exists.
func (s *Store) Lookup(name, guid string) (Variable, bool) {
	for _, v := range s.List() {
		if v.Name == name && v.GUID == strings.ToLower(guid) {
			return v, true
		}
	}
	return Variable{}, false
}

// Add writes a variable. It replaces one with the same name.
func (s *Store) Add(v Variable) error {
	guid, err := guidBytes(v.GUID)
	if err != nil {
		return err
	}
	s.Delete(v.Name, v.GUID)
	at, err := s.walk(func(int, Variable) {})
	if err != nil {
		return err
	}
	name := make([]byte, 0, 2*len(v.Name)+2)
	for _, c := range append(utf16.Encode([]rune(v.Name)), 0) {
		name = binary.LittleEndian.AppendUint16(name, c)
	}
	if need, free := headerSize+len(name)+len(v.Data), s.limit-at; need > free {
		return fmt.Errorf("no room for variable %q: it takes %d bytes, %d are free", v.Name, need, free)
	}
	h := s.b[at:]
	clear(h[:headerSize])
	le := binary.LittleEndian
	le.PutUint16(h, startID)
	h[offState] = stateAdded
	le.PutUint32(h[offAttribute:], v.Attributes)
	le.PutUint32(h[offNameSize:], uint32(len(name)))
	le.PutUint32(h[offDataSize:], uint32(len(v.Data)))
	copy(h[offGUID:], guid)
	copy(h[headerSize:], name)
	copy(h[headerSize+len(name):], v.Data)
	return nil
}

// Delete deletes a variable and reports whether it existed.
func (s *Store) Delete(name, guid string) bool {
	found := false
	s.each(func(at int, v Variable) {
		if v.Name == name && v.GUID == strings.ToLower(guid) {
			s.b[at+offState] &= stateDeleted
			found = true
		}
	})
	return found
}

// WriteFile writes the store to a file for a machine. AAVMF wants a file of 64 MiB, of which the store is less than
// one: the zeros behind it are a hole.
func (s *Store) WriteFile(name string) error {
	if err := os.WriteFile(name, bytes.TrimRight(s.b, "\x00"), 0o600); err != nil {
		return err
	}
	return os.Truncate(name, int64(len(s.b)))
}

func align(n int) int { return (n + 3) &^ 3 }

// ucs2 decodes a name, which ends in a NUL.
func ucs2(b []byte) string {
	var u []uint16
	for ; len(b) >= 2; b = b[2:] {
		u = append(u, binary.LittleEndian.Uint16(b))
	}
	return strings.TrimRight(string(utf16.Decode(u)), "\x00")
}

// guidString returns a GUID as text. Its first three numbers are little-endian (UEFI 2.10, appendix A).
func guidString(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

func guidBytes(s string) ([]byte, error) {
	parts := strings.Split(s, "-")
	if len(parts) != 5 {
		return nil, fmt.Errorf("%q is not a GUID", s)
	}
	var b []byte
	for i, digits := range []int{8, 4, 4, 4, 12} {
		n, err := strconv.ParseUint(parts[i], 16, 64)
		if err != nil || len(parts[i]) != digits {
			return nil, fmt.Errorf("%q is not a GUID", s)
		}
		switch i {
		case 0:
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		case 1, 2:
			b = binary.LittleEndian.AppendUint16(b, uint16(n))
		case 3:
			b = binary.BigEndian.AppendUint16(b, uint16(n))
		case 4:
			b = append(b, binary.BigEndian.AppendUint64(nil, n)[2:]...)
		}
	}
	return b, nil
}
