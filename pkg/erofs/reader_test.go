package erofs_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
)

const blockSize = 4096

var le = binary.LittleEndian

// reader reads an image as fs/erofs of Linux does, and refuses what that would not take. It shares nothing with the
// writer.
type reader struct {
	b            []byte
	meta, xattrs int64
	chunked      bool
	names        map[uint64][]string // of each inode but directories
	links        map[uint64]uint32
	skip         func(path string) bool // contents that are not read
}

// parse reads an image into the description of a tree.
func parse(b []byte, skip func(path string) bool) (tree report.Tree, err error) {
	defer func() { // a place that is not in the image
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if len(b)%blockSize != 0 {
		return nil, fmt.Errorf("the image has %d bytes", len(b))
	}
	super := bytes.Clone(b[1024:blockSize])
	sum := le.Uint32(super[4:])
	clear(super[4:8])
	switch {
	case le.Uint32(super) != 0xe0f5e1e2 || super[12] != 12:
		return nil, errors.New("there is no superblock")
	case sum != ^crc32.Checksum(super, crc32.MakeTable(crc32.Castagnoli)):
		return nil, errors.New("the superblock has another checksum")
	case int64(le.Uint32(super[36:]))*blockSize != int64(len(b)):
		return nil, fmt.Errorf("the image has %d bytes and says %d blocks", len(b), le.Uint32(super[36:]))
	case le.Uint32(super[80:])&^4 != 0:
		return nil, fmt.Errorf("the image needs the features %#x", le.Uint32(super[80:]))
	}
	r := &reader{b: b, meta: int64(le.Uint32(super[40:])) * blockSize, xattrs: int64(le.Uint32(super[44:])) * blockSize,
		chunked: le.Uint32(super[80:]) == 4, names: map[uint64][]string{}, links: map[uint64]uint32{}, skip: skip}
	tree = report.Tree{}
	root := uint64(le.Uint16(super[14:]))
	if root == 0 {
		return nil, errors.New("the root has the number 0, which programs take for none")
	}
	dirs, err := r.dir(tree, ".", root, root)
	if err != nil {
		return nil, err
	}
	for number, names := range r.names {
		if int(r.links[number]) != len(names) {
			return nil, fmt.Errorf("%q says it has %d names", names, r.links[number])
		}
	}
	if n := uint64(len(r.names) + dirs); n != le.Uint64(super[16:]) {
		return nil, fmt.Errorf("there are %d inodes and the image says %d", n, le.Uint64(super[16:]))
	}
	return tree, nil
}

// inode is an inode, with the place of what follows it.
type inode struct {
	report.File
	layout uint16
	size   int64
	field  uint32
	links  uint32
	behind int64
}

func (r *reader) inode(number uint64) (inode, error) {
	at := r.meta + int64(number)*32
	if at/blockSize != (at+63)/blockSize {
		return inode{}, errors.New("it is in two blocks")
	}
	b := r.b[at : at+64]
	format := le.Uint16(b)
	if format&1 == 0 || format>>4 != 0 {
		return inode{}, fmt.Errorf("its format is %#x", format)
	}
	n := inode{layout: format >> 1, size: int64(le.Uint64(b[8:])), field: le.Uint32(b[16:]), links: le.Uint32(b[44:])}
	n.Mode, n.UID, n.GID = uint32(le.Uint16(b[4:])), le.Uint32(b[24:]), le.Uint32(b[28:])
	n.ModTime = time.Unix(int64(le.Uint64(b[32:])), int64(le.Uint32(b[40:])))
	n.behind = at + 64
	if count := int64(le.Uint16(b[2:])); count > 0 {
		size := 12 + 4*(count-1)
		ids := r.b[n.behind : n.behind+size]
		n.behind += size
		if int64(ids[4]) != count-1 {
			return n, errors.New("it has attributes of its own")
		}
		n.Xattrs = map[string]string{}
		for ids = ids[12:]; len(ids) > 0; ids = ids[4:] {
			entry := r.b[r.xattrs+4*int64(le.Uint32(ids)):]
			prefix := map[byte]string{1: "user.", 2: "system.posix_acl_access", 3: "system.posix_acl_default",
				4: "trusted.", 6: "security."}[entry[1]]
			name, value := 4+int(entry[0]), int(le.Uint16(entry[2:]))
			n.Xattrs[prefix+string(entry[4:name])] = string(entry[name : name+value])
		}
	}
	return n, nil
}

// data returns the bytes of an inode.
func (r *reader) data(n inode) ([]byte, error) {
	start := int64(n.field) * blockSize
	switch n.layout {
	case 0:
		tail := r.b[start+n.size : start+(n.size+blockSize-1)&^(blockSize-1)]
		if n.size > 0 && len(bytes.Trim(tail, "\x00")) > 0 {
			return nil, errors.New("bytes behind its end would be seen by mmap")
		}
		return r.b[start : start+n.size], nil
	case 2:
		full := n.size &^ (blockSize - 1)
		tail := n.size - full
		if n.behind/blockSize != (n.behind+tail-1)/blockSize && tail > 0 {
			return nil, errors.New("its tail is in two blocks")
		}
		return append(bytes.Clone(r.b[start:start+full]), r.b[n.behind:n.behind+tail]...), nil
	case 4:
		if !r.chunked || n.field>>5 != 0 {
			return nil, fmt.Errorf("it has chunks of the format %#x", n.field)
		}
		all, grid := make([]byte, n.size), int64(blockSize)<<n.field
		for i := int64(0); i*grid < n.size; i++ {
			if at := le.Uint32(r.b[n.behind+4*i:]); at != 1<<32-1 {
				copy(all[i*grid:min((i+1)*grid, n.size)], r.b[int64(at)*blockSize:])
			}
		}
		return all, nil
	}
	return nil, fmt.Errorf("its layout is %d", n.layout)
}

// dir reads a directory and all below it, and returns how many directories these are.
func (r *reader) dir(tree report.Tree, at string, number, parent uint64) (dirs int, err error) {
	n, err := r.inode(number)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", at, err)
	}
	data, err := r.data(n)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", at, err)
	}
	n.Same = at
	tree[at] = n.File
	dirs, links, last := 1, uint32(2), ""
	for ; len(data) > 0; data = data[min(blockSize, len(data)):] {
		block := data[:min(blockSize, len(data))]
		for _, e := range entries(block) {
			if e.name <= last || e.name == "" {
				return 0, fmt.Errorf("%s: %q comes behind %q", at, e.name, last)
			}
			last = e.name
			switch {
			case e.name == "." || e.name == "..":
				if want := map[string]uint64{".": number, "..": parent}[e.name]; e.number != want || e.kind != 2 {
					return 0, fmt.Errorf("%s: %s is %d", at, e.name, e.number)
				}
				continue
			case e.kind == 2:
				links++
				below, err := r.dir(tree, path.Join(at, e.name), e.number, number)
				if err != nil {
					return 0, err
				}
				dirs += below
			default:
				if err := r.file(tree, path.Join(at, e.name), e); err != nil {
					return 0, fmt.Errorf("%s: %w", path.Join(at, e.name), err)
				}
			}
		}
	}
	if links != n.links {
		return 0, fmt.Errorf("%s has %d links, want %d", at, n.links, links)
	}
	return dirs, nil
}

type entry struct {
	number uint64
	kind   byte
	name   string
}

// entries returns the entries of a block of a directory.
func entries(block []byte) []entry {
	count := int(le.Uint16(block[8:])) / 12
	var all []entry
	for i := range count {
		b := block[12*i:]
		from, to := int(le.Uint16(b[8:])), len(block)
		if i+1 < count {
			to = int(le.Uint16(b[20:]))
		}
		name := block[from:to]
		if i+1 == count {
			name, _, _ = bytes.Cut(name, []byte{0})
		}
		all = append(all, entry{le.Uint64(b), b[10], string(name)})
	}
	return all
}

// file reads anything but a directory.
func (r *reader) file(tree report.Tree, at string, e entry) error {
	n, err := r.inode(e.number)
	if err != nil {
		return err
	}
	r.names[e.number], r.links[e.number] = append(r.names[e.number], at), n.links
	n.Same = r.names[e.number][0]
	kinds := map[uint32]byte{unix.S_IFREG: 1, unix.S_IFCHR: 3, unix.S_IFBLK: 4, unix.S_IFIFO: 5, unix.S_IFSOCK: 6,
		unix.S_IFLNK: 7}
	if kinds[n.Mode&unix.S_IFMT] != e.kind {
		return fmt.Errorf("its type is %d, and its mode %o", e.kind, n.Mode)
	}
	switch n.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		n.Size = n.size
		if r.skip != nil && r.skip(at) {
			break
		}
		data, err := r.data(n)
		if err != nil {
			return err
		}
		n.Sum = report.Sum(data)
	case unix.S_IFLNK:
		data, err := r.data(n)
		if err != nil {
			return err
		}
		n.Target = string(data)
	case unix.S_IFCHR, unix.S_IFBLK:
		n.Major, n.Minor = n.field>>8&0xfff, n.field&0xff|n.field>>12&0xfff00
	}
	tree[at] = n.File
	return nil
}
