package network

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"slices"
	"testing"
	"time"
)

// nameBomb returns domain names of RFC 1035 that are small in the packet and large when they are expanded: one long
// name, and after it pointers to it (section 4.1.4).
func nameBomb(size int) []byte {
	var b []byte
	for len(b) < size/2 {
		b = append(append(b, 63), bytes.Repeat([]byte{'x'}, 63)...)
	}
	b = append(b, 0)
	for len(b) < size-1 {
		b = append(b, 0xc0, 0)
	}
	return b
}

// TestNameBomb checks that names which expand cost neither time nor memory.
func TestNameBomb(t *testing.T) {
	for _, size := range []int{longestNames, longestNames - 1, 12000, 60000} {
		expand(t, size)
	}
}

func expand(t *testing.T, size int) {
	names := nameBomb(size)
	six := func(code uint16, data []byte) []byte {
		b := binary.BigEndian.AppendUint16(unhex(t, "07 010203"+ids6), code)
		return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
	}
	four := message4(t, "", "", "")
	for rest := names; len(rest) > 0; {
		n := min(len(rest), 255)
		four = append(append(four, 119, byte(n)), rest[:n]...)
		rest = rest[n:]
	}
	ntp := binary.BigEndian.AppendUint16([]byte{0, 3}, uint16(len(names))) // RFC 5908 section 4.3
	for _, tt := range []struct {
		name string
		read func()
	}{
		{"DHCPv4 domains", func() {
			if p, err := parse4(four); err == nil {
				readLease4(p)
			}
		}},
		{"DHCPv6 domains", func() { readSix(six(24, names)) }},
		{"DHCPv6 name", func() { readSix(six(39, append([]byte{0}, names...))) }},
		{"DHCPv6 name of an address", func() {
			ia := slices.Concat([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, six(24, names)[32:])
			readSix(six(3, ia))
		}},
		{"DHCPv6 time server", func() { readSix(six(56, append(ntp, names...))) }},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		tt.read()
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 32 || took > 5*time.Second {
			t.Errorf("%s: %d bytes cost %d MiB and %v", tt.name, size, got, took)
		}
	}
}

func readSix(b []byte) {
	if m, err := parse6(b); err == nil {
		readLease6(m, time.Now())
	}
}
