package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// Spool is the stream of records that one layer's files are. It is written first, from its beginning to its end; Seal
// ends that. Then it may be read, from several goroutines by cursors of their own.
type Spool struct {
	f      *os.File
	room   *Room
	plain  int64    // how much of the stream is kept as it is; it lies in f behind Front
	over   *os.File // where plain goes on from split; nil if that is all in f
	split  int64
	frames []Frame
	end    int64 // of the stream
	stored int64 // where the next frame comes in f
	taken  bool

	packing bool
	buf     []byte // what was added and is not in f
	records int    // in buf, while packing
	packed  []byte // scratch
}

// Frame is a part of the stream that is packed: whole records and the trailer of an archive.
type Frame struct {
	Begin, End int64 // where it is in the stream, the trailer excepted
	Records    int

	off, size int64 // where it is in the file
}

// Packed returns how many bytes the frame has as it is.
func (f Frame) Packed() int64 { return f.size }

// Size returns how many bytes the frame has when it is unpacked.
func (f Frame) Size() int64 { return f.End - f.Begin + int64(len(trailer)) }

const (
	// FrameSize is the size up to which records share a frame. A larger one has a frame for itself.
	FrameSize = 1 << 20
	// Front is how much room there is in the file before what is kept as it is. It takes no memory while unused.
	Front = 4 << 20

	page = memory.Page
)

// New makes an empty spool.
func New(room *Room) (*Spool, error) {
	f, err := memory.File("spool")
	if err != nil {
		return nil, err
	}
	return &Spool{f: f, room: room}, nil
}

// Add appends a file, whose content it reads to its end and which must have f.Size bytes. It returns where in the stream
// the content is. A content larger than MaxSize is kept no less: only its record is wrong.
func (s *Spool) Add(f File, content io.Reader) (int64, error) {
	need := HeaderSize(f.Path) + Padded(f.Size)
	if !s.packing && s.over == nil && !s.room.take(need) {
		if err := s.full(); err != nil {
			return 0, err
		}
	}
	off := s.end + HeaderSize(f.Path)
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

// full ends what is kept in memory as it is: the rest is packed, or goes elsewhere.
func (s *Spool) full() error {
	err := s.flush()
	switch {
	case err != nil:
	case s.room.Overflow == nil:
		s.packing, s.stored = true, (Front+s.plain+page-1)&^(page-1)
	default:
		s.split = s.plain
		s.over, err = s.room.Overflow()
	}
	return err
}

// at returns where a place of the stream is that is kept as it is.
func (s *Spool) at(off int64) (*os.File, int64) {
	if s.over != nil && off >= s.split {
		return s.over, off - s.split
	}
	return s.f, Front + off
}

// inMemory returns how much of the stream is kept in memory as it is.
func (s *Spool) inMemory() int64 {
	if s.over != nil {
		return s.split
	}
	return s.plain
}

// keep adds a file to what is kept as it is.
func (s *Spool) keep(f File, content io.Reader) error {
	if s.buf == nil {
		s.buf = make([]byte, 0, FrameSize)
	}
	if int64(cap(s.buf)-len(s.buf)) < HeaderSize(f.Path) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.buf = Header(s.buf, f)
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
	s.buf = pad(s.buf, f.Size)
	return nil
}

// pad appends what is missing to the next record behind a content of this size. A buffer that a record begins in, or has
// gone on in, has room for that: its capacity is a multiple of Align.
func pad(b []byte, size int64) []byte { return append(b, make([]byte, Padded(size)-size)...) }

// flush writes what is to be kept as it is. Zeros are holes in the file, which take no memory.
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

// write writes the next bytes that are kept as they are.
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
		return fmt.Errorf("cannot keep it %s: %w", where, err)
	}
	return nil
}

// zero says whether p is zeros: its first byte is, and each is equal to the next.
func zero(p []byte) bool { return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1]) }

// gather adds a small file to those that will be packed together.
func (s *Spool) gather(f File, content io.Reader, need int64) error {
	if int64(len(s.buf))+need > FrameSize {
		if err := s.pack(); err != nil {
			return err
		}
	}
	if int64(cap(s.buf)) < FrameSize+int64(len(trailer)) {
		s.buf = make([]byte, 0, FrameSize+len(trailer))
	}
	s.buf = Header(s.buf, f)
	n := len(s.buf)
	s.buf = s.buf[:n+int(f.Size)]
	if _, err := io.ReadFull(content, s.buf[n:]); err != nil {
		return err
	}
	s.buf = pad(s.buf, f.Size)
	s.records++
	return nil
}

// pack makes a frame of the files gathered.
func (s *Spool) pack() error {
	if s.records == 0 {
		return nil
	}
	length := int64(len(s.buf))
	var err error
	if s.packed, err = s.room.pack(s.packed[:0], append(s.buf, trailer...)); err != nil {
		return err
	}
	if err := s.room.grow(int64(len(s.packed))); err != nil {
		return err
	}
	if _, err := s.f.WriteAt(s.packed, s.stored); err != nil {
		return fmt.Errorf("cannot keep it in memory: %w", err)
	}
	// Its records end where the next one is about to begin.
	s.addFrame(Frame{Begin: s.end - length, End: s.end, Records: s.records, size: int64(len(s.packed))})
	s.buf, s.records = s.buf[:0], 0
	return nil
}

// addFrame notes the frame that was written last. Each begins with a page, for that to be given back with it.
func (s *Spool) addFrame(f Frame) {
	f.off = s.stored
	s.stored += (f.size + page - 1) &^ (page - 1)
	s.frames = append(s.frames, f)
}

// packLong makes a frame of one file.
func (s *Spool) packLong(f File, content io.Reader) error {
	if err := s.pack(); err != nil {
		return err
	}
	out := &fileWriter{f: s.f, off: s.stored, grow: s.room.grow}
	err := s.room.packLong(out, func(w io.Writer) error {
		if _, err := w.Write(Header(nil, f)); err != nil {
			return err
		}
		n, err := io.Copy(w, content)
		if err == nil && n != f.Size {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			_, err = w.Write(append(pad(nil, f.Size), trailer...))
		}
		return err
	})
	if err != nil {
		return err
	}
	s.addFrame(Frame{Begin: s.end, End: s.end + HeaderSize(f.Path) + Padded(f.Size), Records: 1, size: out.off - s.stored})
	return nil
}

// fileWriter writes at a place of a file.
type fileWriter struct {
	f    *os.File
	off  int64
	grow func(n int64) error
}

func (w *fileWriter) Write(p []byte) (int, error) {
	if err := w.grow(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := w.f.WriteAt(p, w.off)
	w.off += int64(n)
	if err != nil {
		err = fmt.Errorf("cannot keep it in memory: %w", err)
	}
	return n, err
}

// Seal ends adding.
func (s *Spool) Seal() error {
	var err error
	if s.packing {
		err = s.pack()
	} else if err = s.flush(); err == nil {
		err = s.f.Truncate(Front + s.inMemory()) // which may end in a hole
		if err == nil && s.over != nil {
			err = s.over.Truncate(s.plain - s.split)
		}
	}
	s.buf, s.packed = nil, nil
	return err
}

// Plain says whether all of it is in memory and nothing is packed.
func (s *Spool) Plain() bool { return !s.packing && s.over == nil }

// Stored returns how much memory the stream takes, in bytes.
func (s *Spool) Stored() int64 {
	n := s.inMemory()
	for _, f := range s.frames {
		n += f.size
	}
	return n
}

// Len returns the length of the stream.
func (s *Spool) Len() int64 { return s.end }

// Frame returns the frame that has what is at off in the stream. There is none where it is kept as it is.
func (s *Spool) Frame(off int64) (Frame, bool) {
	if off < s.plain {
		return Frame{}, false
	}
	return s.frames[s.frameAt(off)], true
}

// TakeFrame returns a frame as it is packed, which no cursor reads or gives back any more. done gives back its memory.
func (s *Spool) TakeFrame(f Frame) (r io.Reader, done func() error) {
	i := s.frameAt(f.Begin)
	s.frames[i].size = 0 // to cursors it holds nothing
	return io.NewSectionReader(s.f, f.off, f.size), func() error { return memory.GiveBack(s.f, f.off, f.off+f.size) }
}

// Take returns the file of a spool that is plain, for an archive to be made in its place: the stream begins at Front.
// Cursors go on reading, but do not give memory back, and Close does not close it.
func (s *Spool) Take() *os.File {
	s.taken = true
	return s.f
}

// Fill makes a part of the stream of a plain spool what the kernel passes over (see Filler), and gives its memory back;
// from may be below 0, in Front. It must be records, or empty, or have MinFiller bytes at least.
func (s *Spool) Fill(from, to int64) error {
	const most = 1 << 31 // what one record's size can say is a little less than twice this
	for from < to {
		size := to - from
		if size > most+MinFiller {
			size = most
		}
		head := Filler(nil, size)
		if _, err := s.f.WriteAt(head, Front+from); err != nil {
			return fmt.Errorf("cannot keep it in memory: %w", err)
		}
		if err := memory.GiveBack(s.f, Front+from+int64(len(head)), (Front+from+size)&^(page-1)); err != nil {
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
