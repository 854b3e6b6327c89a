package imagetest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Effect answers a request instead of next, or changes the answer of next.
type Effect func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Drop closes the connection after n bytes of the body, although the header announced all of it.
func Drop(n int64) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		left := n
		next.ServeHTTP(&body{ResponseWriter: w, write: func(p []byte) (int, error) {
			if int64(len(p)) <= left {
				left -= int64(len(p))
				return w.Write(p)
			}
			if _, err := w.Write(p[:left]); err != nil {
				return 0, err
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return 0, err
			}
			panic(http.ErrAbortHandler)
		}}, r)
	}
}

// Truncate ends the body after n bytes. The header announces only these n bytes.
func Truncate(n int64) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		left := n
		next.ServeHTTP(&body{
			ResponseWriter: w,
			header: func(h http.Header) {
				if size, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && size > n {
					h.Set("Content-Length", strconv.FormatInt(n, 10))
				}
			},
			write: func(p []byte) (int, error) {
				keep := min(left, int64(len(p)))
				left -= keep
				if _, err := w.Write(p[:keep]); err != nil {
					return 0, err
				}
				return len(p), nil
			},
		}, r)
	}
}

// Flip inverts the lowest bit of the blob's byte at offset, also in an answer to a Range request that contains this
// byte.
func Flip(offset int64) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		pos := int64(0)
		next.ServeHTTP(&body{
			ResponseWriter: w,
			header: func(h http.Header) {
				var last int64
				if _, err := fmt.Sscanf(h.Get("Content-Range"), "bytes %d-%d/", &pos, &last); err != nil {
					pos = 0
				}
			},
			write: func(p []byte) (int, error) {
				if at := offset - pos; at >= 0 && at < int64(len(p)) {
					p = append([]byte(nil), p...)
					p[at] ^= 1
				}
				pos += int64(len(p))
				return w.Write(p)
			},
		}, r)
	}
}

// Status answers with this code, and with a Retry-After header unless retryAfter is empty.
func Status(code int, retryAfter string) Effect {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, http.StatusText(code), code)
	}
}

// Slow sends at most bytesPerSecond bytes in a second.
func Slow(bytesPerSecond int) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		const tick = 20 * time.Millisecond
		chunk := max(1, bytesPerSecond/int(time.Second/tick))
		next.ServeHTTP(&body{ResponseWriter: w, write: func(p []byte) (int, error) {
			done := 0
			for done < len(p) {
				n, err := w.Write(p[done:min(len(p), done+chunk)])
				done += n
				if err != nil {
					return done, err
				}
				if err := http.NewResponseController(w).Flush(); err != nil {
					return done, err
				}
				select {
				case <-time.After(tick):
				case <-r.Context().Done():
					return done, r.Context().Err()
				}
			}
			return done, nil
		}}, r)
	}
}

// Delay waits before it answers.
func Delay(d time.Duration) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-time.After(d):
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// body is a ResponseWriter that sends the body through write. It calls header once, before the header is sent.
type body struct {
	http.ResponseWriter
	header func(http.Header)
	write  func([]byte) (int, error)
	sent   bool
}

func (b *body) WriteHeader(code int) {
	if !b.sent {
		b.sent = true
		if b.header != nil {
			b.header(b.Header())
		}
	}
	b.ResponseWriter.WriteHeader(code)
}

func (b *body) Write(p []byte) (int, error) {
	if !b.sent {
		b.WriteHeader(http.StatusOK)
	}
	return b.write(p)
}
