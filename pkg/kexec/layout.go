package kexec

import (
	"encoding/binary"

	"github.com/u-root/u-root/pkg/boot/kexec"
)

var le = binary.LittleEndian

// maxSegments is KEXEC_SEGMENT_MAX of include/uapi/linux/kexec.h.
const maxSegments = 16

// next is what is to be started. image is empty if there is none.
type next struct {
	kernel, initrd, image []byte
	cmdline               string
}

// newSegment puts content at an address, with zeros behind it up to room.
func newSegment(at, room uint64, content []byte) kexec.Segment {
	return kexec.NewSegment(content, kexec.Range{Start: uintptr(at), Size: uint(room)})
}

// segments cuts content, which is to lie from the beginning of p on, into at most most segments.
func (p place) segments(content []byte, most int) kexec.Segments {
	var all kexec.Segments
	size := uint64(len(content))
	for _, s := range p.stretches(most) {
		from, to := min(s.from-p.from, size), min(s.to-p.from, size)
		all = append(all, newSegment(s.from, s.to-s.from, content[from:to]))
	}
	return all
}
