package rootfs

import (
	"io"

	"gitlab.com/wyrcan/wyrcan/pkg/spool"
)

// Store keeps the contents of one layer as a stream. It is written once, by one goroutine, from its beginning to its
// end, until Seal. Then several goroutines may read it.
type Store interface {
	// Add appends a file and returns where its content is in the stream. It reads f.Size bytes of the content.
	Add(f spool.File, content io.Reader) (int64, error)
	// Seal is called when the layer was read to its end.
	Seal() error
	// Open returns a reader for one goroutine. Places are those of the stream. With release it may give back the memory
	// of everything before the place that it reads.
	Open(release bool) Reader
	// Close frees the memory.
	Close() error
}

// Reader reads a store.
type Reader interface {
	io.ReaderAt
	io.Closer
}

// spooled is the store that Read uses if it is given no other.
type spooled struct{ *spool.Spool }

func (s spooled) Open(release bool) Reader { return s.NewCursor(release) }
