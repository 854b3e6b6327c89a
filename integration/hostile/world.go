// Package hostile has the attacks that Wyrcan is tested against: registries that stall, send wrong content, redirect,
// try to get a login, or send control characters to a terminal. Attacks returns all of them. Each runs in a World: a
// small internet on loopback, which records what each server has received.
package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// A World has servers by their addresses, such as "registry.example:443". A connection to another address fails.
type World struct {
	t     testing.TB
	ca    *nettest.Authority
	Roots *x509.CertPool // the authority that signs the certificates of servers with TLS

	mu      sync.Mutex
	servers map[string]string // the real address of each server
	told    []told
}

// told is a request as a server has received it.
type told struct{ origin, request string }

// NewWorld returns a world without servers. It ends with its test.
func NewWorld(t testing.TB) *World {
	t.Helper()
	ca := nettest.Named(t, "hostile")
	return &World{t: t, ca: ca, Roots: ca.Pool(), servers: make(map[string]string)}
}

// HTTPS adds a server at https://HOST[:PORT]. Its certificate is for the host, or for names if there are any.
func (w *World) HTTPS(host string, h http.Handler, names ...string) {
	w.t.Helper()
	bare := strings.Split(host, ":")[0]
	template := x509.Certificate{
		DNSNames: names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	switch ip := net.ParseIP(bare); {
	case names != nil:
	case ip != nil:
		template.IPAddresses = []net.IP{ip}
	default:
		template.DNSNames = []string{bare}
	}
	s := w.server("https://"+host, h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{w.ca.Sign(w.t, template)}}
	s.StartTLS()
	w.put(host, "443", s.Listener.Addr().String())
}

// HTTP adds a server at http://HOST[:PORT].
func (w *World) HTTP(host string, h http.Handler) {
	s := w.server("http://"+host, h)
	s.Start()
	w.put(host, "80", s.Listener.Addr().String())
}

// Raw adds a server at HOST:PORT that handles each connection with answer.
func (w *World) Raw(address string, answer func(net.Conn)) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer(c)
			}()
		}
	}()
	w.put(address, "", l.Addr().String())
}

func (w *World) put(host, port, real string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.Contains(host, ":") {
		host += ":" + port
	}
	w.servers[host] = real
}

func (w *World) server(origin string, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		head, err := httputil.DumpRequest(r, false)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.mu.Lock()
		w.told = append(w.told, told{origin, string(head) + string(body)})
		w.mu.Unlock()
		h.ServeHTTP(rw, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// Told returns the origins, such as "https://registry.example", of the servers that have received the text.
func (w *World) Told(text string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var origins []string
	for _, t := range w.told {
		if strings.Contains(t.request, text) {
			origins = append(origins, t.origin)
		}
	}
	return origins
}

// Transport returns a transport that reaches only the servers of this world, and trusts its authority.
func (w *World) Transport() *http.Transport {
	return &http.Transport{
		DialContext:        w.dial,
		TLSClientConfig:    &tls.Config{RootCAs: w.Roots},
		DisableCompression: true,
		DisableKeepAlives:  true, // so that a server that hangs does not delay the end of the test
	}
}

func (w *World) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	real, ok := w.servers[address]
	w.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("nobody is at %s", address)}
	}
	return new(net.Dialer).DialContext(ctx, network, real)
}
