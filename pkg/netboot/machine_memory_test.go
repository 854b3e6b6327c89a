package netboot

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/uki"
)

// discard is a ResponseWriter that keeps nothing.
type discard struct {
	header http.Header
	size   int64
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { d.size += int64(len(b)); return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// Requests of many machines share one copy of the image, however large that is.
func TestMachinesMemory(t *testing.T) {
	s := machines(t)
	b := testUKI(t)
	const size = 32 << 20
	b = append(b, make([]byte, size-len(b))...) // behind the sections, as a signature would be
	if err := os.WriteFile(s.Files[UKIName], b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.check(t.Logf); err != nil {
		t.Fatal(err)
	}
	h := s.handler(func(string, ...any) {})
	ask := func(n int, method, machine string) {
		w := &discard{header: make(http.Header)}
		h.ServeHTTP(w, httptest.NewRequest(method, "/m/"+machine+"/"+UKIName, nil))
		if method == "GET" && w.size != size || w.header.Get("Content-Length") != fmt.Sprint(size) {
			t.Fatalf("%s of machine %d: %d bytes, %s", method, n, w.size, w.header)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const heads, gets = 10_000, 20
	for n := range heads {
		ask(n, "HEAD", fmt.Sprintf("00000000-0000-4000-8000-%012x", n))
	}
	for n := range gets {
		ask(n, "GET", testUUID)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / (heads + gets); each > 64<<10 {
		t.Errorf("a request takes %d KiB of memory on average", each>>10)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 4<<20 {
		t.Errorf("after the requests %d KiB more are in use", kept>>10)
	}
}

func TestEdited(t *testing.T) {
	base := []byte("0123456789")
	e := edited{bytes.NewReader(base), []uki.Edit{{Offset: 2, Bytes: []byte("ab")}, {Offset: 8, Bytes: []byte("yz")}}}
	const want = "01ab4567yz"
	for begin := range len(base) {
		for end := begin; end <= 12; end++ {
			b := make([]byte, end-begin)
			n, err := e.ReadAt(b, int64(begin))
			if got := string(b[:n]); got != want[begin:min(end, 10)] || (err == io.EOF) != (n < len(b)) {
				t.Errorf("from %d to %d: %q, %v", begin, end, got, err)
			}
		}
	}
	if string(base) != "0123456789" {
		t.Errorf("the edits changed the bytes below them: %q", base)
	}
}
