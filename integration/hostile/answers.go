package hostile

import (
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Answers that use up a client's time or memory. Each ends when the client disconnects.

// Silence never answers.
func Silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Stall announces content but sends none.
func Stall(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100000")
		begin(w, code)
		<-r.Context().Done()
	}
}

// Drip sends a byte now and then, for ever.
func Drip(code int, every time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begin(w, code)
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(" ")); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			time.Sleep(every)
		}
	}
}

// Endless sends as much as the client reads, for ever.
func Endless(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begin(w, code)
		block := []byte(strings.Repeat(" ", 32<<10))
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
			time.Sleep(time.Millisecond) // leave time for the other tests on this host
		}
	}
}

// Slow limits the number of bytes in a second. It sends them in pieces.
func Slow(bytesPerSecond, piece int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&slow{w, max(piece, bytesPerSecond/20)}, r)
		})
	}
}

type slow struct {
	http.ResponseWriter
	piece int // the bytes for a twentieth of a second
}

func (s *slow) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := s.ResponseWriter.Write(p[done:min(len(p), done+s.piece)])
		if done += n; err != nil {
			return done, err
		}
		if err := http.NewResponseController(s.ResponseWriter).Flush(); err != nil {
			return done, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return done, nil
}

func begin(w http.ResponseWriter, code int) {
	w.WriteHeader(code)
	http.NewResponseController(w).Flush()
}

// Refuse answers with a status, a Retry-After header unless it is empty, and a content.
func Refuse(code int, retryAfter, content string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
		w.Write([]byte(content))
	}
}

// Say answers with content.
func Say(content string) http.HandlerFunc { return Refuse(http.StatusOK, "", content) }

// Redirect answers with a redirection.
func Redirect(code int, to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Location"] = []string{to} // unchanged
		w.WriteHeader(code)
	}
}

// Verbatim takes over the connection and sends text that net/http would not send.
func Verbatim(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer c.Close()
		c.Write([]byte(answer))
	}
}

// Gzipped compresses every answer, although the client did not ask for that.
func Gzipped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			next.ServeHTTP(w, r)
			return
		}
		zw := gzip.NewWriter(w)
		defer zw.Close()
		next.ServeHTTP(&packed{ResponseWriter: w, zw: zw}, r)
	})
}

type packed struct {
	http.ResponseWriter
	zw   *gzip.Writer
	sent bool
}

func (p *packed) WriteHeader(code int) {
	p.sent = true
	p.Header().Del("Content-Length")
	p.Header().Set("Content-Encoding", "gzip")
	p.ResponseWriter.WriteHeader(code)
}

func (p *packed) Write(b []byte) (int, error) {
	if !p.sent {
		p.WriteHeader(http.StatusOK)
	}
	return p.zw.Write(b)
}

// Bomb sends an endless gzip stream of zeros, which expands a thousand times.
func Bomb(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	zw := gzip.NewWriter(w)
	zeros := make([]byte, 1<<20)
	for r.Context().Err() == nil {
		if _, err := zw.Write(zeros); err != nil {
			return
		}
	}
}

// BreakThen closes the connection in the middle of the first answer. It answers later requests for the rest itself.
func BreakThen(rest http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		broken := make(chan bool, 1)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case broken <- true:
				next.ServeHTTP(&breaking{w, 100_000}, r)
			default:
				if r.Header.Get("Range") == "" {
					next.ServeHTTP(w, r)
					return
				}
				rest(w, r)
			}
		})
	}
}

type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 && err == nil {
		http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// Rest answers a request for the rest with a 206 and this Content-Range, or without one if it is empty.
func Rest(content []byte, contentRange string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		first, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
		n, err := strconv.Atoi(first)
		if err != nil || n > len(content) {
			panic(http.ErrAbortHandler)
		}
		if contentRange != "" {
			w.Header().Set("Content-Range", contentRange)
		}
		w.WriteHeader(http.StatusPartialContent)
		w.Write(content[n:])
	}
}
