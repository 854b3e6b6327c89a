package kernel

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

func findIn(t *testing.T, b []byte) (*Signature, error) {
	t.Helper()
	return FindSignature(bytes.NewReader(b), int64(len(b)))
}

func TestSignature(t *testing.T) {
	signed := imagetest.SignedEFI(t, "The test's own key")
	plain, err := os.ReadFile(imagetest.EFIProgram)
	if err != nil {
		t.Fatal(err)
	}
	s, err := findIn(t, signed)
	if err != nil || s == nil || s.Signer != "The test's own key" {
		t.Fatalf("FindSignature = %+v, %v", s, err)
	}
	if ok, err := s.Fits(bytes.NewReader(signed), int64(len(signed))); !ok || err != nil {
		t.Errorf("Fits = %v, %v", ok, err)
	}
	// The checksum and the certificate table are not covered; all else is.
	for at, want := range map[int64]bool{s.pe.checksum: true, s.pe.checksum + 4: false, 0x1000: false,
		s.pe.table - 1: false, s.pe.table + s.pe.tableSize - 1: true} {
		changed := bytes.Clone(signed)
		changed[at] ^= 1
		if ok, err := s.Fits(bytes.NewReader(changed), int64(len(changed))); ok != want || err != nil {
			t.Errorf("with byte %#x changed: Fits = %v, %v, want %v", at, ok, err, want)
		}
	}
	for name, b := range map[string][]byte{"an unsigned program": plain, "a text": []byte("#!/bin/sh\n"), "nothing": nil,
		"an unsigned bzImage": imagetest.BzImage("6.1"), "a cut one": signed[:0x50]} {
		if s, err := findIn(t, b); s != nil || err != nil {
			t.Errorf("%s: FindSignature = %+v, %v", name, s, err)
		}
	}
}

// A damaged signature is told from none, and a strange one does not keep the machine busy.
func TestDamagedSignature(t *testing.T) {
	signed := imagetest.SignedEFI(t, "x")
	s, err := findIn(t, signed)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	for name, change := range map[string]func(b []byte){
		"cut":             func(b []byte) { le.PutUint32(b[s.pe.entry:], uint32(len(b))) },
		"too large":       func(b []byte) { le.PutUint32(b[s.pe.entry+4:], 1<<30) },
		"too small":       func(b []byte) { le.PutUint32(b[s.pe.entry+4:], 4) },
		"a long one":      func(b []byte) { le.PutUint32(b[s.pe.table:], 1<<31) },
		"a short one":     func(b []byte) { le.PutUint32(b[s.pe.table:], 0) },
		"of another kind": func(b []byte) { le.PutUint16(b[s.pe.table+6:], 1) },
		"no DER":          func(b []byte) { clear(b[s.pe.table+8 : s.pe.table+64]) },
		"not PKCS #7":     func(b []byte) { b[s.pe.table+8+14]++ },
	} {
		b := bytes.Clone(signed)
		change(b)
		if s, err := findIn(t, b); s != nil || err == nil {
			t.Errorf("%s: FindSignature = %+v, %v, want an error", name, s, err)
		}
	}
	// Many sections that all are the whole file.
	b := bytes.Clone(signed)
	at := int64(le.Uint32(b[0x3c:]))
	table := at + 24 + int64(le.Uint16(b[at+20:]))
	for i := range int64(le.Uint16(b[at+6:])) {
		le.PutUint32(b[table+i*40+16:], uint32(len(b)-1024))
		le.PutUint32(b[table+i*40+20:], 1024)
	}
	if s, err = findIn(t, b); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Fits(bytes.NewReader(b), int64(len(b))); ok || err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("Fits = %v, %v, want an error", ok, err)
	}
}

// certified returns a PE file of headers and a certificate table alone.
func certified(der []byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0x200)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x58:], 0x20b)
	le.PutUint32(b[0x58+60:], uint32(len(b))) // SizeOfHeaders
	le.PutUint32(b[0x58+108:], 16)            // NumberOfRvaAndSizes
	le.PutUint32(b[0x58+112+4*8:], uint32(len(b)))
	le.PutUint32(b[0x58+112+4*8+4:], uint32(8+len(der)))
	b = le.AppendUint32(b, uint32(8+len(der)))
	return append(append(b, 0, 2, 2, 0), der...)
}

// FuzzSignature reads any file.
func FuzzSignature(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(imagetest.BzImage("6.1"))
	f.Add(linuxAt(1024, 0, 512))
	f.Add(certified(nil))
	if _, err := exec.LookPath("sbsign"); err == nil {
		signed := imagetest.SignedEFI(f, "fuzz")
		s, err := FindSignature(bytes.NewReader(signed), int64(len(signed)))
		if err != nil {
			f.Fatal(err)
		}
		small := certified(signed[s.pe.table+8 : s.pe.table+s.pe.tableSize])
		if s, err := FindSignature(bytes.NewReader(small), int64(len(small))); err != nil || s.Signer != "fuzz" {
			f.Fatalf("FindSignature = %+v, %v", s, err)
		}
		f.Add(small)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := FindSignature(bytes.NewReader(b), int64(len(b)))
		if s == nil || err != nil {
			return
		}
		if ok, err := s.Fits(bytes.NewReader(b), int64(len(b))); ok && err != nil {
			t.Errorf("Fits = %v, %v", ok, err)
		}
	})
}
