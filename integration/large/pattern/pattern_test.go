package pattern

import (
	"bytes"
	"testing"
)

// TestCheck finds a page that differs, wherever it is, and a file that has not whole pages.
func TestCheck(t *testing.T) {
	const pages = 600
	var b bytes.Buffer
	if err := Write(&b, "name", pages*page); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	if n, err := Check(bytes.NewReader(whole), "name"); n != pages*page || err != nil {
		t.Errorf("Check = %d, %v", n, err)
	}
	if n, err := Check(bytes.NewReader(whole[:300*page+5]), "name"); n != 300*page+5 || err != nil {
		t.Errorf("Check of a part = %d, %v", n, err)
	}
	if _, err := Check(bytes.NewReader(whole), "other"); err == nil {
		t.Error("the content of another file is taken")
	}
	for _, n := range []int{0, 1, 255, 256, 511, 512, pages - 1} {
		damaged := bytes.Clone(whole)
		damaged[n*page+3] ^= 1
		if _, err := Check(bytes.NewReader(damaged), "name"); err == nil {
			t.Errorf("a damaged page %d is taken", n)
		}
	}
}
