package rootfs

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// mixed is n bytes of noise, text and zeros by turns.
func mixed(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := 0; i < n; i += 300_000 {
		part := b[i:min(n, i+300_000)]
		switch i / 300_000 % 8 {
		case 0, 1:
			for j := range part {
				part[j] = byte(r.Uint32())
			}
		case 2, 3:
			copy(part, bytes.Repeat([]byte("some text "), 30_000))
		}
	}
	return b
}

func blocks(t *testing.T, s *spool) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(s.f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestSpool(t *testing.T) {
	data := mixed(9<<20 + 12345)
	for name, limit := range map[string]int64{"plenty": 0, "some": 3 << 20, "tight": 1} {
		t.Run(name, func(t *testing.T) {
			room := &budget{limit: limit}
			s, err := newSpool(room)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 700_001)
				if _, err := s.ReadFrom(bytes.NewReader(rest[:n])); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := s.seal(); err != nil {
				t.Fatal(err)
			}
			if limit > 0 && room.used.Load() > limit {
				t.Errorf("keeps %d bytes as they are, want at most %d", room.used.Load(), limit)
			}
			if got := blocks(t, s); got >= int64(len(data)) {
				t.Errorf("takes %d bytes of memory for %d, with megabytes of zeros among them", got, len(data))
			}

			c := newCursor(s)
			r := rand.New(rand.NewPCG(3, 4))
			for range 200 {
				off := r.IntN(len(data))
				p := make([]byte, 1+r.IntN(3<<20))
				n, err := c.ReadAt(p, int64(off))
				want := data[off:min(len(data), off+len(p))]
				if !bytes.Equal(p[:n], want) || (err == io.EOF) != (n < len(p)) {
					t.Fatalf("ReadAt(%d bytes, %d) = %d, %v, want %d right ones", len(p), off, n, err, len(want))
				}
			}

			// Reading from the beginning to the end gives all memory back.
			c = newCursor(s)
			c.release = true
			before := blocks(t, s)
			half := make([]byte, len(data)/2)
			if _, err := c.ReadAt(half, 0); err != nil || !bytes.Equal(half, data[:len(half)]) {
				t.Fatalf("the first half is wrong, %v", err)
			}
			if got := blocks(t, s); got >= before {
				t.Errorf("half read, and still %d bytes of %d are taken", got, before)
			}
			rest := make([]byte, len(data)-len(half))
			if _, err := c.ReadAt(rest, int64(len(half))); err != nil || !bytes.Equal(rest, data[len(half):]) {
				t.Fatalf("the second half is wrong, %v", err)
			}
			if err := c.finish(); err != nil {
				t.Fatal(err)
			}
			if got := blocks(t, s); got > 4096 {
				t.Errorf("all read, and still %d bytes are taken", got)
			}
		})
	}
}
