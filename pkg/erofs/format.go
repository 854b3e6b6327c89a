package erofs

import (
	"encoding/binary"
	"hash/crc32"

	"golang.org/x/sys/unix"
)

// The form of an image: fs/erofs/erofs_fs.h.
const (
	block = 4 << 10 // the only size that Linux takes before 6.4

	magic       = 0xe0f5e1e2
	superOffset = 1 << 10
	superSize   = 128
	inodeSize   = 64
	slot        = 32 // inodes begin at multiples of that, and are numbered by them
	direntSize  = 12

	layoutPlain  = 0
	layoutInline = 2
	layoutChunks = 4
	extended     = 1 // the form of an inode, beside its layout
	layoutShift  = 1

	compatChecksum  = 1 << 0
	compatMTime     = 1 << 1
	incompatChunked = 1 << 2
	nowhere         = 0xffffffff // the place of a chunk of zeros
	maxXattrs       = 255        // of a file, because they are all in the table of those that files share
	maxXattrValue   = 1<<16 - 1
	maxXattrName    = 255
	xattrHead       = 12
)

// fileType returns the type of a file as directories say it, 0 for an unknown one: include/linux/fs_types.h.
func fileType(mode uint32) uint8 {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return 1
	case unix.S_IFDIR:
		return 2
	case unix.S_IFCHR:
		return 3
	case unix.S_IFBLK:
		return 4
	case unix.S_IFIFO:
		return 5
	case unix.S_IFSOCK:
		return 6
	case unix.S_IFLNK:
		return 7
	}
	return 0
}

// deviceNumber encodes a device's number as new_encode_dev of include/linux/kdev_t.h does.
func deviceNumber(major, minor uint32) uint32 { return minor&0xff | major<<8 | minor&^0xff<<12 }

// superblock is the head of an image. Places are in blocks.
type superblock struct {
	root         uint16
	inodes       uint64
	made         int64
	blocks       uint32
	meta, xattrs uint32
	chunked      bool
}

// bytes returns the first block of the image.
func (s *superblock) bytes() []byte {
	le := binary.LittleEndian
	b := make([]byte, block)
	h := b[superOffset:]
	le.PutUint32(h, magic)
	le.PutUint32(h[8:], compatChecksum|compatMTime)
	h[12] = 12 // a block is 1 << 12 bytes
	le.PutUint16(h[14:], s.root)
	le.PutUint64(h[16:], s.inodes)
	le.PutUint64(h[24:], uint64(s.made))
	le.PutUint32(h[36:], s.blocks)
	le.PutUint32(h[40:], s.meta)
	le.PutUint32(h[44:], s.xattrs)
	if s.chunked {
		le.PutUint32(h[80:], incompatChunked)
	}
	// Linux inverts neither the beginning nor the end: erofs_superblock_csum_verify in fs/erofs/super.c.
	le.PutUint32(h[4:], ^crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	return b
}
