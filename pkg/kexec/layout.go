package kexec

import (
	"encoding/binary"

	"github.com/u-root/u-root/pkg/boot/kexec"
)

var le = binary.LittleEndian

// maxSegments is KEXEC_SEGMENT_MAX of include/uapi/linux/kexec.h.
const maxSegments = 16

// newSegment puts content at an address, with zeros behind it up to room.
func newSegment(at, room uint64, content []byte) kexec.Segment {
	return kexec.NewSegment(content, kexec.Range{Start: uintptr(at), Size: uint(room)})
}
