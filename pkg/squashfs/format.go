package squashfs

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"
)

// Names and numbers are those of fs/squashfs/squashfs_fs.h. All numbers in an image are little-endian.
const (
	magic     = 0x73717368
	superSize = 96

	metadataSize = 8 << 10
	// A block that is stored as it is has this bit in its size: in a block list, and in the header of a metadata block.
	plainBlock    = 1 << 24
	plainMetadata = 1 << 15

	minBlock, maxBlock = 4 << 10, 1 << 20

	noFragment = math.MaxUint32
	noXattr    = math.MaxUint32
	noTable    = math.MaxUint64

	flagDuplicates = 1 << 6 // files with the same content share it
	flagNoXattrs   = 1 << 9

	// maxIDs is one less than a table could hold: the number in the superblock has 16 bits, and Linux takes no 0.
	maxIDs = math.MaxUint16
	// dirCount is how many entries can share a header.
	dirCount = 256
	// dirExtra is what a directory's size counts beside its entries: for "." and "..", which are not stored.
	dirExtra = 3
	// maxIndex is how many index entries a directory can have.
	maxIndex = math.MaxUint16

	// Linux takes no longer names and values: XATTR_NAME_MAX, XATTR_SIZE_MAX.
	maxXattrName, maxXattrValue = 255, 64 << 10
	// outOfLine marks an attribute whose value is elsewhere.
	outOfLine = 1 << 8
)

// Types of inodes. Each has an extended form, whose number is higher by extended.
const (
	typeDir = 1 + iota
	typeFile
	typeSymlink
	typeBlock
	typeChar
	typeFIFO
	typeSocket

	extended = typeSocket
)

// inodeType returns the type for a st_mode, 0 if there is none.
func inodeType(mode uint32) uint16 {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return typeDir
	case unix.S_IFREG:
		return typeFile
	case unix.S_IFLNK:
		return typeSymlink
	case unix.S_IFBLK:
		return typeBlock
	case unix.S_IFCHR:
		return typeChar
	case unix.S_IFIFO:
		return typeFIFO
	case unix.S_IFSOCK:
		return typeSocket
	}
	return 0
}

// deviceNumber encodes a device's number as new_encode_dev of include/linux/kdev_t.h does.
func deviceNumber(major, minor uint32) uint32 { return minor&0xff | major<<8 | minor&^0xff<<12 }

// seconds returns the nearest time that 32 bits can hold.
func seconds(t int64) uint32 { return uint32(min(max(t, 0), math.MaxUint32)) }

// superblock is the head of an image.
type superblock struct {
	inodes, time, blockSize, fragments                    uint32
	compression, flags, ids                               uint16
	root, size, idTable, xattrTable, inodeTable, dirTable uint64
	fragmentTable                                         uint64
}

func (s *superblock) bytes() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, superSize)
	for _, v := range []uint32{magic, s.inodes, s.time, s.blockSize, s.fragments} {
		b = le.AppendUint32(b, v)
	}
	log := uint16(0)
	for s.blockSize>>log > 1 {
		log++
	}
	for _, v := range []uint16{s.compression, log, s.flags, s.ids, 4, 0} {
		b = le.AppendUint16(b, v)
	}
	for _, v := range []uint64{
		s.root, s.size, s.idTable, s.xattrTable, s.inodeTable, s.dirTable, s.fragmentTable, noTable,
	} {
		b = le.AppendUint64(b, v)
	}
	return b
}
