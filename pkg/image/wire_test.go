package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// counted returns a transport, and how many bytes have come through its connections, headers included.
func counted() (*http.Transport, *atomic.Int64) {
	var n atomic.Int64
	return &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			return countedConn{c, &n}, err
		},
	}, &n
}

type countedConn struct {
	net.Conn
	n *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// cut sends the header of a whole answer, and then only n bytes of it.
func cut(w http.ResponseWriter, r *http.Request, blob []byte, n int) {
	rest := blob[first(r):]
	w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
	if first(r) > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first(r), len(blob)-1, len(blob)))
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write(rest[:n])
	w.(http.Flusher).Flush()
}

// whole serves what a request asks for.
func whole(w http.ResponseWriter, r *http.Request, blob []byte) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
}

// TestBytesAgain has servers that fail after 400 kB of a layer. It checks that the layer arrives, how many of its bytes
// cross the wire again for that, and that the client waits as long as a server asks it to.
func TestBytesAgain(t *testing.T) {
	t.Parallel()
	const size, part = 1_000_000, 400_000
	// after serves part of the blob, then each fault in turn, and then what is asked for.
	type handler = func(w http.ResponseWriter, r *http.Request, blob []byte)
	after := func(faults ...handler) func() handler {
		return func() handler {
			asked := 0
			return func(w http.ResponseWriter, r *http.Request, blob []byte) {
				switch asked++; {
				case asked == 1:
					cut(w, r, blob, part)
				case asked-2 < len(faults):
					faults[asked-2](w, r, blob)
				default:
					whole(w, r, blob)
				}
			}
		}
	}
	status := func(code int, after func() string) handler {
		return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.Header().Set("Retry-After", after())
			w.WriteHeader(code)
		}
	}
	seconds := func() string { return "1" }
	date := func() string { return time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat) }
	noRange := func(w http.ResponseWriter, r *http.Request, blob []byte) {
		r.Header.Del("Range")
		w.Header().Set("Accept-Ranges", "none")
		w.Write(blob)
	}

	for _, row := range []struct {
		name     string
		serve    func() handler
		again    int64 // bytes
		requests int32
		wait     time.Duration
	}{
		{"nothing", func() handler { return whole }, 0, 1, 0},
		{"drops", after(), 0, 2, 0},
		{"drops twice", after(func(w http.ResponseWriter, r *http.Request, b []byte) { cut(w, r, b, 100_000) }), 0, 3, 0},
		{"drops at once", after(func(w http.ResponseWriter, r *http.Request, b []byte) { cut(w, r, b, 0) }), 0, 3, 0},
		{"closes without an answer", after(func(http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) }),
			0, 3, 0},
		{"429, seconds", after(status(429, seconds)), 0, 3, time.Second},
		{"503, seconds", after(status(503, seconds)), 0, 3, time.Second},
		{"429, a date", after(status(429, date)), 0, 3, time.Second},
		{"503, a date", after(status(503, date)), 0, 3, time.Second},
		{"429, yesterday", after(status(429, func() string { return "Thu, 26 Nov 2020 00:00:00 GMT" })), 0, 3, 0},
		{"a gateway", after(status(502, func() string { return "" }), status(504, func() string { return "soon" })), 0, 4, 0},
		{"stalls in the header", after(func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() }),
			0, 3, time.Second},
		{"stalls in the body", after(func(w http.ResponseWriter, r *http.Request, b []byte) {
			cut(w, r, b, 100_000)
			<-r.Context().Done()
		}), 0, 3, time.Second},
		{"resets", after(func(w http.ResponseWriter, r *http.Request, b []byte) {
			cut(w, r, b, 100_000)
			time.Sleep(50 * time.Millisecond) // a reset takes away what has arrived and was not read
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
		}), 0, 3, 0},
		{"a length that is too small", after(func(w http.ResponseWriter, r *http.Request, b []byte) {
			w.Header().Set("Content-Length", "100000")
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first(r), len(b)-1, len(b)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(b[first(r):][:100_000])
		}), 0, 3, 0},
		{"no length", after(func(w http.ResponseWriter, r *http.Request, b []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", first(r), len(b)-1))
			w.WriteHeader(http.StatusPartialContent)
			for rest := b[first(r):]; len(rest) > 0; rest = rest[min(10_000, len(rest)):] {
				w.Write(rest[:min(10_000, len(rest))])
				w.(http.Flusher).Flush()
			}
		}), 0, 2, 0},
		// The rest can be had only with all that comes before it.
		{"no Range", after(noRange), part, 2, 0},
		{"no Range, drops later", after(func(w http.ResponseWriter, r *http.Request, b []byte) {
			r.Header.Del("Range")
			cut(w, r, b, 500_000)
		}, noRange), part + 500_000, 3, 0},
		{"206 without Content-Range", after(func(w http.ResponseWriter, r *http.Request, b []byte) {
			w.WriteHeader(http.StatusPartialContent)
			w.Write(b[first(r):])
		}), part, 3, 0},
		{"206 of another part", after(func(w http.ResponseWriter, r *http.Request, b []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 5-%d/%d", len(b)-1, len(b)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(b[5:])
		}), part, 3, 0},
		{"416", after(func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(416) }), part, 3, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := fast(t)
			var came *atomic.Int64
			s.Transport, came = counted()
			s.Stall = 20 * time.Second // on a busy machine
			if strings.HasPrefix(row.name, "stalls") {
				s.Stall = time.Second
			}
			var asked atomic.Int32
			serve := row.serve()
			l, blob := spoil(t, s, size, func(w http.ResponseWriter, r *http.Request, b []byte) {
				asked.Add(1)
				serve(w, r, b)
			})
			before, begin := came.Load(), time.Now()
			got, err := readAll(t, l)
			if err != nil || !bytes.Equal(got, blob) {
				t.Fatalf("reading = %d bytes, %v", len(got), err)
			}
			checkAgain(t, came.Load()-before-int64(len(blob)), row.again)
			if asked.Load() != row.requests {
				t.Errorf("the layer was requested %d times, want %d", asked.Load(), row.requests)
			}
			if took := time.Since(begin); took < row.wait {
				t.Errorf("it took %v, want %v at least", took, row.wait)
			}
		})
	}
}

// checkAgain compares the bytes that have crossed the wire again with what is wanted. The headers of the answers count
// too, and what a connection had read ahead when it was closed.
func checkAgain(t *testing.T, got, want int64) {
	t.Helper()
	const more = 16 << 10
	if got < want || got > want+more {
		t.Errorf("%d bytes crossed the wire again, want %d", got, want)
	}
}

// TestLongLength has a server that announces more bytes than the manifest: nothing of that is worth waiting for.
func TestLongLength(t *testing.T) {
	t.Parallel()
	s := fast(t)
	var came *atomic.Int64
	s.Transport, came = counted()
	l, blob := spoil(t, s, 1_000_000, func(w http.ResponseWriter, _ *http.Request, b []byte) {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
		w.Write(append(bytes.Clone(b), 'x'))
	})
	before := came.Load()
	_, err := readAll(t, l)
	want := fmt.Sprintf("has %d bytes where the manifest says %d", len(blob)+1, len(blob))
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("reading = %v, want an error with %q", err, want)
	}
	checkAgain(t, came.Load()-before, 0)
}

// TestRedirectAgain has a registry with a login that redirects to a storage service: its URLs are signed, and it
// refuses an Authorization header as such services do. Its connections break. The download resumes there, with a fresh
// URL, and the login reaches the registry alone.
func TestRedirectAgain(t *testing.T) {
	t.Parallel()
	const size, part = 1_000_000, 400_000
	img := randomImage(t, size, 1, amd64)
	blob := stored(t, img, 0)
	layers, _ := img.Layers()
	digest, _ := layers[0].Digest()
	var signed, asked atomic.Int32
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		switch {
		case r.Header.Get("Authorization") != "":
			http.Error(w, "Only one auth mechanism allowed", http.StatusBadRequest)
		case r.URL.Query().Get("signature") != fmt.Sprint(n):
			http.Error(w, "this URL was used before", http.StatusForbidden)
		case n == 1:
			cut(w, r, blob, part)
		case n == 2:
			cut(w, r, blob, 100_000)
		default:
			whole(w, r, blob)
		}
	}))
	defer storage.Close()
	var locked atomic.Bool
	host := newRegistry(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, password, _ := r.BasicAuth()
			switch {
			case locked.Load() && password != "secret":
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			case locked.Load() && strings.HasSuffix(r.URL.Path, "/blobs/"+digest.String()):
				url := fmt.Sprintf("%s/blob?signature=%d", storage.URL, signed.Add(1))
				http.Redirect(w, r, url, http.StatusTemporaryRedirect)
			default:
				h.ServeHTTP(w, r)
			}
		})
	})
	push(t, host+"/x:1", img)
	locked.Store(true)

	s := fast(t)
	var came *atomic.Int64
	s.Transport, came = counted()
	s.Auth = func(string) authn.Authenticator { return &authn.Basic{Username: "someone", Password: "secret"} }
	got, err := s.Resolve(t.Context(), host+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	before := came.Load()
	rc, err := got.Layers[0].Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if b, err := io.ReadAll(rc); err != nil || !bytes.Equal(b, blob) {
		t.Fatalf("reading = %d bytes, %v", len(b), err)
	}
	checkAgain(t, came.Load()-before-int64(len(blob)), 0)
	if asked.Load() != 3 {
		t.Errorf("the storage was asked %d times, want 3", asked.Load())
	}
}
