package imagetest

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strconv"
	"sync"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// A Proxy is an HTTP proxy for those who log in with User and Password. It reaches the servers in Names and no others.
type Proxy struct {
	Host  string
	Names map[string]string // addresses by what clients call them, "HOST:PORT" both

	mu    sync.Mutex
	asked []string
}

// NewProxy runs a proxy until the test ends. With an authority, clients reach the proxy itself over TLS.
func NewProxy(t testing.TB, names map[string]string, overTLS *nettest.Authority) *Proxy {
	t.Helper()
	p := &Proxy{Names: names}
	srv := httptest.NewUnstartedServer(p)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if overTLS != nil {
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{overTLS.Server(t)}}
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	p.Host = srv.Listener.Addr().String()
	return p
}

// Asked returns the requests so far, such as "200 CONNECT registry.example:443" and "200 GET registry.example:5000",
// the same one once.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Sorted(slices.Values(p.asked))
	return slices.Compact(list)
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	address, known := p.Names[r.Host]
	login := "Basic " + base64.StdEncoding.EncodeToString([]byte(User+":"+Password))
	status := http.StatusOK
	switch {
	case r.Header.Get("Proxy-Authorization") != login:
		status = http.StatusProxyAuthRequired
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
	case !known:
		status = http.StatusForbidden
	}
	p.mu.Lock()
	p.asked = append(p.asked, strconv.Itoa(status)+" "+r.Method+" "+r.Host)
	p.mu.Unlock()
	switch {
	case status != http.StatusOK:
		w.WriteHeader(status)
	case r.Method == http.MethodConnect:
		tunnel(w, address)
	default:
		forward := &httputil.ReverseProxy{Rewrite: func(out *httputil.ProxyRequest) {
			out.Out.URL.Host = address
			out.Out.Host = r.Host
		}}
		forward.ServeHTTP(w, r)
	}
}

// tunnel connects a client with a server (RFC 9110, section 9.3.6).
func tunnel(w http.ResponseWriter, address string) {
	to, err := net.Dial("tcp", address)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer to.Close()
	from, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	if _, err := io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		io.Copy(to, buffered) // what the client has sent too early is in the buffer
		to.Close()
	}()
	io.Copy(from, to)
}
