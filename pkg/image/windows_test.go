package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// storage serves one blob, as spoil has it, and counts.
type storage struct {
	blob   []byte
	digest v1.Hash
	answer func(w http.ResponseWriter, r *http.Request, s *storage) bool // nil, or false: as it should be

	mu       sync.Mutex
	requests int
	busy     int
	most     int // open at the same time
}

// open serves the blob at a registry of its own, and returns a reader of it by s.
func (st *storage) open(t testing.TB, s *Source) (io.ReadCloser, error) {
	t.Helper()
	h, err := digest("sha256", st.blob)
	if err != nil {
		t.Fatal(err)
	}
	st.digest = h
	srv := httptest.NewServer(st)
	t.Cleanup(srv.Close)
	list, err := s.places(mustReference(t, strings.TrimPrefix(srv.URL, "http://")+"/x:1"))
	if err != nil {
		t.Fatal(err)
	}
	return list.open(context.Background(), v1.Descriptor{Digest: h, Size: int64(len(st.blob))})
}

func (st *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.URL.Path, "/blobs/") {
		return
	}
	st.mu.Lock()
	st.requests++
	st.busy++
	st.most = max(st.most, st.busy)
	st.mu.Unlock()
	defer func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.busy--
	}()
	if st.answer == nil || !st.answer(w, r, st) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(st.blob))
	}
}

// largeRandom returns bytes in which no part is like another.
func largeRandom(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// part returns which part of the blob a request asks for.
func part(r *http.Request) (from, to int) {
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); n != 2 {
		return 0, -1
	}
	return from, to
}

// TestWindows: whatever a server makes of parts, the blob arrives as it is.
func TestWindows(t *testing.T) {
	type answer = func(http.ResponseWriter, *http.Request, *storage) bool
	blob := largeRandom(40<<20 + 12345)
	refuse := func(status int) answer {
		return func(w http.ResponseWriter, r *http.Request, _ *storage) bool {
			if r.Header.Get("Range") == "" {
				return false
			}
			w.WriteHeader(status)
			return true
		}
	}
	later := func(f answer) answer { // only behind the first window
		return func(w http.ResponseWriter, r *http.Request, s *storage) bool {
			from, _ := part(r)
			return from > 0 && f(w, r, s)
		}
	}
	plain := func(w http.ResponseWriter, r *http.Request, s *storage) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(s.blob)))
		w.Write(s.blob)
		return true
	}
	for _, c := range []struct {
		name   string
		answer answer
		ahead  int64
		single bool // it comes by one connection in the end
	}{
		{name: "as it should be"},
		{name: "little memory", ahead: 3 << 20},
		{name: "no Range", answer: plain, single: true},
		{name: "Range for the beginning alone", answer: later(plain), single: true},
		{name: "416", answer: refuse(416), single: true},
		{name: "403 later", answer: later(refuse(403)), single: true},
		{name: "206 without Content-Range", single: true, answer: func(
			w http.ResponseWriter, r *http.Request, s *storage,
		) bool {
			from, to := part(r)
			if to < 0 {
				return false
			}
			w.WriteHeader(206)
			w.Write(s.blob[from : to+1])
			return true
		}},
		{name: "another part", single: true, answer: later(func(
			w http.ResponseWriter, r *http.Request, s *storage,
		) bool {
			from, to := part(r)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from-1, to-1, len(s.blob)))
			w.WriteHeader(206)
			w.Write(s.blob[from-1 : to])
			return true
		})},
		{name: "to the end of the blob", single: true, answer: later(func(
			w http.ResponseWriter, r *http.Request, s *storage,
		) bool {
			from, _ := part(r)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(s.blob)-1, len(s.blob)))
			w.Header().Set("Content-Length", strconv.Itoa(len(s.blob)-from))
			w.WriteHeader(206)
			w.Write(s.blob[from:])
			return true
		})},
		{name: "to the end, without a length", answer: later(func(w http.ResponseWriter, r *http.Request, s *storage) bool {
			from, _ := part(r)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", from, len(s.blob)-1))
			w.WriteHeader(206)
			for at := from; at < len(s.blob); at += 1 << 20 {
				if _, err := w.Write(s.blob[at:min(len(s.blob), at+1<<20)]); err != nil {
					break
				}
			}
			return true
		})},
		{name: "less than was asked for", answer: later(func(w http.ResponseWriter, r *http.Request, s *storage) bool {
			from, to := part(r)
			to = min(to, from+1<<20-1)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(s.blob)))
			w.WriteHeader(206)
			w.Write(s.blob[from : to+1])
			return true
		})},
		{name: "connections that break", answer: func(w http.ResponseWriter, r *http.Request, s *storage) bool {
			http.ServeContent(&cutOff{w, 3 << 20}, r, "", time.Time{}, bytes.NewReader(s.blob))
			return true
		}},
		{name: "two at a time", answer: func(w http.ResponseWriter, r *http.Request, s *storage) bool {
			s.mu.Lock()
			many := s.busy > 2
			s.mu.Unlock()
			if many {
				w.WriteHeader(503)
			}
			return many
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := &storage{blob: blob, answer: c.answer}
			s := fast(t)
			if c.ahead > 0 {
				s.Ahead = always(c.ahead)
			}
			rc, err := st.open(t, s)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(rc)
			if err != nil || !bytes.Equal(got, blob) {
				t.Errorf("read %d bytes, %v, want %d", len(got), err, len(blob))
			}
			if w, ok := rc.(*verifier).ReadCloser.(*windows); ok == c.single && (!ok || w.stream == nil) {
				t.Errorf("one connection: %v, want %v", !ok, c.single)
			}
			if err := rc.Close(); err != nil {
				t.Error(err)
			}
			if s.windows != 0 || s.ahead != 0 {
				t.Errorf("%d connections and %d bytes were not given back", s.windows, s.ahead)
			}
			if st.most > mostWindows {
				t.Errorf("%d connections at a time, want %d at most", st.most, mostWindows)
			}
		})
	}
}

// TestWindowsSmall: a blob that is not large costs one request, without a Range.
func TestWindowsSmall(t *testing.T) {
	st := &storage{blob: largeRandom(largeBlob)}
	st.answer = func(_ http.ResponseWriter, r *http.Request, _ *storage) bool {
		if r.Header.Get("Range") != "" {
			t.Errorf("asked for %s", r.Header.Get("Range"))
		}
		return false
	}
	rc, err := st.open(t, fast(t))
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if n, err := io.Copy(io.Discard, rc); n != largeBlob || err != nil || st.requests != 1 {
		t.Errorf("read %d bytes, %v, by %d requests", n, err, st.requests)
	}
}

// always returns a function that returns n.
func always(n int64) func() int64 { return func() int64 { return n } }

// TestWindowsNoLonger: when nothing may wait any more, the rest of a blob costs one request.
func TestWindowsNoLonger(t *testing.T) {
	blob := largeRandom(80 << 20)
	st := &storage{blob: blob}
	s := fast(t)
	var memory atomic.Int64
	memory.Store(16 << 20)
	s.Ahead = memory.Load
	rc, err := st.open(t, s)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	begin := make([]byte, 30<<20)
	if _, err := io.ReadFull(rc, begin); err != nil {
		t.Fatal(err)
	}
	memory.Store(-1)
	rest, err := io.ReadAll(rc)
	if err != nil || !bytes.Equal(append(begin, rest...), blob) {
		t.Errorf("read %d bytes more, %v", len(rest), err)
	}
	if w := rc.(*verifier).ReadCloser.(*windows); w.stream == nil || w.stream.resumed > 30<<20+16<<20 {
		t.Errorf("the rest does not come by one connection: %+v", w.stream)
	}
	if s.windows != 0 || s.ahead != 0 {
		t.Errorf("%d connections and %d bytes were not given back", s.windows, s.ahead)
	}
}

// TestWindowsNowAndThen: what may wait changes at any time.
func TestWindowsNowAndThen(t *testing.T) {
	blob := largeRandom(48 << 20)
	st := &storage{blob: blob}
	s := fast(t)
	s.Ahead = func() int64 { return rand.Int64N(2) * 16 << 20 }
	rc, err := st.open(t, s)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if got, err := io.ReadAll(rc); err != nil || !bytes.Equal(got, blob) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

// TestWindowsNone: where nothing may wait, a large blob costs one request, too.
func TestWindowsNone(t *testing.T) {
	st := &storage{blob: largeRandom(largeBlob + 1)}
	s := fast(t)
	s.Ahead = always(1)
	rc, err := st.open(t, s)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if n, err := io.Copy(io.Discard, rc); n != largeBlob+1 || err != nil || st.requests != 1 {
		t.Errorf("read %d bytes, %v, by %d requests", n, err, st.requests)
	}
}

// TestWindowsWait: no more is fetched than may wait, however slow the reader is.
func TestWindowsWait(t *testing.T) {
	var mu sync.Mutex
	sent := 0
	st := &storage{blob: largeRandom(80 << 20)}
	st.answer = func(w http.ResponseWriter, r *http.Request, s *storage) bool {
		from, to := part(r)
		mu.Lock()
		sent += to + 1 - from
		mu.Unlock()
		return false
	}
	s := fast(t)
	s.Ahead = always(16 << 20)
	rc, err := st.open(t, s)
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for buf := make([]byte, 1<<20); read < 60<<20; {
		n, err := rc.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		read += n
		mu.Lock()
		if sent-read > 16<<20 {
			t.Fatalf("%d bytes were asked for and %d read: more than 16 MiB wait", sent, read)
		}
		mu.Unlock()
	}
	if err := rc.Close(); err != nil { // in the middle
		t.Error(err)
	}
	if s.windows != 0 || s.ahead != 0 {
		t.Errorf("%d connections and %d bytes were not given back", s.windows, s.ahead)
	}
}

// TestWindowsDamaged: wrong bytes are found, and the next time there are no windows.
func TestWindowsDamaged(t *testing.T) {
	st := &storage{blob: largeRandom(40 << 20)}
	st.answer = func(w http.ResponseWriter, r *http.Request, s *storage) bool {
		from, to := part(r)
		if from == 0 {
			return false
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(s.blob)))
		w.WriteHeader(206)
		w.Write(s.blob[:to+1-from])
		return true
	}
	s := fast(t)
	rc, err := st.open(t, s)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, rc)
	rc.Close()
	if err == nil || !Heals(err) || !strings.Contains(err.Error(), "bytes are wrong") {
		t.Fatalf("reading = %v, want wrong bytes that heal", err)
	}
	if rc, err = st.open(t, s); err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if n, err := io.Copy(io.Discard, rc); err != nil || n != int64(len(st.blob)) {
		t.Errorf("the next time: %d bytes, %v", n, err)
	}
}

// TestWindowsStall: one connection that brings nothing is given up, by itself.
func TestWindowsStall(t *testing.T) {
	var once sync.Once
	end := make(chan bool)
	st := &storage{blob: largeRandom(40 << 20)}
	st.answer = func(w http.ResponseWriter, r *http.Request, s *storage) bool {
		from, _ := part(r)
		stalls := false
		if from > 0 {
			once.Do(func() { stalls = true })
		}
		if stalls {
			select {
			case <-r.Context().Done():
			case <-end:
			}
		}
		return stalls
	}
	defer close(end)
	s := fast(t)
	s.Stall = 300 * time.Millisecond
	rc, err := st.open(t, s)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if n, err := io.Copy(io.Discard, rc); err != nil || n != int64(len(st.blob)) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// slow sends no faster than rate bytes per second.
type slow struct {
	http.ResponseWriter
	rate  float64
	begin time.Time
	sent  int
}

func (s *slow) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n, err := s.ResponseWriter.Write(p[done:min(len(p), done+64<<10)])
		done += n
		s.sent += n
		if err != nil {
			return done, err
		}
		time.Sleep(time.Until(s.begin.Add(time.Duration(float64(s.sent) / s.rate * 1e9))))
	}
	return len(p), nil
}

// TestWindowsFaster: where each connection is limited, several bring more, and the number finds itself.
func TestWindowsFaster(t *testing.T) {
	st := &storage{blob: largeRandom(100 << 20)}
	st.answer = func(w http.ResponseWriter, r *http.Request, s *storage) bool {
		http.ServeContent(&slow{ResponseWriter: w, rate: 5e6, begin: time.Now()}, r, "", time.Time{}, bytes.NewReader(s.blob))
		return true
	}
	rc, err := st.open(t, fast(t))
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	start := time.Now()
	if _, err := io.Copy(io.Discard, rc); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	t.Logf("%v, where one connection takes %v; %d connections at a time, %d requests",
		took, 20*time.Second, st.most, st.requests)
	if st.most < 12 {
		t.Errorf("%d connections at a time, want more", st.most)
	}
}

// BenchmarkLargeLayer reads one layer of 300 MB from a server that gives each connection 20 MB/s, and from one that
// gives what it can, by one connection and by several.
func BenchmarkLargeLayer(b *testing.B) {
	blob := largeRandom(300e6)
	h, err := digest("sha256", blob)
	if err != nil {
		b.Fatal(err)
	}
	for _, server := range []struct {
		name string
		rate float64 // bytes per second of a connection; 0: no limit
	}{{"limited", 20e6}, {"unlimited", 0}} {
		for _, one := range []bool{true, false} {
			name := server.name + "/several"
			if one {
				name = server.name + "/one"
			}
			b.Run(name, func(b *testing.B) {
				b.SetBytes(int64(len(blob)))
				for b.Loop() {
					st := &storage{blob: blob}
					st.answer = func(w http.ResponseWriter, r *http.Request, s *storage) bool {
						if server.rate > 0 {
							w = &slow{ResponseWriter: w, rate: server.rate, begin: time.Now()}
						}
						http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.blob))
						return true
					}
					s := &Source{Platform: amd64}
					if one {
						s.oneStream(h)
					}
					rc, err := st.open(b, s)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := io.Copy(io.Discard, rc); err != nil {
						b.Fatal(err)
					}
					rc.Close()
					b.ReportMetric(float64(st.requests), "requests/op")
					b.ReportMetric(float64(st.most), "connections/op")
				}
			})
		}
	}
}
