package memory

import (
	"fmt"
	"io"
	"os"
)

// Writer writes to a file from a place on, and asks before each write whether the file may take that much memory.
type Writer struct {
	at   *io.OffsetWriter
	grow func(n int64) error
	size int64
}

// NewWriter returns a writer that begins at off. Its Write fails with the error of grow; nil is no limit.
func NewWriter(f *os.File, off int64, grow func(n int64) error) *Writer {
	return &Writer{at: io.NewOffsetWriter(f, off), grow: grow}
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	if w.grow != nil {
		if err := w.grow(int64(len(p))); err != nil {
			return 0, err
		}
	}
	n, err := w.at.Write(p)
	w.size += int64(n)
	if err != nil {
		err = fmt.Errorf("cannot keep it in memory: %w", err)
	}
	return n, err
}

// Size returns how many bytes were written.
func (w *Writer) Size() int64 { return w.size }
