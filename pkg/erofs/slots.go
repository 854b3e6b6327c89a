package erofs

// slots are the blocks that inodes are in. Each inode is in one block, with what follows it, unless it is larger.
type slots struct {
	write func(b []byte, at int64) error // at a place in the slots
	end   int64
	open  []*slotted
}

// slotted is a block of inodes that has room.
type slotted struct {
	at   int64
	data []byte
}

// maxOpen is how many blocks wait for an inode that fits.
const maxOpen = 16

// put adds an inode, and returns its place.
func (s *slots) put(inode []byte) (at int64, err error) {
	size := (len(inode) + slot - 1) &^ (slot - 1)
	if size > block {
		at = s.end
		s.end += pages(int64(size))
		return at, s.write(padded(inode), at)
	}
	var best *slotted
	for _, o := range s.open {
		if len(o.data)+size <= block && (best == nil || len(o.data) > len(best.data)) {
			best = o
		}
	}
	if best == nil {
		if best, err = s.begin(); err != nil {
			return 0, err
		}
	}
	at = best.at + int64(len(best.data))
	best.data = append(append(best.data, inode...), make([]byte, size-len(inode))...)
	return at, nil
}

// begin begins a block. If too many wait, it ends the fullest.
func (s *slots) begin() (*slotted, error) {
	fullest := 0
	for i, o := range s.open {
		if len(o.data) > len(s.open[fullest].data) {
			fullest = i
		}
	}
	b := &slotted{s.end, make([]byte, 0, block)}
	s.end += block
	if len(s.open) < maxOpen {
		s.open = append(s.open, b)
		return b, nil
	}
	o := s.open[fullest]
	s.open[fullest] = b
	return b, s.write(padded(o.data), o.at)
}

// finish writes the blocks that wait.
func (s *slots) finish() error {
	for _, o := range s.open {
		if err := s.write(padded(o.data), o.at); err != nil {
			return err
		}
	}
	s.open = nil
	return nil
}

// padded makes bytes whole blocks.
func padded(b []byte) []byte {
	return append(b, make([]byte, pages(int64(len(b)))-int64(len(b)))...)
}
