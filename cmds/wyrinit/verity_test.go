package main

import (
	"bytes"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
)

// TestRootHash takes the first hash of a command line, and no other text.
func TestRootHash(t *testing.T) {
	good, other := strings.Repeat("01234567", 8), strings.Repeat("f", 64)
	for line, want := range map[string]string{
		"wyr.roothash=" + good + " console=ttyS0":                                good,
		"BOOT_IMAGE=/vmlinuz wyr.roothash=" + good + " wyr.roothash=" + other:    good,
		"wyr.roothash=" + good + " foo=\"an open quote wyr.roothash=" + other:    good,
		"quiet -- wyr.roothash=" + good + "\n":                                   good,
		"console=ttyS0 roothash=" + good:                                         "has no wyr.roothash=",
		"":                                                                       "has no wyr.roothash=",
		"foo=\"an open quote wyr.roothash=" + good:                               "has no wyr.roothash=",
		"wyr.roothash= wyr.roothash=" + good:                                     "no hash of 64 digits",
		"wyr.roothash":                                                           "no hash of 64 digits",
		"wyr.roothash=" + good[1:]:                                               "no hash of 64 digits",
		"wyr.roothash=" + strings.ToUpper(other):                                 "no hash of 64 digits",
		"wyr.roothash=\"" + good + " - 1 ignore_corruption\"":                    "no hash of 64 digits",
		"wyr.roothash=\"" + good[:40] + " - 1 ignore_corruption\" console=ttyS0": "no hash of 64 digits",
	} {
		got, err := rootHash(line)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || err == nil && got != want {
			t.Errorf("the hash of %q is %q, want %q", line, got, want)
		}
	}
}

// TestRequest lays a request out as the kernel reads it.
func TestRequest(t *testing.T) {
	if size := unsafe.Offsetof(request{}.params); size != unix.SizeofDmIoctl+unix.SizeofDmTargetSpec {
		t.Errorf("the parameters are at %d", size)
	}
	hash := strings.Repeat("ab", 32)
	var r request
	r.target(handover.Verity{Blocks: 300, Salt: "\x00\xff"}, unix.Mkdev(259, 1), hash)
	want := "1 259:1 259:1 4096 4096 300 301 sha256 " + hash + " 00ff\x00"
	if got := string(r.params[:len(want)]); got != want || r.Length != 2400 || r.Target_count != 1 {
		t.Errorf("the table is %q of %d sectors, want %q", got, r.Length, want)
	}
	// The largest that handover.Parse lets pass.
	for _, v := range []handover.Verity{{Blocks: 1}, {Blocks: 1 << 50, Salt: strings.Repeat("\xff", 256)}} {
		var r request
		r.target(v, ^uint64(0), hash)
		end := bytes.IndexByte(r.params[:], 0)
		salt := "-"
		if v.Salt != "" {
			salt = strings.Repeat("ff", 256)
		}
		if end < 0 || !strings.HasSuffix(string(r.params[:end]), " sha256 "+hash+" "+salt) {
			t.Errorf("the table is %q", r.params[:max(end, 0)])
		}
		if r.Length != uint64(v.Blocks)*8 {
			t.Errorf("%d blocks have %d sectors", v.Blocks, r.Length)
		}
		if id := uuid(v.Salt); id[len(id)-1] != 0 || !bytes.HasPrefix(id[:], []byte("CRYPT-VERITY-")) {
			t.Errorf("the UUID is %q", id)
		}
	}
}
