//go:build amd64 || arm64

package kexec

import (
	"os"
	"unsafe"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// kexec_load copies each segment, page by page and one segment after the other (kernel/kexec_core.c,
// kimage_load_normal_segment). What it has copied is needed no more. So if memory becomes scarce, what was copied of a
// file in memory is given back. The kernel waits for that: it has to ask for each portion of the file, by a page fault
// (userfaultfd(2), minor faults, since Linux 5.14).
//
// Nothing is given back before that. The pages would be the next that the kernel allocates, and the place of the
// segments is chosen so that most destinations are pages in use, such as these: see usable.

// portion is how much of a file the kernel gets at a time.
const portion = 1 << 20

// mapping is a file that is mapped into memory.
type mapping struct {
	file  *os.File
	bytes []byte
}

// part is a part of a file that the kernel copies in one piece.
type part struct {
	from, to uintptr // where it is mapped
	file     *os.File
	offset   int64 // of from in the file
}

// spender gives files back while the kernel copies them.
type spender struct {
	faults *os.File      // the userfaultfd
	parts  []part        // no two of them overlap
	scarce func() bool   // whether something has to be given back
	last   part          // what the kernel has got last, and copies now; empty at first
	copied []part        // what it has copied before, and is still there
	done   chan struct{} // closed when no more faults are answered
	spent  bool          // whether something was given back
}

// Numbers of include/uapi/linux/userfaultfd.h.
const (
	uffdVersion      = 0xaa
	uffdMinorShmem   = 1 << 10 // UFFD_FEATURE_MINOR_SHMEM
	uffdModeMinor    = 1 << 2  // UFFDIO_REGISTER_MODE_MINOR
	uffdPagefault    = 0x12    // UFFD_EVENT_PAGEFAULT
	uffdioAPI        = 0xc018aa3f
	uffdioRegister   = 0xc020aa00
	uffdioContinue   = 0xc020aa07
	uffdMessage      = 32 // bytes of struct uffd_msg
	uffdFaultAddress = 16 // its offset in that
)

// newSpender returns the spender for what segments are made of. It is nil if nothing of that can be given back: not
// every kernel has such faults, and the files must be open for writing, and in memory.
func newSpender(segments kexec.Segments, files []mapping, scarce func() bool) *spender {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0)
	if errno != 0 {
		return nil
	}
	// Before this call poll(2) reports an error, which Go's poller would keep.
	ok := uffd(fd, uffdioAPI, []uint64{uffdVersion, uffdMinorShmem, 0})
	s := &spender{faults: os.NewFile(fd, "userfaultfd"), scarce: scarce, done: make(chan struct{})}
	for _, f := range files {
		at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(f.bytes))))
		size := wholePages(len(f.bytes))
		if ok && size > 0 && uffd(fd, uffdioRegister, []uint64{at, size, uffdModeMinor, 0}) {
			s.parts = append(s.parts, partsOf(segments, f)...)
		}
	}
	if len(s.parts) == 0 {
		s.faults.Close()
		return nil
	}
	go s.serve(fd)
	return s
}

// partsOf returns the parts of a file that are contents of segments.
func partsOf(segments kexec.Segments, f mapping) []part {
	var all []part
	base := uintptr(unsafe.Pointer(unsafe.SliceData(f.bytes)))
	for _, s := range segments {
		from := uintptr(unsafe.Pointer(unsafe.SliceData(s.Buf)))
		if len(s.Buf) > 0 && from >= base && from < base+uintptr(len(f.bytes)) {
			all = append(all, part{from, from + uintptr(len(s.Buf)), f.file, int64(from - base)})
		}
	}
	return all
}

// uffd makes an ioctl of a userfaultfd, and reports whether it succeeds. The kernel writes into arg.
func uffd(fd uintptr, request uintptr, arg []uint64) bool {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(unsafe.SliceData(arg))))
	return errno == 0
}

// serve answers the kernel's faults until the userfaultfd is closed. Then the kernel goes on without asking.
func (s *spender) serve(fd uintptr) {
	defer close(s.done)
	defer s.faults.Close()
	message := make([]byte, uffdMessage)
	for {
		n, err := s.faults.Read(message)
		if err != nil || n != len(message) {
			return
		}
		if message[0] != uffdPagefault {
			continue
		}
		if !s.answer(fd, uintptr(le.Uint64(message[uffdFaultAddress:]))) {
			return
		}
	}
}

// answer lets the kernel have the portion that begins with the page at an address. The kernel copies in order, so it
// has copied the portion before that. A portion ends with its part at the latest, because what is behind it is not
// copied next.
func (s *spender) answer(fd, address uintptr) bool {
	address &^= uintptr(os.Getpagesize()) - 1
	for _, p := range s.parts {
		if address < p.from || address >= p.to {
			continue
		}
		if s.last.file != nil {
			s.copied = append(s.copied, s.last)
		}
		if s.scarce() && !s.giveBack() {
			return false
		}
		s.last = part{address, min(p.to, address+portion), p.file, p.offset + int64(address-p.from)}
		arg := []uint64{uint64(address), wholePages(int(s.last.to - address)), 0, 0}
		// Where the file has a hole there is nothing to be had, and the kernel does without asking.
		return uffd(fd, uffdioContinue, arg) || int64(arg[3]) > 0
	}
	return false
}

// giveBack gives back what the kernel has copied.
func (s *spender) giveBack() bool {
	for _, p := range s.copied {
		s.spent = true
		if err := memory.GiveBack(p.file, p.offset, p.offset+int64(p.to-p.from)); err != nil {
			return false
		}
	}
	s.copied = nil
	return true
}

// end ends the giving back, after the kernel has copied everything, or has stopped before. It reports whether something
// of the files is gone.
func (s *spender) end(copied bool) bool {
	if s == nil {
		return false
	}
	s.faults.Close()
	<-s.done
	if copied {
		s.copied = s.parts
		s.giveBack()
	}
	return s.spent
}

// wholePages rounds up to whole pages.
func wholePages(n int) uint64 { return roundUp(uint64(n), uint64(os.Getpagesize())) }
