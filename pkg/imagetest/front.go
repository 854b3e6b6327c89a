package imagetest

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// A Front is a reverse proxy in front of a server. It notes what is asked for.
type Front struct {
	Host string // "127.0.0.1:PORT"
	srv  *httptest.Server

	mu    sync.Mutex
	asked []FrontRequest
}

// A FrontRequest is a request, and the status of its answer.
type FrontRequest struct {
	Method, Path  string
	Agent         string // User-Agent
	Authorization string
	Status        int
}

// NewFront runs a front of the server at address, which speaks plain HTTP, until the test ends. With an authority,
// clients reach the front over TLS.
func NewFront(t testing.TB, address string, overTLS *nettest.Authority) *Front {
	t.Helper()
	f := &Front{}
	behind := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
		ErrorLog: log.New(io.Discard, "", 0),
		ModifyResponse: func(resp *http.Response) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			r := resp.Request
			f.asked = append(f.asked, FrontRequest{
				r.Method, r.URL.Path, r.Header.Get("User-Agent"), r.Header.Get("Authorization"), resp.StatusCode,
			})
			return nil
		},
	}
	f.srv = httptest.NewUnstartedServer(behind)
	f.srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if overTLS != nil {
		f.srv.TLS = &tls.Config{Certificates: []tls.Certificate{overTLS.Server(t)}}
		f.srv.StartTLS()
	} else {
		f.srv.Start()
	}
	t.Cleanup(f.Stop)
	f.Host = f.srv.Listener.Addr().String()
	return f
}

// Stop ends the front: connections are refused. It may be called again.
func (f *Front) Stop() {
	f.srv.CloseClientConnections()
	f.srv.Close()
}

// Asked returns the requests so far.
func (f *Front) Asked() []FrontRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// Forget forgets the requests so far.
func (f *Front) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = nil
}
