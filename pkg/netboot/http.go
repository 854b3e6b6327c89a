package netboot

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// handler serves the site over HTTP. Firmware asks for the length first, by HEAD, and some for parts: ServeContent knows
// both.
func (s *Site) handler(logf func(string, ...any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this server only gives", http.StatusMethodNotAllowed)
			return
		}
		name := clean(r.URL.Path)
		if name == "" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintln(w, strings.Join(s.names(), "\n"))
			return
		}
		f, err := s.open(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			logf("http: %s asks for %q, which is not here", r.RemoteAddr, name)
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
