package memory

import (
	"errors"
	"io"
	"testing"
)

func TestWriter(t *testing.T) {
	f, err := File("test")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	full := errors.New("full")
	asked := int64(0)
	w := NewWriter(f, 3, func(n int64) error {
		if asked += n; asked > 5 {
			return full
		}
		return nil
	})
	for _, c := range []struct {
		text string
		err  error
	}{{"ab", nil}, {"cde", nil}, {"f", full}} {
		if n, err := w.Write([]byte(c.text)); err != c.err || err == nil && n != len(c.text) {
			t.Errorf("Write(%q) = %d, %v, want %v", c.text, n, err, c.err)
		}
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 100))
	if err != nil || string(got) != "\x00\x00\x00abcde" || w.Size() != 5 {
		t.Errorf("the file is %q, %v, Size = %d, want three zeros and abcde, 5", got, err, w.Size())
	}
	if n, err := NewWriter(f, 0, nil).Write([]byte("xyz")); n != 3 || err != nil {
		t.Errorf("Write without a limit = %d, %v", n, err)
	}
}
