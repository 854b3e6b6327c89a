package compression

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/cores"
)

// content returns n bytes that compress.
func content(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = "etaoin shrdlu\x00\x00\x00"[r.IntN(16)]
	}
	return b
}

// whole packs a frame that says how much it holds.
func whole(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// streamed packs a frame that does not.
func streamed(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, iotest.HalfReader(bytes.NewReader(b))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// skippable returns a frame that decoders skip.
func skippable(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte{0x5f, 0x2a, 0x4d, 0x18}, uint32(len(b))), b...)
}

// zeros returns a frame of n blocks of 128 KiB of zeros, four bytes each.
func zeros(n int) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x40} // a window of 256 KiB
	for i := range n {
		head := uint32(mostBlock<<3 | 1<<1)
		if i == n-1 {
			head |= 1
		}
		b = append(b, byte(head), byte(head>>8), byte(head>>16), 0)
	}
	return b
}

// same checks that frames read what one stream does. most bounds that. Cores that are all in use change nothing.
func same(t *testing.T, file []byte, most int64) {
	t.Helper()
	z, err := newZstd(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	want, wantErr := io.ReadAll(io.LimitReader(z, most))
	for _, free := range []int{4, 1} {
		c := cores.New(free)
		f, err := newFrames(iotest.HalfReader(bytes.NewReader(file)), c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.LimitReader(f, most))
		if !bytes.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("a file of %d bytes, %d processors: %d bytes, %v; want %d, %v", len(file), free, len(got), err,
				len(want), wantErr)
		}
		f.Close()
		f.Close()
		for range free {
			if !c.Take() {
				t.Fatal("a processor was not given back")
			}
		}
		if c.Take() {
			t.Fatal("a processor was given back twice")
		}
	}
}

func TestFrames(t *testing.T) {
	b := content(14 << 20)
	small := slices.Concat(whole(t, b[:100_000]), streamed(t, b[:300_000]), skippable(b[:1000]), whole(t, nil),
		whole(t, b[:300]), streamed(t, b[:3_000_000]))
	large := slices.Concat(small, streamed(t, b), small, whole(t, b), small)
	for name, file := range map[string][]byte{
		"one frame": whole(t, b[:500_000]), "small ones": small, "many": bytes.Repeat(small, 10),
		"large ones between them": large, "the first is skippable": append(skippable(nil), small...),
		"only a skippable one": skippable(b[:2000]), "a large skippable one": slices.Concat(small,
			skippable(b[:3<<20]), small),
		"zeros": slices.Concat(zeros(90), small, zeros(97), small, zeros(1000)), "zeros, many": bytes.Repeat(zeros(10), 90),
		"something else behind": append(bytes.Clone(small), "something else"...),
		"a byte behind":         append(bytes.Clone(small), 0x28),
		"a cut skippable one":   append(bytes.Clone(small), skippable(b[:1000])[:500]...),
		"a cut skippable head":  append(bytes.Clone(small), skippable(nil)[:6]...),
	} {
		t.Run(name, func(t *testing.T) { same(t, file, 1<<30) })
	}
}

// TestFramesParallel checks that several frames are decompressed at a time, and that their number is bounded.
func TestFramesParallel(t *testing.T) {
	file := bytes.Repeat(streamed(t, content(3<<20)), 20)
	c := cores.New(4)
	f, err := newFrames(bytes.NewReader(file), c)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; len(f.parts) < cap(f.parts) && i < 1000; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	for range 3 {
		p := <-f.parts
		if !p.taken {
			t.Error("a part waits for a processor, and there are some")
			break
		}
		<-p.done
		c.Give()
	}
}

// TestFramesDamaged has files with a few wrong bits, and cut ones.
func TestFramesDamaged(t *testing.T) {
	b := content(600_000)
	small := slices.Concat(whole(t, b[:1000]), skippable(b[:100]), streamed(t, b[:300_000]), whole(t, b[:5000]))
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		damaged := bytes.Repeat(small, 1+r.IntN(3))
		if r.IntN(2) == 0 {
			damaged = damaged[:r.IntN(len(damaged))]
		}
		for range r.IntN(3) {
			damaged[r.IntN(len(damaged)+1)%max(1, len(damaged))] ^= 1 << r.IntN(8)
		}
		if len(damaged) > 0 {
			same(t, damaged, 1<<24)
		}
	}
}

// TestFramesFail checks that the error of the source comes through.
func TestFramesFail(t *testing.T) {
	cause := errors.New("the cable is out")
	file := bytes.Repeat(streamed(t, content(3<<20)), 3)
	for _, n := range []int{0, 2, 100, len(file) / 3, len(file) - 1, len(file)} {
		f, err := newFrames(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(cause)), cores.New(4))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(f); !errors.Is(err, cause) {
			t.Errorf("after %d bytes: %v, want %v", n, err, cause)
		}
		f.Close()
	}
}

// TestFramesClose closes readers at any time. Nothing goes on then.
func TestFramesClose(t *testing.T) {
	file := bytes.Repeat(streamed(t, content(3<<20)), 20)
	before := runtime.NumGoroutine()
	for n := range 10 {
		f, err := newFrames(bytes.NewReader(file), cores.New(4))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, f, int64(n)<<20); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	for i := 0; runtime.NumGoroutine() > before && i < 100; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, before there were %d", n, before)
	}
}

func FuzzFrames(f *testing.F) {
	b := content(5000)
	f.Add(slices.Concat(whole(f, b), skippable(b[:10]), streamed(f, b), zeros(2)))
	f.Add(zeros(100))
	f.Fuzz(func(t *testing.T, file []byte) { same(t, file, 1<<24) })
}
