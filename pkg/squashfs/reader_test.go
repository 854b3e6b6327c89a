package squashfs_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
)

var le = binary.LittleEndian

// reader reads an image as fs/squashfs of Linux does, with the checks that the kernel makes of the order of tables.
type reader struct {
	b         []byte
	block     int64
	kind      uint16
	inodes    int64
	dirs      int64
	size      int64
	ids       []int64
	fragments []int64
	lists     int64
	xattrs    []int64
	tree      report.Tree
	seen      map[uint32]string // paths by the numbers of inodes
	count     int
	lookups   bool // each name is looked up by the index, too
	tails     bool // only the last blocks of files are read
}

// parse reads a whole image.
func parse(b []byte, lookups bool) (report.Tree, error) {
	return (&reader{b: b, lookups: lookups}).all()
}

func (r *reader) all() (_ report.Tree, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the image leads outside of itself: %v", p)
		}
	}()
	r.tree, r.seen = report.Tree{}, map[uint32]string{}
	root, inodes, err := r.super()
	if err != nil {
		return nil, err
	}
	if _, err := r.inode(".", root, 0); err != nil {
		return nil, err
	}
	if r.count != inodes {
		return nil, fmt.Errorf("there are %d inodes, the superblock says %d", r.count, inodes)
	}
	return r.tree, nil
}

func (r *reader) super() (root uint64, inodes int, err error) {
	b := r.b
	if string(b[:4]) != "hsqs" || le.Uint16(b[28:]) != 4 || le.Uint16(b[30:]) != 0 {
		return 0, 0, errors.New("it is no SquashFS 4.0")
	}
	inodes, r.block, r.kind = int(le.Uint32(b[4:])), int64(le.Uint32(b[12:])), le.Uint16(b[20:])
	if r.block != 1<<le.Uint16(b[22:]) {
		return 0, 0, errors.New("block size and its logarithm differ")
	}
	fragments, ids := int64(le.Uint32(b[16:])), int64(le.Uint16(b[26:]))
	root, r.size = le.Uint64(b[32:]), int64(le.Uint64(b[40:]))
	at := func(i int) int64 { return int64(le.Uint64(b[i:])) }
	idTable, xattrTable, fragmentTable := at(48), at(56), at(80)
	r.inodes, r.dirs = at(64), at(72)
	if r.size > int64(len(b)) || len(b)%4096 != 0 || int64(len(b))-r.size >= 4096 {
		return 0, 0, fmt.Errorf("a file of %d bytes has an image of %d", len(b), r.size)
	}
	end := r.size
	if xattrTable != -1 {
		r.lists = at(int(xattrTable))
		n := int64(le.Uint32(b[xattrTable+8:]))
		if r.xattrs, err = r.index(xattrTable+16, r.size, n*16); err != nil || n == 0 {
			return 0, 0, fmt.Errorf("xattr table of %d: %w", n, err)
		}
		if r.lists >= r.xattrs[0] {
			return 0, 0, errors.New("lists of attributes come after their table")
		}
		end = r.lists
	}
	if r.ids, err = r.index(idTable, end, ids*4); err != nil || ids == 0 {
		return 0, 0, fmt.Errorf("id table of %d: %w", ids, err)
	}
	end = r.ids[0]
	if fragments > 0 {
		if r.fragments, err = r.index(fragmentTable, end, fragments*16); err != nil {
			return 0, 0, fmt.Errorf("fragment table: %w", err)
		}
		end = r.fragments[0]
	}
	if r.dirs >= end || r.inodes >= r.dirs {
		return 0, 0, errors.New("tables of inodes and directories are not in order")
	}
	return root, inodes, nil
}

// index reads where the blocks of a table are. It must end exactly where the next table begins, and the blocks exactly
// where it begins.
func (r *reader) index(start, end, size int64) ([]int64, error) {
	n := (size + 8191) / 8192
	if start+n*8 != end {
		return nil, fmt.Errorf("%d entries from %d on do not end at %d", n, start, end)
	}
	var list []int64
	for i := range n {
		list = append(list, int64(le.Uint64(r.b[start+i*8:])))
	}
	for i, at := range list {
		next := start
		if i+1 < len(list) {
			next = list[i+1]
		}
		if at >= next || next-at > 8192+2 {
			return nil, fmt.Errorf("block %d is at %d, the next at %d", i, at, next)
		}
	}
	return list, nil
}

func (r *reader) unpack(b []byte, most int64) ([]byte, error) {
	var out []byte
	var err error
	if r.kind == 6 {
		var h zstd.Header
		if err := h.Decode(b); err != nil {
			return nil, err
		}
		if h.WindowSize > uint64(max(r.block, 8192)) {
			return nil, fmt.Errorf("the window has %d bytes", h.WindowSize)
		}
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1)); err == nil {
			defer d.Close()
			out, err = io.ReadAll(d)
		}
	} else {
		var d io.Reader
		if d, err = zlib.NewReader(bytes.NewReader(b)); err == nil {
			out, err = io.ReadAll(d)
		}
	}
	if err == nil && (int64(len(out)) > most || len(b) >= len(out)) {
		err = fmt.Errorf("a block of %d bytes is %d bytes compressed", len(out), len(b))
	}
	return out, err
}

// meta is a place in metadata blocks.
type meta struct {
	r     *reader
	block int64
	off   int
	data  []byte
	next  int64
}

func (r *reader) meta(block int64, off int) *meta { return &meta{r: r, block: block, off: off} }

func (m *meta) read(n int) ([]byte, error) {
	var out []byte
	for n > 0 {
		if m.data == nil {
			head := le.Uint16(m.r.b[m.block:])
			size := int64(head &^ 0x8000)
			raw := m.r.b[m.block+2 : m.block+2+size]
			if m.next = m.block + 2 + size; m.next > m.r.size {
				return nil, errors.New("a metadata block is behind the end")
			}
			if head&0x8000 == 0 {
				var err error
				if raw, err = m.r.unpack(raw, 8192); err != nil {
					return nil, err
				}
			}
			m.data = raw
		}
		if m.off >= len(m.data) {
			if len(m.data) != 8192 {
				return nil, io.ErrUnexpectedEOF
			}
			m.block, m.off, m.data = m.next, m.off-8192, nil
			continue
		}
		k := min(n, len(m.data)-m.off)
		out = append(out, m.data[m.off:m.off+k]...)
		m.off, n = m.off+k, n-k
	}
	return out, nil
}

func (r *reader) entry(list []int64, i, size int64) ([]byte, error) {
	return r.meta(list[i*size/8192], int(i*size%8192)).read(int(size))
}

func (r *reader) id(i uint16) (uint32, error) {
	b, err := r.entry(r.ids, int64(i), 4)
	if err != nil {
		return 0, err
	}
	return le.Uint32(b), nil
}

// inode reads an inode, and what is below it. It returns the inode's basic type.
func (r *reader) inode(name string, ref uint64, parent uint32) (uint16, error) {
	m := r.meta(r.inodes+int64(ref>>16), int(ref&0xffff))
	head, err := m.read(16)
	if err != nil {
		return 0, err
	}
	kind, number := le.Uint16(head), le.Uint32(head[12:])
	f := report.File{Mode: uint32(le.Uint16(head[2:])), ModTime: time.Unix(int64(le.Uint32(head[8:])), 0), Same: name}
	if f.UID, err = r.id(le.Uint16(head[4:])); err != nil {
		return 0, err
	}
	if f.GID, err = r.id(le.Uint16(head[6:])); err != nil {
		return 0, err
	}
	long := kind > 7
	if long {
		kind -= 7
	}
	if first, ok := r.seen[number]; ok {
		if kind == 1 {
			return 0, fmt.Errorf("the directory %q is %q", name, first)
		}
		f.Same = first
	} else {
		r.seen[number] = name
		r.count++
	}
	xattr := uint32(1<<32 - 1)
	f.Mode |= map[uint16]uint32{1: unix.S_IFDIR, 2: unix.S_IFREG, 3: unix.S_IFLNK, 4: unix.S_IFBLK, 5: unix.S_IFCHR,
		6: unix.S_IFIFO, 7: unix.S_IFSOCK}[kind]
	switch kind {
	case 1:
		xattr, err = r.dir(m, name, number, long)
	case 2:
		xattr, err = r.file(m, &f, long)
	default:
		if _, err = m.read(4); err != nil {
			return 0, err
		}
		var b []byte
		switch kind {
		case 3:
			if b, err = m.read(4); err == nil {
				b, err = m.read(int(le.Uint32(b)))
				f.Target = string(b)
			}
		case 4, 5:
			if b, err = m.read(4); err == nil {
				dev := le.Uint32(b) // new_decode_dev
				f.Major, f.Minor = dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
			}
		}
		if err == nil && long {
			if b, err = m.read(4); err == nil {
				xattr = le.Uint32(b)
			}
		}
	}
	if err == nil && xattr != 1<<32-1 {
		f.Xattrs, err = r.attributes(xattr)
	}
	if err != nil {
		return 0, fmt.Errorf("%q: %w", name, err)
	}
	r.tree[name] = f
	return kind, nil
}

func (r *reader) file(m *meta, f *report.File, long bool) (uint32, error) {
	xattr := uint32(1<<32 - 1)
	var start int64
	var fragment, at uint32
	if long {
		b, err := m.read(40)
		if err != nil {
			return 0, err
		}
		start, f.Size = int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
		fragment, at, xattr = le.Uint32(b[28:]), le.Uint32(b[32:]), le.Uint32(b[36:])
	} else {
		b, err := m.read(16)
		if err != nil {
			return 0, err
		}
		start, fragment, at, f.Size = int64(le.Uint32(b)), le.Uint32(b[4:]), le.Uint32(b[8:]), int64(le.Uint32(b[12:]))
	}
	blocks := f.Size / r.block
	if fragment == 1<<32-1 && f.Size%r.block > 0 {
		blocks++
	}
	h := report.NewSum()
	for left := f.Size; blocks > 0; blocks-- {
		b, err := m.read(4)
		if err != nil {
			return 0, err
		}
		size, want := le.Uint32(b), min(left, r.block)
		if n := int64(size &^ (1 << 24)); r.tails && left > r.block {
			start, left = start+n, left-want
			continue
		}
		data := make([]byte, want)
		if n := int64(size &^ (1 << 24)); n > 0 {
			if data, err = r.data(start, size); err != nil {
				return 0, err
			}
			start += n
		}
		if int64(len(data)) != want {
			return 0, fmt.Errorf("a block has %d bytes, want %d", len(data), want)
		}
		h.Write(data)
		left -= want
	}
	if fragment != 1<<32-1 {
		b, err := r.entry(r.fragments, int64(fragment), 16)
		if err != nil {
			return 0, err
		}
		data, err := r.data(int64(le.Uint64(b)), le.Uint32(b[8:]))
		if err != nil {
			return 0, err
		}
		h.Write(data[at : int64(at)+f.Size%r.block])
	}
	f.Sum = hex.EncodeToString(h.Sum(nil))
	return xattr, nil
}

// data reads a block of contents.
func (r *reader) data(start int64, size uint32) ([]byte, error) {
	n := int64(size &^ (1 << 24))
	if start < 96 || start+n > r.inodes || n > r.block {
		return nil, fmt.Errorf("a block of %d bytes at %d", n, start)
	}
	raw := r.b[start : start+n]
	if size&(1<<24) != 0 {
		return raw, nil
	}
	return r.unpack(raw, r.block)
}

func (r *reader) dir(m *meta, name string, number uint32, long bool) (uint32, error) {
	xattr := uint32(1<<32 - 1)
	var block int64
	var off, size, links, indexes int
	if long {
		b, err := m.read(24)
		if err != nil {
			return 0, err
		}
		links, size, block = int(le.Uint32(b)), int(le.Uint32(b[4:])), int64(le.Uint32(b[8:]))
		indexes, off, xattr = int(le.Uint16(b[16:])), int(le.Uint16(b[18:])), le.Uint32(b[20:])
	} else {
		b, err := m.read(16)
		if err != nil {
			return 0, err
		}
		block, links = int64(le.Uint32(b)), int(le.Uint32(b[4:]))
		size, off = int(le.Uint16(b[8:])), int(le.Uint16(b[10:]))
	}
	index, err := r.dirIndex(m, indexes)
	if err != nil {
		return 0, err
	}
	subdirs, last := 0, ""
	visit := func(base string, ref uint64, n uint32, kind uint16) (bool, error) {
		if base <= last {
			return false, fmt.Errorf("%q comes after %q", base, last)
		}
		last = base
		got, err := r.inode(path.Join(name, base), ref, number)
		if err == nil && got != kind {
			err = fmt.Errorf("%q has the type %d, its inode %d", base, kind, got)
		}
		if err == nil && r.seen[n] == "" {
			err = fmt.Errorf("%q has the number %d, which its inode has not", base, n)
		}
		if kind == 1 {
			subdirs++
		}
		if err == nil && r.lookups {
			err = r.lookup(index, block, off, size-3, base)
		}
		return false, err
	}
	err = r.entries(r.meta(r.dirs+block, off), 0, size-3, visit)
	if err == nil && links != subdirs+2 {
		err = fmt.Errorf("it has %d links and %d directories", links, subdirs)
	}
	return xattr, err
}

type indexEntry struct {
	at    int
	block int64
	name  string
}

func (r *reader) dirIndex(m *meta, n int) (list []indexEntry, err error) {
	for range n {
		b, err := m.read(12)
		if err != nil {
			return nil, err
		}
		name, err := m.read(int(le.Uint32(b[8:])) + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, indexEntry{int(le.Uint32(b)), int64(le.Uint32(b[4:])), string(name)})
	}
	return list, nil
}

// entries visits the entries of a directory from a place in it on.
func (r *reader) entries(m *meta, at, size int, visit func(string, uint64, uint32, uint16) (bool, error)) error {
	for at < size {
		head, err := m.read(12)
		if err != nil {
			return err
		}
		at += 12
		count := int(le.Uint32(head)) + 1
		if count > 256 {
			return fmt.Errorf("a header for %d entries", count)
		}
		for range count {
			b, err := m.read(8)
			if err != nil {
				return err
			}
			name, err := m.read(int(le.Uint16(b[6:])) + 1)
			if err != nil {
				return err
			}
			at += 8 + len(name)
			ref := uint64(le.Uint32(head[4:]))<<16 | uint64(le.Uint16(b))
			number := le.Uint32(head[8:]) + uint32(int32(int16(le.Uint16(b[2:]))))
			if stop, err := visit(string(name), ref, number, le.Uint16(b[4:])); stop || err != nil {
				return err
			}
		}
	}
	if at != size {
		return fmt.Errorf("entries of %d bytes end at %d", size, at)
	}
	return nil
}

// lookup finds a name by the index, as namei.c does.
func (r *reader) lookup(index []indexEntry, block int64, off, size int, name string) error {
	at := 0
	for _, e := range index {
		if e.name > name {
			break
		}
		at, block = e.at, e.block
	}
	steps, found := 0, false
	err := r.entries(r.meta(r.dirs+block, (at+off)%8192), at, size,
		func(base string, _ uint64, _ uint32, _ uint16) (bool, error) {
			steps++
			found = base == name
			return found, nil
		})
	if err == nil && !found {
		err = fmt.Errorf("the index does not lead to %q", name)
	}
	if err == nil && steps > 1000 {
		err = fmt.Errorf("%q is found after %d names", name, steps)
	}
	return err
}

func (r *reader) attributes(i uint32) (map[string]string, error) {
	b, err := r.entry(r.xattrs, int64(i), 16)
	if err != nil {
		return nil, err
	}
	ref, count := le.Uint64(b), le.Uint32(b[8:])
	m := r.meta(r.lists+int64(ref>>16), int(ref&0xffff))
	set := map[string]string{}
	for range count {
		head, err := m.read(4)
		if err != nil {
			return nil, err
		}
		name, err := m.read(int(le.Uint16(head[2:])))
		if err != nil {
			return nil, err
		}
		size, err := m.read(4)
		if err != nil {
			return nil, err
		}
		value, err := m.read(int(le.Uint32(size)))
		if err == nil && le.Uint16(head)&256 != 0 {
			ref := le.Uint64(value)
			o := r.meta(r.lists+int64(ref>>16), int(ref&0xffff))
			if size, err = o.read(4); err == nil {
				value, err = o.read(int(le.Uint32(size)))
			}
		}
		if err != nil {
			return nil, err
		}
		prefix := []string{"user.", "trusted.", "security."}[le.Uint16(head)&0xff]
		set[prefix+string(name)] = string(value)
	}
	return set, nil
}
