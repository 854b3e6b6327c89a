package microcode

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var le = binary.LittleEndian

// Sizes of an update for Intel's processors: struct microcode_header_intel, struct extended_sigtable and struct
// extended_signature in arch/x86/include/asm/microcode.h and arch/x86/kernel/cpu/microcode/intel.c.
const (
	intelHeader = 48
	intelData   = 2000 // of an update whose header says 0
	intelTable  = 20
	intelEntry  = 12
)

// update is one update, header included, which has passed what intel_microcode_sanity_check asks.
type update []byte

// data returns the size of what the processor gets.
func (u update) data() uint64 {
	if n := le.Uint32(u[28:]); n != 0 {
		return uint64(n)
	}
	return intelData
}

// nextUpdate returns the first update in b.
func nextUpdate(b []byte) (update, error) {
	if len(b) < intelHeader {
		return nil, fmt.Errorf("%d bytes at its end are no update", len(b))
	}
	u := update(b)
	total := uint64(le.Uint32(u[32:]))
	if le.Uint32(u[28:]) == 0 {
		total = intelHeader + intelData
	}
	end := intelHeader + u.data()
	switch {
	case le.Uint32(u) != 1 || le.Uint32(u[20:]) != 1:
		return nil, errors.New("it is no update of version 1")
	case end > total:
		return nil, errors.New("an update is larger than it says")
	case total > uint64(len(b)):
		return nil, errors.New("it is cut short")
	case end%4 != 0 || total%4 != 0:
		return nil, errors.New("an update has a size that cannot be")
	}
	u = u[:total]
	if sum(u[:end]) != 0 {
		return nil, errors.New("the checksum of an update is wrong")
	}
	return u, u.checkTable(u[end:])
}

// checkTable checks the table of further signatures.
func (u update) checkTable(table []byte) error {
	if len(table) == 0 {
		return nil
	}
	if len(table) < intelTable || uint64(len(table)) != intelTable+intelEntry*uint64(le.Uint32(table)) {
		return errors.New("the signatures of an update are cut short")
	}
	if sum(table) != 0 {
		return errors.New("the checksum of an update's signatures is wrong")
	}
	want := le.Uint32(u[12:]) + le.Uint32(u[24:]) + le.Uint32(u[16:])
	for e := table[intelTable:]; len(e) > 0; e = e[intelEntry:] {
		if le.Uint32(e)+le.Uint32(e[4:])+le.Uint32(e[8:]) != want {
			return errors.New("the checksum of an update for one of its signatures is wrong")
		}
	}
	return nil
}

func sum(b []byte) uint32 {
	var n uint32
	for ; len(b) >= 4; b = b[4:] {
		n += le.Uint32(b)
	}
	return n
}

// fits reports whether a processor takes the update: intel_find_matching_signature. A processor of an unknown platform
// gets those for all platforms.
func (u update) fits(p Processor) bool {
	if p.Vendor != intel {
		return false
	}
	same := func(signature, platforms uint32) bool {
		return signature == p.signature() && (p.Platform == 0 || platforms&p.Platform != 0)
	}
	if same(le.Uint32(u[12:]), le.Uint32(u[24:])) {
		return true
	}
	table := u[intelHeader+u.data():]
	for e := table[min(len(table), intelTable):]; len(e) > 0; e = e[intelEntry:] {
		if same(le.Uint32(e), le.Uint32(e[4:])) {
			return true
		}
	}
	return false
}

// updates adds to dst the updates of a file that are wanted and were not seen before. If the file is damaged, it adds
// those before the damage. The kernel takes nothing from a file with other bytes behind the last update
// (scan_microcode), so there must not be any.
func (w Wanted) updates(dst, file []byte, seen map[string]bool) ([]byte, error) {
	for len(file) > 0 {
		u, err := nextUpdate(file)
		if err != nil {
			return dst, err
		}
		file = file[len(u):]
		id := string(u[:intelHeader])
		if !seen[id] && (w.All || w.any(u.fits)) {
			dst = append(dst, u...)
			seen[id] = true
		}
	}
	return dst, nil
}
