package squashfs

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// counter counts the blocks that are unpacked.
type counter struct {
	codec
	unpacked int
}

func (c *counter) unpack(dst, src []byte) ([]byte, error) {
	c.unpacked++
	return c.codec.unpack(dst, src)
}

// TestSameUnread has contents again that other layers of a tree had long ago, in another order: nothing is unpacked to
// find them.
func TestSameUnread(t *testing.T) {
	p, err := New(Options{BlockSize: minBlock})
	if err != nil {
		t.Fatal(err)
	}
	count := &counter{codec: p.codec}
	p.codec = count
	s, err := p.Store()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, _ := s.(*Layer)
	r := rand.New(rand.NewPCG(1, 2))
	add := func(n int) {
		size := 1000 + 10*n // some are small, some are large
		text := strings.Repeat(string(rune('a'+n%26)), size-1) + string(rune('a'+n/26))
		if _, err := l.Add(spool.File{Size: int64(size)}, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	const different = 600
	for n := range different {
		add(n)
	}
	if err := l.write(0); err != nil {
		t.Fatal(err)
	}
	end := l.pos
	for range 2000 {
		add(r.IntN(different))
	}
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	if count.unpacked > 0 {
		t.Errorf("%d blocks were unpacked", count.unpacked)
	}
	if most := end + minBlock; l.pos > most {
		t.Errorf("the layer has %d bytes, want at most %d", l.pos, most)
	}
}

// TestSums has different sums for different contents.
func TestSums(t *testing.T) {
	s, err := newSummer()
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte{0}, 100)
	seen := map[sum]bool{}
	of := func(blocks ...[]byte) sum {
		var tags []byte
		size := int64(0)
		for _, b := range blocks {
			tags = s.add(tags, b)
			size += int64(len(b))
		}
		return s.of(tags, size)
	}
	for i := range 800 {
		other := bytes.Clone(block)
		other[i/8] ^= 1 << (i % 8)
		for _, sum := range []sum{of(other), of(other, block), of(block, other), of(other, other)} {
			if seen[sum] {
				t.Fatalf("bit %d: another content has the sum %v", i, sum)
			}
			seen[sum] = true
		}
	}
	if first, again := of(block, block[:50]), of(bytes.Clone(block), block[:50]); first != again {
		t.Error("the sum of a content is not always the same")
	}
	other, err := newSummer()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(s.add(nil, block), other.add(nil, block)) {
		t.Error("two packers have the same key")
	}
}
