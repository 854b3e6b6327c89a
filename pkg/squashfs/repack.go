package squashfs

import "context"

// repack moves small contents out of fragments in which upper layers have replaced much. The new fragments are at the
// end of the layer; the old ones become gaps. Contents are in the order of their fragments, so the memory of a fragment
// is given back as soon as one of the next is moved.
func (l *Layer) repack(ctx context.Context) error {
	old := len(l.frags)
	c := l.newCursor()
	last := int32(none)
	for i := range l.contents {
		file := &l.contents[i]
		if !file.live || file.fragment == none || !l.frags[file.fragment].worn() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if last != none && last != file.fragment {
			f := &l.frags[last]
			if err := l.release(f.start, f.start+f.size); err != nil {
				return err
			}
		}
		last = file.fragment
		raw, err := l.room(file.size)
		if err != nil {
			return err
		}
		if _, err := c.read(raw, file, 0); err != nil {
			return err
		}
		file.where = l.use(raw)
	}
	if err := l.Seal(); err != nil {
		return err
	}
	for i := range l.frags {
		f := &l.frags[i]
		if i >= old {
			f.live, f.used = true, f.raw
		} else if f.worn() {
			f.live = false
		}
	}
	for i := range l.contents {
		file := &l.contents[i]
		file.where = l.contents[file.first].where
	}
	return nil
}

// worn reports whether an eighth of a fragment, or more, is not in the image.
func (f *fragment) worn() bool { return f.live && f.raw-f.used >= max(f.raw/8, 1) }
