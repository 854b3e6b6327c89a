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

// httpLimits limits what HTTP clients can use. Real clients have one or a few connections and read as fast as they can.
type httpLimits struct {
	all, each int // concurrent connections: in total, and from one address
	header    time.Duration
	idle      time.Duration
	stall     time.Duration // the time to send one piece of an answer, at most 32 KiB
}

// defaultLimits allows many machines to share one address.
func defaultLimits() httpLimits {
	return httpLimits{all: 512, each: 64, header: 10 * time.Second, idle: 30 * time.Second, stall: 30 * time.Second}
}

// maxHeader is the maximum length of a request's header. Boot clients send short requests.
const maxHeader = 8 << 10

// ServeHTTP answers GET and HEAD on l until it is closed, and then returns nil. It drops clients that
// send or read too slowly, and connections beyond the limits.
func ServeHTTP(l net.Listener, h http.Handler) error { return defaultLimits().serve(l, h) }

func (p httpLimits) serve(l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler:           p.handler(h),
		ReadHeaderTimeout: p.header,
		IdleTimeout:       p.idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          stdlog.New(io.Discard, "", 0), // errors of clients are not logged
	}
	defer server.Close()
	err := server.Serve(&limitedListener{l, &limiter{all: p.all, each: p.each}})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// handler returns a handler that passes GET and HEAD requests to h and limits the time for each piece of the answer.
func (p httpLimits) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &deadlineWriter{w, http.NewResponseController(w), p.stall}
		s.extend()
		if r.ContentLength != 0 { // no valid request here has a body: do not wait for it
			s.control.SetReadDeadline(time.Now())
			w.Header().Set("Connection", "close")
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(s, "this server answers only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(s, r)
	})
}

// deadlineWriter sets a new write deadline for each piece of an answer.
type deadlineWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

func (s *deadlineWriter) extend() { s.control.SetWriteDeadline(time.Now().Add(s.stall)) }

func (s *deadlineWriter) Write(b []byte) (n int, err error) {
	const piece = 32 << 10
	for first := true; err == nil && (first || n < len(b)); first = false {
		s.extend()
		var m int
		m, err = s.ResponseWriter.Write(b[n:min(n+piece, len(b))])
		n += m
	}
	return n, err
}

// handler serves the site over HTTP. Firmware asks for the length first, with HEAD, and some firmware fetches ranges.
// ServeContent supports both.
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
			logf("http: %s asks for %.80q, which does not exist", r.RemoteAddr, name)
			http.Error(w, "there is no such file; / lists the files, and a machine can also fetch each as m/UUID/FILE",
				http.StatusNotFound)
			return
		case err != nil:
			logf("http: %v", err)
			http.Error(w, "cannot read it now", http.StatusInternalServerError)
			return
		}
		defer f.Close()
		if r.Method == http.MethodGet {
			logf("http: %s fetches %s%s", r.RemoteAddr, name, f.note)
		}
		w.Header().Set("Content-Type", contentType(name))
		http.ServeContent(w, r, name, f.time, f)
	})
}

// contentType returns the media type by which UEFI firmware recognises a boot file (UEFI 2.10, 24.7.2).
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
