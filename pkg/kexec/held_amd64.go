package kexec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// Held is a loaded kernel whose contents lie in pages of this process: see Hold.
type Held struct {
	kernel, initrd, image *pages
	cmdline               string
	pagemap               *os.File
}

// holdKernel loads a kernel without a copy of what it is given.
func holdKernel(kernel, initrd, image *os.File, cmdline string) (_ *Held, err error) {
	if err := canHold(); err != nil {
		return nil, err
	}
	h := &Held{cmdline: cmdline}
	defer func() {
		if err != nil {
			h.release()
		}
	}()
	// The kernel may not have this file: then it moves no pages for large allocations.
	if err := os.WriteFile(compaction, []byte("0"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot keep this program's pages where they are: %w", err)
	}
	if h.pagemap, err = os.Open(pagemap); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		from *os.File
		to   **pages
	}{{kernel, &h.kernel}, {initrd, &h.initrd}, {image, &h.image}} {
		if *f.to, err = hold(f.from); err != nil {
			return nil, err
		}
	}
	if _, err := h.read(); err != nil {
		return nil, err
	}
	return h, h.load()
}

const pagemap = "/proc/self/pagemap"

// canHold returns why a kernel cannot be loaded without a copy on this machine; nil if it seems that it can.
func canHold() error {
	if !segmentsAllowed() {
		return errors.New("this kernel is locked down, as under Secure Boot, or has no kexec_load")
	}
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	if what := encryption(cpuinfo); what != "" && !plain(kernelLog()) {
		return fmt.Errorf("this machine's memory may be encrypted (%s)", what)
	}
	f, err := os.Open(pagemap)
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, frameSize)
	page[0] = 1 // it is there now
	p := &pages{bytes: page, extents: []run{{0, 1}}, frames: make([]uint64, 1)}
	_, err = p.read(f)
	return err
}

// encryption returns by what the machine's memory may be encrypted, as its processors tell. Then page tables have a bit
// for that, which ours do not have: arch/x86/mm/mem_encrypt*.c, arch/x86/coco. The flags only say that the firmware
// allows it; plain says whether the kernel does it.
func encryption(cpuinfo []byte) string {
	for line := range bytes.Lines(cpuinfo) {
		if !bytes.HasPrefix(line, []byte("flags")) {
			continue
		}
		for flag := range bytes.FieldsSeq(line) {
			switch string(flag) {
			case "sme", "sev", "sev_es", "sev_snp", "tdx_guest":
				return string(flag)
			}
		}
		return ""
	}
	return ""
}

// plain reports whether the kernel's log shows that it encrypts no memory. Nothing else tells. The log must have its
// first line still, and none about encryption: mem_encrypt_init in arch/x86/mm/mem_encrypt.c, which had other words
// before Linux 5.8.
func plain(log []byte) bool {
	return bytes.Contains(log, []byte("Linux version ")) && !bytes.Contains(log, []byte("Memory Encryption")) &&
		!bytes.Contains(log, []byte("Encrypted Virtualization"))
}

// kernelLog returns what the kernel still has of its log, or nothing if it does not give it.
func kernelLog() []byte {
	size, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil)
	if err != nil {
		return nil
	}
	log := make([]byte, size)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, log)
	if err != nil {
		return nil
	}
	return log[:n]
}

// read reads in which frames everything is, and reports whether a part of it is elsewhere than it was.
func (h *Held) read() (changed bool, err error) {
	for _, p := range []*pages{h.kernel, h.initrd, h.image} {
		now, err := p.read(h.pagemap)
		if err != nil {
			return false, err
		}
		changed = changed || now
	}
	return changed, nil
}

// load loads the moves. Afterwards, everything is where they take it from.
func (h *Held) load() error {
	const most = 5 // nothing moves pages that often
	for range most {
		m, err := readMachine("/")
		if err != nil {
			return err
		}
		entry, segments, err := m.hold(h)
		if err != nil {
			return err
		}
		if err := submit(entry, segments); err != nil {
			return err
		}
		if changed, err := h.read(); err != nil || !changed {
			return err
		}
	}
	return errors.New("the running kernel does not leave this program's pages where they are")
}

// Jump starts the kernel at once. It syncs file systems first; it tells no process. It returns only on failure.
func (h *Held) Jump() error {
	unix.Sync()
	changed, err := h.read()
	if err == nil && changed {
		err = h.load()
	}
	if err != nil {
		return err
	}
	return kexec.Reboot()
}

// Close makes the running kernel forget the kernel, and frees the memory.
func (h *Held) Close() error {
	err := Unload()
	h.release()
	return err
}

func (h *Held) release() {
	h.pagemap.Close()
	for _, p := range []*pages{h.kernel, h.initrd, h.image} {
		p.release()
	}
}

// hold lays out the moves that bring everything to its place, and returns the address that the running kernel has to
// jump to.
func (m *machine) hold(h *Held) (uintptr, kexec.Segments, error) {
	n := next{kernel: h.kernel.bytes, initrd: h.initrd.bytes, image: h.image.bytes, cmdline: h.cmdline}
	k, err := parseKernel(n.kernel)
	if err != nil {
		return 0, nil, err
	}
	// The kernel's file begins with code that is not needed, and is not a number of pages. The whole file comes to the
	// kernel's place, and the rest of it is shifted then.
	if wholePages(len(n.kernel)) > k.room {
		return 0, nil, errors.New("a bzImage whose file is larger than its room")
	}
	free := spaces(m.ram)
	at, ok := free.find(k, n)
	if !ok {
		return 0, nil, noRoom(n)
	}
	contents := []content{
		{at.kernel.from / frameSize, h.kernel.frames},
		{at.initrd.from / frameSize, h.initrd.frames},
	}
	if len(n.image) > 0 {
		room := int((at.image.to - at.image.from) / frameSize)
		rest := slices.Repeat([]uint64{hole}, room-len(h.image.frames))
		contents = append(contents, content{at.image.to/frameSize - uint64(len(rest)), rest},
			content{at.image.from / frameSize, h.image.frames})
	}
	moves, err := plan(contents)
	if err != nil {
		return 0, nil, err
	}
	reach := m.reach()
	if !inside(moves, reach) {
		return 0, nil, errors.New("this program has pages where the firmware lists no memory")
	}
	free = free.without(contents)
	var p purgatory
	if at.block, ok = free.take(m.blockSize(n), frameSize); !ok {
		return 0, nil, errNoPurgatory
	}
	if p.tables, ok = free.take(tablesSize(reach)+frameSize, frameSize); !ok {
		return 0, nil, errNoPurgatory
	}
	if p.list, ok = free.takeParts(uint64(len(moves)), maxSegments-2); !ok {
		return 0, nil, errNoPurgatory
	}
	spareAt := p.tables.to - frameSize
	before := switchTables(p.tables.from)
	before = append(before, mover(p.list[0].from, shift{
		from: at.kernel.from + uint64(len(n.kernel)-len(k.code)), to: at.kernel.from, size: uint64(len(k.code)),
	})...)
	b, start := m.block(k, n, at, before)
	return start, append(p.segments(moves, spareAt),
		newSegment(b.at, roundUp(uint64(len(b.bytes)), frameSize), b.bytes),
		newSegment(p.tables.from, p.tables.to-p.tables.from, tables(p.tables.from, reach)),
	), nil
}

// spaces are places of which it does not matter whether they are in use.
func spaces(ram []span) usable {
	var all usable
	for _, s := range ram {
		all = append(all, place{span: s, page: memory.Page})
	}
	return all
}

// without returns what is left of places if the frames that contents lie in are taken out.
func (u *usable) without(contents []content) usable {
	var held []span
	for _, c := range contents {
		for _, f := range c.from {
			at := f * frameSize
			if n := len(held); n > 0 && held[n-1].to == at {
				held[n-1].to += frameSize
			} else if f != hole {
				held = append(held, span{at, at + frameSize})
			}
		}
	}
	held = union(held)
	var all []span
	for _, p := range *u { // which are in order
		at := p.from
		for len(held) > 0 && held[0].to <= at {
			held = held[1:]
		}
		for len(held) > 0 && held[0].from < p.to {
			if held[0].from > at {
				all = append(all, span{at, held[0].from})
			}
			if at = held[0].to; at >= p.to {
				break
			}
			held = held[1:]
		}
		if at < p.to {
			all = append(all, span{at, p.to})
		}
	}
	return spaces(all)
}
