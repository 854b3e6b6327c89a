package kexec

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pages are the pages of a file in memory, which are mapped and locked, so that they stay in their frames.
//
// A locked page is not swapped out, but the kernel may still move it to another frame: to make room for a large
// allocation (mm/compaction.c, isolate_migratepages_block), unless the sysctl vm.compact_unevictable_allowed is 0; and,
// seldom, for other ends (memory that is taken out, the contiguous memory allocator). So the frames are read again
// after the load and right before the jump: see Held.
type pages struct {
	bytes   []byte
	extents []run    // the pages that the file has; the others are holes
	frames  []uint64 // the frame of each page, or hole
}

const compaction = "/proc/sys/vm/compact_unevictable_allowed"

// hold maps and locks the pages of a file. They stay as they are if the file is closed.
func hold(f *os.File) (*pages, error) {
	p := &pages{}
	if f == nil || size(f) == 0 {
		return p, nil
	}
	var err error
	if p.bytes, err = mapped(f); err != nil {
		return nil, err
	}
	if p.extents, err = extents(f, len(p.bytes)); err == nil {
		p.frames = slices.Repeat([]uint64{hole}, int(wholePages(len(p.bytes))/frameSize))
		err = p.lock()
	}
	if err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// extents returns which pages of a file are there: lseek(2), SEEK_DATA. To touch a hole would fill it.
func extents(f *os.File, size int) ([]run, error) {
	var all []run
	for at := int64(0); at < int64(size); {
		from, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		if err != nil {
			return nil, err
		}
		if at, err = f.Seek(from, unix.SEEK_HOLE); err != nil {
			return nil, err
		}
		all = append(all, run{int(from / frameSize), int(wholePages(int(at)) / frameSize)})
	}
	return all, nil
}

// lock locks the pages, and by that brings each of them into memory.
func (p *pages) lock() error {
	for _, e := range p.extents {
		b := p.bytes[e.from*frameSize : min(e.to*frameSize, len(p.bytes))]
		if err := unix.Mlock(b); err != nil {
			return fmt.Errorf("cannot lock the container's files in memory: %w", err)
		}
	}
	return nil
}

// read reads in which frames the pages are, and reports whether one is elsewhere than it was:
// Documentation/admin-guide/mm/pagemap.rst. The kernel tells that to a process with CAP_SYS_ADMIN.
func (p *pages) read(pagemap *os.File) (changed bool, err error) {
	const present, number = 1 << 63, 1<<55 - 1
	base := int(uintptr(unsafe.Pointer(unsafe.SliceData(p.bytes)))) / frameSize
	buf := make([]byte, 64<<10)
	for _, e := range p.extents {
		for at := e.from; at < e.to; {
			part := buf[:min(len(buf), (e.to-at)*8)]
			if _, err := pagemap.ReadAt(part, int64(base+at)*8); err != nil {
				return false, err
			}
			for ; len(part) > 0; part = part[8:] {
				entry := le.Uint64(part)
				if entry&present == 0 || entry&number == 0 {
					return false, errors.New("this kernel does not say where this program's pages are")
				}
				changed = changed || p.frames[at] != entry&number
				p.frames[at] = entry & number
				at++
			}
		}
	}
	runtime.KeepAlive(p.bytes)
	return changed, nil
}

// release unlocks and unmaps the pages.
func (p *pages) release() {
	if p != nil && p.bytes != nil {
		unix.Munmap(p.bytes)
		p.bytes = nil
	}
}

// wholePages rounds up to whole pages.
func wholePages(n int) uint64 { return roundUp(uint64(n), frameSize) }
