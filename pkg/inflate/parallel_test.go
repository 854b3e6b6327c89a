package inflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/cores"
)

// small returns a parallel reader with chunks of size bytes.
func small(src io.Reader, size int) *Reader {
	z := NewReader(nil)
	z.ahead = newAhead(src, cores.New(9), size, size)
	z.src = z.ahead
	return z
}

// settled is a parallel reader that waits until everything is guessed that can be, and counts what it takes.
type settled struct {
	*Reader
	taken int // pieces
	begin int64
}

func (s *settled) Read(p []byte) (int, error) {
	a := s.ahead
	a.mu.Lock()
	for a.guess > 0 || a.err == nil && len(a.chunks) < a.most {
		a.change.Wait()
	}
	a.mu.Unlock()
	n, err := s.Reader.Read(p)
	if s.piece.begin != s.begin {
		s.taken, s.begin = s.taken+1, s.piece.begin
	}
	return n, err
}

// same checks that a parallel reader reads what a serial one does, and returns how many guesses it has taken, at least.
func same(t *testing.T, file []byte, size int) (taken int) {
	t.Helper()
	const most = 16 << 20 // of a bomb
	want, wantErr := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(file)), most))
	for _, settle := range []bool{false, true} {
		z := small(bytes.NewReader(file), size)
		s := &settled{Reader: z}
		var r io.Reader = z
		if settle {
			r = s
		}
		got, err := io.ReadAll(io.LimitReader(r, most))
		if !bytes.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("a file of %d bytes, in chunks of %d, settled %t: read %d bytes, %v; want %d, %v", len(file), size,
				settle, len(got), err, len(want), wantErr)
		}
		z.Close()
		taken += s.taken
	}
	return taken
}

func TestParallel(t *testing.T) {
	for name, content := range contents() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, flate.BestSpeed, flate.DefaultCompression} {
			packed := pack(t, content, level)
			for _, size := range []int{1000, 20_000, 100_000, chunkSize} {
				taken := same(t, packed, size)
				// Blocks of a code of their own, and chunks that are larger than most blocks.
				if (name == "text" || name == "skewed") && level != 0 && size == 20_000 && taken == 0 {
					t.Errorf("%s, level %d, in chunks of %d: no guess was right", name, level, size)
				}
			}
		}
	}
}

// TestParallelMembers has members of all sizes, which end anywhere in chunks.
func TestParallelMembers(t *testing.T) {
	var packed []byte
	r := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		for _, content := range contents() {
			n := r.IntN(len(content)/8 + 1)
			packed = append(packed, pack(t, content[:n], 1+r.IntN(9))...)
		}
	}
	for _, size := range []int{500, 5000, 50_000, chunkSize} {
		if taken := same(t, packed, size); taken == 0 && size == 50_000 {
			t.Errorf("in chunks of %d: no guess was right", size)
		}
	}
	same(t, append(packed, "and something else"...), 50_000)
	same(t, packed[:len(packed)-3], 50_000)
}

// TestParallelDamaged has files with a few wrong bits, and cut ones.
func TestParallelDamaged(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for name, content := range contents() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			packed := pack(t, content[:min(len(content), 200_000)], level)
			packed = append(packed, packed...)
			for range 10 {
				damaged := bytes.Clone(packed)
				for range r.IntN(3) {
					damaged[r.IntN(len(damaged))] ^= 1 << r.IntN(8)
				}
				if r.IntN(2) == 0 {
					damaged = damaged[:r.IntN(len(damaged))]
				}
				same(t, damaged, 100+r.IntN(len(packed)))
			}
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestParallelNested has gzip files in blocks that are not compressed. A guess takes their blocks for those of the
// file.
func TestParallelNested(t *testing.T) {
	var inner bytes.Buffer
	for range 3 {
		for _, content := range contents() {
			inner.Write(pack(t, content, 6))
		}
	}
	for _, size := range []int{1000, 30_000, 200_000} {
		same(t, pack(t, inner.Bytes(), 0), size)
		same(t, pack(t, inner.Bytes(), 6), size)
	}
}

// TestParallelBomb has content that is a thousand times as large as the file. A guess ends at a bound.
func TestParallelBomb(t *testing.T) {
	bomb := pack(t, make([]byte, 300<<20), 9)
	z := NewParallel(bytes.NewReader(bomb), cores.New(9))
	defer z.Close()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := uint64(0)
	p := make([]byte, 1<<20)
	n := 0
	for {
		m, err := z.Read(p)
		if n += m; err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if n%(16<<20) == 0 {
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-before.HeapAlloc)
		}
	}
	if n != 300<<20 || most > 200<<20 {
		t.Errorf("read %d bytes, want %d; took %d MiB", n, 300<<20, most>>20)
	}
}

// TestParallelFails checks that the error of the source comes through, after what was read before it.
func TestParallelFails(t *testing.T) {
	content := contents()["text"]
	packed := pack(t, content, 6)
	cause := errors.New("the cable is out")
	for _, size := range []int{100, 30_000, chunkSize} {
		z := small(io.MultiReader(bytes.NewReader(packed[:len(packed)-1000]), iotest.ErrReader(cause)), size)
		got, err := io.ReadAll(&settled{Reader: z})
		if err != cause || len(got) < len(content)/2 || !bytes.HasPrefix(content, got) {
			t.Errorf("%d bytes, %v; want what came before, and %v", len(got), err, cause)
		}
		z.Close()
	}
	z := small(stuck{}, 1000)
	if _, err := io.ReadAll(z); err != io.ErrNoProgress {
		t.Errorf("of a source that gives nothing: %v; want %v", err, io.ErrNoProgress)
	}
	z.Close()
}

// TestParallelClose closes readers at any time. Nothing goes on then, and all processors are free.
func TestParallelClose(t *testing.T) {
	packed := pack(t, bytes.Repeat(contents()["text"], 10), 6)
	four := cores.New(4)
	before := runtime.NumGoroutine()
	for n := range 30 {
		z := NewParallel(bytes.NewReader(packed), four)
		if _, err := io.CopyN(io.Discard, z, int64(n)*100_000); err != nil {
			t.Fatal(err)
		}
		z.Close()
		z.Close()
	}
	for i := 0; runtime.NumGoroutine() > before && i < 100; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	free := 0
	for four.Take() {
		free++
	}
	if n := runtime.NumGoroutine(); n > before || free != 4 {
		t.Errorf("%d goroutines, before there were %d; %d processors are free, want 4", n, before, free)
	}
}

// TestParallelCandidates has what looks like the beginning of a block at each place. Searching ends at a bound.
func TestParallelCandidates(t *testing.T) {
	block := new(bitWriter).bits(0, 1).bits(2, 2).lengths(some(257, map[int]int{256: 1}), []int{0}).b
	file := member([]byte{1, 0, 0, 0xff, 0xff}, nil)
	file = append(file, []byte(strings.Repeat(string(block), 20_000))...)
	begin := time.Now()
	same(t, file, chunkSize)
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func FuzzParallel(f *testing.F) {
	for _, content := range contents() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			f.Add(pack(f, content[:min(len(content), 500)], level), 100)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, size int) {
		if size = min(size, chunkSize); size < 64 {
			size = 64
		}
		same(t, file, size)
	})
}

// BenchmarkParallel shows what two stages cost for each byte of content: the processor time of all goroutines, and that
// of the one that reads, which no number of processors makes shorter. On a machine with less than four the wall time
// says nothing about parallel reading. It reads the program of this test, or the layer that LAYER names.
func BenchmarkParallel(b *testing.B) {
	data := layer(b)
	clock := func(id int32) int64 {
		var t unix.Timespec
		if err := unix.ClockGettime(id, &t); err != nil {
			b.Fatal(err)
		}
		return t.Nano()
	}
	for _, way := range []struct {
		name string
		open func(io.Reader) *Reader
	}{
		{"serial", NewReader},
		{"parallel", func(r io.Reader) *Reader { return NewParallel(r, cores.New(9)) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			content := int64(0)
			all, own := clock(unix.CLOCK_PROCESS_CPUTIME_ID), clock(unix.CLOCK_THREAD_CPUTIME_ID)
			for b.Loop() {
				z := way.open(bytes.NewReader(data))
				n, err := io.Copy(io.Discard, z)
				if err != nil {
					b.Fatal(err)
				}
				z.Close()
				content += n
			}
			b.SetBytes(content / int64(b.N))
			b.ReportMetric(float64(clock(unix.CLOCK_PROCESS_CPUTIME_ID)-all)/float64(content), "cpu-ns/B")
			b.ReportMetric(float64(clock(unix.CLOCK_THREAD_CPUTIME_ID)-own)/float64(content), "reader-ns/B")
		})
	}
}

// TestParallelSlow has a source that gives more only when all was read. Then nothing is guessed.
func TestParallelSlow(t *testing.T) {
	content := contents()["text"]
	packed := pack(t, content, 6)
	// The end comes behind a whole chunk, with a member that holds only a comment.
	rest := 10_000 - (len(packed)+len(header(hasSum|hasComment, "\x00")))%10_000
	packed = append(packed, header(hasSum|hasComment, strings.Repeat("x", rest)+"\x00")...)
	s := &slow{src: bytes.NewReader(packed)}
	z := NewReader(nil)
	s.Mutex.Lock()
	z.ahead = newAhead(s, cores.New(9), 10_000, 10_000)
	z.src, s.a = z.ahead, z.ahead
	var guesses atomic.Int32
	s.a.pool.guessers.New = func() any {
		guesses.Add(1)
		return &guesser{finder: newFinder()}
	}
	s.Mutex.Unlock()
	defer z.Close()
	got, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(got, content) || z.piece.begin != 0 || guesses.Load() > 0 {
		t.Errorf("%d bytes, %v, %d guesses; want %d and none", len(got), err, guesses.Load(), len(content))
	}
}

type slow struct {
	sync.Mutex
	src   *bytes.Reader
	a     *ahead
	given int64
}

func (s *slow) Read(p []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	s.a.mu.Lock()
	for s.a.at < s.given {
		s.a.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.a.mu.Lock()
	}
	s.a.mu.Unlock()
	n, err := s.src.Read(p)
	s.given += int64(n)
	return n, err
}
