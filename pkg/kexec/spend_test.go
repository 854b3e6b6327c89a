//go:build amd64 || arm64

package kexec

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// pages returns how many bytes of memory a file has.
func pages(t *testing.T, f *os.File) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// inMemory makes a file in memory with a content of that many bytes, and maps it.
func inMemory(t *testing.T, size int, first byte) (mapping, []byte) {
	t.Helper()
	content := make([]byte, size)
	for i := range content {
		content[i] = first + byte(i>>12*31) + byte(i)
	}
	f, err := memory.File("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	return mapFile(t, f), content
}

func mapFile(t *testing.T, f *os.File) mapping {
	t.Helper()
	b, err := mapped(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return mapping{f, b}
}

// spending returns a spender. It skips the test where the kernel offers none.
func spending(t *testing.T, segments kexec.Segments, files []mapping, scarce func() bool) *spender {
	t.Helper()
	s := newSpender(segments, files, scarce)
	if s == nil {
		t.Skip("this kernel has no minor faults of userfaultfd(2), or not for this user: nothing is given back")
	}
	return s
}

// segmentsOf cuts files into segments, and puts them into an order that is not that of their contents.
func segmentsOf(files ...mapping) kexec.Segments {
	var all kexec.Segments
	for _, f := range files {
		third := len(f.bytes) / 3 &^ (memory.Page - 1)
		all = append(all, newSegment(0, 0, f.bytes[third:2*third]), newSegment(0, 0, f.bytes[2*third:]),
			newSegment(0, 0, f.bytes[:third]))
	}
	return all
}

// TestSpend has the kernel copy what segments are made of, in the way of kexec_load: by write(2), in order. It gets
// everything, and never is more than a portion of a file there when the kernel has copied it.
func TestSpend(t *testing.T) {
	image, wantImage := inMemory(t, 10*portion+1234, 1)
	initrd, wantInitrd := inMemory(t, 3*portion/2, 2)
	segments := segmentsOf(image, initrd)
	s := spending(t, segments, []mapping{image, initrd}, always)
	var got []byte
	for _, segment := range segments {
		to, err := memory.File("copy")
		if err != nil {
			t.Fatal(err)
		}
		// One piece after the other, because write(2) looks at the next pages before it copies one.
		for at := 0; at < len(segment.Buf); at += memory.Page {
			piece := segment.Buf[at:min(at+memory.Page, len(segment.Buf))]
			if _, err := unix.Write(int(to.Fd()), piece); err != nil {
				t.Fatal(err)
			}
		}
		copied := make([]byte, len(segment.Buf))
		if _, err := to.ReadAt(copied, 0); err != nil {
			t.Fatal(err)
		}
		got = append(got, copied...)
		to.Close()
		all := int64(wholePages(len(wantImage)) + wholePages(len(wantInitrd)))
		left := pages(t, image.file) + pages(t, initrd.file)
		if most := all - int64(len(got)) + portion + 2*memory.Page; left > most {
			t.Errorf("%d bytes of %d are there after %d were copied, want %d at most", left, all, len(got), most)
		}
	}
	if !s.end(true) {
		t.Error("nothing was given back")
	}
	var want []byte
	for _, content := range [][]byte{wantImage, wantInitrd} {
		third := len(content) / 3 &^ (memory.Page - 1)
		want = append(append(want, content[third:]...), content[:third]...)
	}
	if !bytes.Equal(got, want) {
		t.Error("the kernel has got other bytes")
	}
	if n := pages(t, image.file) + pages(t, initrd.file); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

func always() bool { return true }

// TestSpendLate has memory that becomes scarce at some time: what was copied before stays until then.
func TestSpendLate(t *testing.T) {
	image, _ := inMemory(t, 8*portion, 6)
	segments := kexec.Segments{newSegment(0, 0, image.bytes)}
	asked := 0
	s := spending(t, segments, []mapping{image}, func() bool {
		asked++
		return asked == 6 // when five portions were copied
	})
	to, err := memory.File("copy")
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for at := 0; at < len(image.bytes); at += memory.Page {
		if _, err := unix.Write(int(to.Fd()), image.bytes[at:at+memory.Page]); err != nil {
			t.Fatal(err)
		}
		want := int64(8 * portion)
		if at/portion >= 5 {
			want = 3 * portion
		}
		if got := pages(t, image.file); got != want {
			t.Fatalf("%d bytes are there after %d were copied, want %d", got, at+memory.Page, want)
		}
	}
	if !s.end(true) || pages(t, image.file) != 0 || asked != 8 {
		t.Errorf("%d bytes are left, and there were %d faults, want 8", pages(t, image.file), asked)
	}
}

// TestSpendNot has files that cannot be given back: the kernel copies them all the same, and they stay as they are.
func TestSpendNot(t *testing.T) {
	image, want := inMemory(t, 2*portion, 3)
	readOnly, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", image.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	name := filepath.Join(t.TempDir(), "on a disk")
	if err := os.WriteFile(name, want, 0o644); err != nil {
		t.Fatal(err)
	}
	onDisk, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer onDisk.Close()
	for _, f := range []mapping{mapFile(t, readOnly), mapFile(t, onDisk)} {
		segments := segmentsOf(f)
		if s := newSpender(segments, []mapping{f}, always); s != nil {
			t.Errorf("%s would be given back", f.file.Name())
			s.end(false)
		}
	}
	var none *spender
	if none.end(true) || none.end(false) {
		t.Error("something is given back by nobody")
	}
}

// TestSpendStops has a kernel that fails before it has copied everything, and one that fails before it has copied
// anything: what it has not copied stays.
func TestSpendStops(t *testing.T) {
	for _, copied := range []int{0, 1, portion, 3*portion + 1} {
		image, want := inMemory(t, 6*portion, 4)
		segments := kexec.Segments{newSegment(0, 0, image.bytes)}
		s := spending(t, segments, []mapping{image}, always)
		to, err := memory.File("copy")
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		for at := 0; at < copied; at += memory.Page {
			if _, err := unix.Write(int(to.Fd()), image.bytes[at:at+memory.Page]); err != nil {
				t.Fatal(err)
			}
		}
		gone := copied / portion * portion
		if copied > 0 && copied%portion == 0 {
			gone -= portion // the kernel has not yet asked for what comes next
		}
		if got := s.end(false); got != (gone > 0) {
			t.Errorf("%d bytes copied: gone is %v", copied, got)
		}
		got := make([]byte, len(want))
		if _, err := image.file.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[gone:], want[gone:]) || !bytes.Equal(got[:gone], make([]byte, gone)) {
			t.Errorf("%d bytes copied: not just the first %d are gone", copied, gone)
		}
	}
}
