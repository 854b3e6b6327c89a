package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/u-root/u-root/pkg/cpio"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
)

// File is what a spool has to know of a regular file.
type File struct {
	Path     string // as in the layer's archive, from the root
	Mode     uint32 // st_mode with its type
	UID, GID uint32
	ModTime  int64 // seconds since 1970; a record has the nearest time that 32 bits can hold
	Size     int64 // of the content, in bytes
}

// header appends what comes before the content in the file's record.
func (f File) header(b []byte) []byte {
	return newc.Header(b, cpio.Info{
		Name: f.Path, Mode: uint64(f.Mode), UID: uint64(f.UID), GID: uint64(f.GID), NLink: 1,
		MTime: newc.Time(f.ModTime), FileSize: uint64(f.Size),
	})
}

// Spool holds the files of one layer as a stream of records. It is written once, from its beginning to its end, until
// Seal. Then several goroutines may read it, each with a cursor of its own.
type Spool struct {
	f      *os.File
	room   *Room
	plain  int64    // how many bytes of the stream are kept as they are; in f they begin at Front
	over   *os.File // holds these from split on; nil if f holds all of them
	split  int64
	frames []Frame
	end    int64 // the length of the stream
	stored int64 // where the next frame goes in f
	taken  bool

	packing bool
	buf     []byte // what was added and is not in f yet
	records int    // how many are in buf, while packing
	packed  []byte // scratch
}

// Frame is a packed part of the stream: whole records, and a trailer behind them.
type Frame struct {
	Begin, End int64 // its place in the stream, without the trailer
	Records    int

	off, size int64 // its place in the file
}

// Packed returns the size of the frame as it is, in bytes.
func (f Frame) Packed() int64 { return f.size }

// Size returns the size of the unpacked frame with its trailer, in bytes.
func (f Frame) Size() int64 { return f.End - f.Begin + newc.TrailerSize }

const (
	// FrameSize is the size up to which records share a frame. A larger record has a frame for itself.
	FrameSize = 1 << 20
	// Front is the room in the file before the stream, in bytes. It takes no memory until it is written to.
	Front = 4 << 20
)

// New makes an empty spool.
func New(room *Room) (*Spool, error) {
	f, err := memory.File("spool")
	if err != nil {
		return nil, err
	}
	return &Spool{f: f, room: room}, nil
}

// Add appends a file and returns where its content is in the stream. It reads f.Size bytes of the content. A content
// larger than newc.MaxSize is kept too, but its record is of no use.
func (s *Spool) Add(f File, content io.Reader) (int64, error) {
	need := newc.Size(f.Path, f.Size)
	if !s.packing && s.over == nil && !s.room.take(need) {
		if err := s.full(); err != nil {
			return 0, err
		}
	}
	off := s.end + newc.HeaderSize(f.Path)
	var err error
	switch {
	case !s.packing:
		err = s.keep(f, content)
	case need > FrameSize:
		err = s.packLong(f, content)
	default:
		err = s.gather(f, content, need)
	}
	s.end += need
	return off, err
}

// full is called when the room is full: later records are packed, or go to the other file.
func (s *Spool) full() error {
	err := s.flush()
	switch {
	case err != nil:
	case s.room.Overflow == nil:
		s.packing, s.stored = true, pages(Front+s.plain)
	default:
		s.split = s.plain
		s.over, err = s.room.Overflow()
	}
	return err
}

// pages rounds up to whole pages.
func pages(n int64) int64 { return (n + memory.Page - 1) &^ (memory.Page - 1) }

// at returns where a place of the stream is. What is there must be kept as it is.
func (s *Spool) at(off int64) (*os.File, int64) {
	if s.over != nil && off >= s.split {
		return s.over, off - s.split
	}
	return s.f, Front + off
}

// inMemory returns how many bytes of the stream are kept as they are in memory.
func (s *Spool) inMemory() int64 {
	if s.over != nil {
		return s.split
	}
	return s.plain
}

// keep adds a file that is kept as it is.
func (s *Spool) keep(f File, content io.Reader) error {
	if s.buf == nil {
		s.buf = make([]byte, 0, FrameSize)
	}
	if int64(cap(s.buf)-len(s.buf)) < newc.HeaderSize(f.Path) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.buf = f.header(s.buf)
	for left := f.Size; left > 0; {
		if len(s.buf) == cap(s.buf) {
			if err := s.flush(); err != nil {
				return err
			}
		}
		part := s.buf[len(s.buf):min(int64(cap(s.buf)), int64(len(s.buf))+left)]
		if _, err := io.ReadFull(content, part); err != nil {
			return err
		}
		s.buf = s.buf[:len(s.buf)+len(part)]
		left -= int64(len(part))
	}
	// There is room for this in the buffer: its capacity is a multiple of newc.Align, as the places of records are.
	s.buf = newc.Pad(s.buf, f.Size)
	return nil
}

// flush writes the buffer to where records are kept as they are. Zeros become holes in the file, which take no memory.
func (s *Spool) flush() error {
	const piece = 64 << 10
	for rest := s.buf; len(rest) > 0; {
		n := 0
		for n < len(rest) && !zero(rest[n:min(len(rest), n+piece)]) {
			n = min(len(rest), n+piece)
		}
		if n > 0 {
			if err := s.write(rest[:n]); err != nil {
				return err
			}
		} else {
			n = min(len(rest), piece)
		}
		s.plain += int64(n)
		rest = rest[n:]
	}
	s.buf = s.buf[:0]
	return nil
}

// write writes bytes at the end of what is kept as it is.
func (s *Spool) write(p []byte) error {
	f, off := s.at(s.plain)
	where := "on the disk"
	if f == s.f {
		where = "in memory"
		if err := s.room.grow(int64(len(p))); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(p, off); err != nil {
		return cannotKeep(where, err)
	}
	return nil
}

func cannotKeep(where string, err error) error {
	return fmt.Errorf("cannot keep it %s: %w", where, err)
}

// zero reports whether p holds zeros only: its first byte is zero, and each byte is equal to the next.
func zero(p []byte) bool { return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1]) }

// gather adds a small file to those that are packed together.
func (s *Spool) gather(f File, content io.Reader, need int64) error {
	if int64(len(s.buf))+need > FrameSize {
		if err := s.pack(); err != nil {
			return err
		}
	}
	if cap(s.buf) < FrameSize+newc.TrailerSize {
		s.buf = make([]byte, 0, FrameSize+newc.TrailerSize)
	}
	s.buf = f.header(s.buf)
	n := len(s.buf)
	s.buf = s.buf[:n+int(f.Size)]
	if _, err := io.ReadFull(content, s.buf[n:]); err != nil {
		return err
	}
	s.buf = newc.Pad(s.buf, f.Size)
	s.records++
	return nil
}

// pack makes a frame of the files that were gathered.
func (s *Spool) pack() error {
	if s.records == 0 {
		return nil
	}
	length := int64(len(s.buf))
	var err error
	if s.packed, err = s.room.pack(s.packed[:0], newc.Trailer(s.buf)); err != nil {
		return err
	}
	if _, err := s.frameWriter().Write(s.packed); err != nil {
		return err
	}
	// The records in the buffer end where the record that is being added begins.
	s.addFrame(Frame{Begin: s.end - length, End: s.end, Records: s.records, size: int64(len(s.packed))})
	s.buf, s.records = s.buf[:0], 0
	return nil
}

// frameWriter writes the next frame.
func (s *Spool) frameWriter() *memory.Writer { return memory.NewWriter(s.f, s.stored, s.room.grow) }

// addFrame notes the frame that was written last. Each frame begins with a page, so that its memory can be given back.
func (s *Spool) addFrame(f Frame) {
	f.off = s.stored
	s.stored += pages(f.size)
	s.frames = append(s.frames, f)
}

// packLong makes a frame of one file.
func (s *Spool) packLong(f File, content io.Reader) error {
	if err := s.pack(); err != nil {
		return err
	}
	out := s.frameWriter()
	err := s.room.packLong(out, func(w io.Writer) error {
		if _, err := w.Write(f.header(nil)); err != nil {
			return err
		}
		n, err := io.Copy(w, content)
		if err == nil && n != f.Size {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			_, err = w.Write(newc.Trailer(newc.Pad(nil, f.Size)))
		}
		return err
	})
	if err != nil {
		return err
	}
	s.addFrame(Frame{Begin: s.end, End: s.end + newc.Size(f.Path, f.Size), Records: 1, size: out.Size()})
	return nil
}

// Seal writes what is left. Nothing can be added after it.
func (s *Spool) Seal() error {
	var err error
	if s.packing {
		err = s.pack()
	} else if err = s.flush(); err == nil {
		err = s.f.Truncate(Front + s.inMemory()) // it may end in a hole
		if err == nil && s.over != nil {
			err = s.over.Truncate(s.plain - s.split)
		}
	}
	s.buf, s.packed = nil, nil
	return err
}

// Plain reports whether the whole stream is in memory and nothing of it is packed.
func (s *Spool) Plain() bool { return !s.packing && s.over == nil }

// Stored returns how much memory the stream takes at most, in bytes.
func (s *Spool) Stored() int64 {
	n := s.inMemory()
	for _, f := range s.frames {
		n += f.size
	}
	return n
}

// Len returns the length of the stream.
func (s *Spool) Len() int64 { return s.end }

// Frame returns the frame that holds the place off of the stream. There is none where records are kept as they are.
func (s *Spool) Frame(off int64) (Frame, bool) {
	if off < s.plain {
		return Frame{}, false
	}
	return s.frames[s.frameAt(off)], true
}

// TakeFrame returns a frame as it is, packed. No cursor reads it any more, or gives its memory back; done does that.
func (s *Spool) TakeFrame(f Frame) (r io.Reader, done func() error) {
	i := s.frameAt(f.Begin)
	s.frames[i].size = 0 // cursors find nothing in it
	return io.NewSectionReader(s.f, f.off, f.size), func() error { return memory.GiveBack(s.f, f.off, f.off+f.size) }
}

// Take returns the file of a plain spool, in which the stream begins at Front. The caller makes an archive in its
// place and closes it. Cursors still read the stream, but give no memory back.
func (s *Spool) Take() *os.File {
	s.taken = true
	return s.f
}

// Fill turns a part of the stream of a plain spool into records that the kernel passes over (see newc.Filler), and
// gives the memory of the part back. from may be below 0, in the room before the stream. The part must be whole
// records, or be empty, or have newc.MinFiller bytes at least.
func (s *Spool) Fill(from, to int64) error {
	for from < to {
		size := to - from
		if size > newc.MaxFiller+newc.MinFiller {
			size = newc.MaxFiller
		}
		head := newc.Filler(nil, size)
		if _, err := s.f.WriteAt(head, Front+from); err != nil {
			return cannotKeep("in memory", err)
		}
		// The last page may hold the beginning of a record that is kept.
		last := (Front + from + size) &^ (memory.Page - 1)
		if err := memory.GiveBack(s.f, Front+from+int64(len(head)), last); err != nil {
			return err
		}
		from += size
	}
	return nil
}

// Close frees the memory.
func (s *Spool) Close() error {
	var err error
	if s.over != nil {
		err = s.over.Close()
	}
	if s.taken {
		return err
	}
	return errors.Join(err, s.f.Close())
}
