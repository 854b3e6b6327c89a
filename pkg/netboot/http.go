package netboot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"net"
	"net/http"
	"path"
	"strings"
	"time"
)

// patience is what clients of HTTP may take. Real ones have one connection, at most a few, and read as fast as they
// can.
type patience struct {
	all, each int // connections at a time, and of one address
	header    time.Duration
	idle      time.Duration
	stall     time.Duration // for a piece of an answer, 32 KiB at most, to leave this machine
}

// usual has room for a lab behind one address.
func usual() patience {
	return patience{all: 512, each: 64, header: 10 * time.Second, idle: 30 * time.Second, stall: 30 * time.Second}
}

// maxHeader is how long a request may be: nobody here has much to say.
const maxHeader = 8 << 10

// ServeHTTP answers GET and HEAD on l until it is closed, and then returns nil. Clients that are slow to ask, slow to
// read or too many are given up.
func ServeHTTP(l net.Listener, h http.Handler) error { return usual().serve(l, h) }

func (p patience) serve(l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler:           p.handler(h),
		ReadHeaderTimeout: p.header,
		IdleTimeout:       p.idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          stdlog.New(io.Discard, "", 0), // what clients do wrong is no news
	}
	defer server.Close()
	err := server.Serve(&gated{l, &gate{all: p.all, each: p.each}})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// handler has h answer requests that only read, as long as the client takes what it is given.
func (p patience) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &steady{w, http.NewResponseController(w), p.stall}
		s.extend()
		if r.ContentLength != 0 { // nothing that is asked here has a body: do not wait for one
			s.control.SetReadDeadline(time.Now())
			w.Header().Set("Connection", "close")
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(s, "this server only gives", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(s, r)
	})
}

// steady gives each piece of an answer a time of its own.
type steady struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

func (s *steady) extend() { s.control.SetWriteDeadline(time.Now().Add(s.stall)) }

func (s *steady) Write(b []byte) (n int, err error) {
	const piece = 32 << 10
	for first := true; err == nil && (first || n < len(b)); first = false {
		s.extend()
		var m int
		m, err = s.ResponseWriter.Write(b[n:min(n+piece, len(b))])
		n += m
	}
	return n, err
}

// handler serves the site over HTTP. Firmware asks for the length first, by HEAD, and some for parts: ServeContent
// knows both.
func (s *Site) handler(logf func(string, ...any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := clean(r.URL.Path)
		if name == "" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintln(w, strings.Join(s.names(), "\n"))
			return
		}
		f, err := s.open(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			logf("http: %s asks for %.80q, which is not here", r.RemoteAddr, name)
			http.NotFound(w, r)
			return
		case err != nil:
			logf("http: %v", err)
			http.Error(w, "cannot read it now", http.StatusInternalServerError)
			return
		}
		defer f.Close()
		if r.Method == http.MethodGet {
			logf("http: %s fetches %s", r.RemoteAddr, name)
		}
		w.Header().Set("Content-Type", contentType(name))
		http.ServeContent(w, r, name, f.time, f)
	})
}

// contentType is what UEFI 2.10, 24.7.2, tells a boot file by.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".efi":
		return "application/efi"
	case ".iso":
		return "application/vnd.efi-iso"
	case ".ipxe", "":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}
