package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// jargon are terms of Go's packages that mean nothing to a person at a console.
var jargon = regexp.MustCompile(`context deadline|context canceled|no such host|dial tcp|read tcp|write tcp|` +
	`i/o timeout|\bEOF\b|x509:|tls:|net/http|http:|lookup |misbehaving|connect:|read:|broken pipe|by peer`)

// dialTo returns a transport that reaches address, whatever host is asked for, and trusts the certificate of s.
func dialTo(address string, s *httptest.Server) *http.Transport {
	t := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: x509.NewCertPool()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	if s != nil {
		t.TLSClientConfig.RootCAs.AddCert(s.Certificate())
	}
	return t
}

// raw serves each connection by f, and returns the address.
func raw(t *testing.T, f func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c.(*net.TCPConn)) }()
		}
	}()
	return l.Addr().String()
}

// TestReasons has connections to real servers that fail, and what each error says.
func TestReasons(t *testing.T) {
	t.Parallel()
	quiet := log.New(io.Discard, "", 0)
	withTLS := func(config *tls.Config) *httptest.Server {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog, s.TLS = quiet, config
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	s := withTLS(nil) // its certificate is for 127.0.0.1, ::1, example.com and *.example.com
	at := s.Listener.Addr().String()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	nobody := closed.Listener.Addr().String()
	closed.Close()
	late := dialTo(at, s)
	late.TLSClientConfig.Time = func() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }
	wants := withTLS(&tls.Config{ClientAuth: tls.RequireAnyClientCert})
	secret := url.URL{Scheme: "https", Host: "127.0.0.2:1", Path: "/x", RawQuery: "signature=secret"}

	for _, row := range []struct {
		name      string
		transport http.RoundTripper
		want      string
		cause     Cause
		is        error // what errors.Is must still find
	}{
		{"refused", dialTo(nobody, nil), "cannot reach registry registry.lab: " + nobody + " refuses the connection",
			Refused, syscall.ECONNREFUSED},
		{"reset", dialTo(raw(t, func(c *net.TCPConn) { c.Read(make([]byte, 1)); c.SetLinger(0) }), nil),
			"cannot reach registry registry.lab: the connection was reset", Broken, syscall.ECONNRESET},
		{"closed", dialTo(raw(t, func(c *net.TCPConn) {
			io.ReadFull(c, make([]byte, 5))
			c.CloseWrite()
			io.Copy(io.Discard, c)
		}), nil), "cannot reach registry registry.lab: the connection was closed too early", Broken, io.EOF},
		{"silent", dialTo(raw(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) }), nil),
			"registry.lab gave no byte for 0.3 s", Other, nil},
		{"an alert", dialTo(raw(t, func(c *net.TCPConn) {
			c.Read(make([]byte, 4096))
			c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) // fatal, handshake_failure
			io.Copy(io.Discard, c)
		}), nil), "it refuses the TLS connection (handshake failure)", TLSRefused, nil},
		{"a client certificate", dialTo(wants.Listener.Addr().String(), wants),
			"registry www.example.com wants a client certificate", WantsCertificate, nil},
		{"an old TLS", dialTo(withTLS(&tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}).
			Listener.Addr().String(), nil), "protocol version", TLSRefused, nil},
		{"plain HTTP", dialTo(plain.Listener.Addr().String(), nil), "registry registry.lab speaks plain HTTP", Other, nil},
		{"no TLS", dialTo(raw(t, func(c *net.TCPConn) { c.Write([]byte("SSH-2.0-x\r\n")); io.Copy(io.Discard, c) }), nil),
			"registry registry.lab does not speak TLS", Other, nil},
		{"an unknown authority", dialTo(at, nil), "the certificate of registry www.example.com is not trusted: " +
			"no authority that this machine trusts has issued it, it is self-signed", UnknownIssuer, nil},
		{"another name", dialTo(at, s), "is not trusted: it is for example.com, *.example.com, 127.0.0.1, ::1, " +
			"not for registry.lab", WrongName, nil},
		{"an old certificate", late, "it is valid from 1970-01-01 00:00:00 to 2084-01-29 16:00:00", Dated, nil},
		{"a name", fails{&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{
			Err: "no such host", Name: "registry.lab", Server: "10.0.2.3:53", IsNotFound: true}}},
			"cannot reach registry registry.lab: the name registry.lab is unknown to DNS server 10.0.2.3", UnknownName, nil},
		{"a name of /etc/hosts only", fails{&net.DNSError{Err: "no such host", Name: "registry.lab", IsNotFound: true}},
			"the name registry.lab is unknown", UnknownName, nil},
		{"silent DNS", fails{&net.OpError{Op: "dial", Err: &net.DNSError{
			Err: "i/o timeout", Name: "registry.lab", Server: "[2001:db8::1]:53", IsTimeout: true}}},
			"DNS server 2001:db8::1 does not answer, so the address of registry.lab is not known", NoDNS, nil},
		{"several silent DNS servers", fails{&net.OpError{Op: "dial", Err: &net.DNSError{
			Err: "i/o timeout", Name: "registry.lab", IsTimeout: true}}}, "no DNS server has answered in time", NoDNS, nil},
		{"no DNS", fails{&net.DNSError{Err: "read udp 127.0.0.1:9->127.0.0.1:53: read: connection refused",
			Name: "registry.lab", Server: "127.0.0.1:53"}}, "this machine knows no DNS server", NoDNS, nil},
		{"DNS refused", fails{&net.DNSError{Err: "read udp 10.0.2.1:9->10.0.2.3:53: read: connection refused",
			Name: "registry.lab", Server: "10.0.2.3:53"}}, "nothing answers DNS at 10.0.2.3", NoDNS, nil},
		{"DNS beyond reach", fails{&net.DNSError{Err: "dial udp 10.0.2.3:53: connect: network is unreachable",
			Name: "registry.lab", Server: "10.0.2.3:53"}}, "DNS server 10.0.2.3 cannot be reached", NoDNS, nil},
		{"DNS with trouble", fails{&net.DNSError{Err: "server misbehaving", Name: "registry.lab", Server: "10.0.2.3:53",
			IsTemporary: true}}, "DNS server 10.0.2.3 fails to find out the address of registry.lab", NoDNS, nil},
		{"DNS with nonsense", fails{&net.DNSError{Err: "cannot unmarshal DNS message", Name: "registry.lab",
			Server: "10.0.2.3:5353"}}, "DNS server 10.0.2.3:5353 gives no usable answer about registry.lab", NoDNS, nil},
		{"no route", fails{dialing(syscall.ENETUNREACH)}, "this machine has no route to 10.9.9.9:443", NoRoute,
			syscall.ENETUNREACH},
		{"no host", fails{dialing(syscall.EHOSTUNREACH)}, "10.9.9.9:443 cannot be reached", NoRoute, syscall.EHOSTUNREACH},
		{"forbidden", fails{dialing(syscall.EACCES)}, "a firewall forbids connections to 10.9.9.9:443", NoRoute, nil},
		{"no answer", fails{dialing(os.ErrDeadlineExceeded)}, "10.9.9.9:443 does not answer", Silent, nil},
		{"a dead proxy", fails{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: dialing(syscall.ECONNREFUSED)}},
			"the proxy cannot be reached: 10.9.9.9:443 refuses the connection", NoProxy, syscall.ECONNREFUSED},
		{"no HTTP", dialTo(raw(t, func(c *net.TCPConn) { answerTLS(c, s, "SSH-2.0-x\r\n\r\n") }), s),
			"malformed HTTP", Other, nil},
		{"elsewhere", fails{&url.Error{Op: "Get", URL: secret.String(), Err: dialing(syscall.ECONNREFUSED)}},
			"cannot reach registry registry.lab: 10.9.9.9:443 refuses", Refused, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			host := "registry.lab"
			switch row.name {
			case "no HTTP", "an unknown authority", "a client certificate":
				host = "www.example.com" // the certificate is for that
			}
			source := &Source{Transport: row.transport, Stall: 20 * time.Second, Tries: 1}
			if row.name == "silent" {
				source.Stall = 300 * time.Millisecond
			}
			_, err := source.Resolve(t.Context(), host+"/x:1")
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("Resolve = %v, want %q", err, row.want)
			}
			if jargon.MatchString(err.Error()) || strings.Contains(err.Error(), "secret") {
				t.Errorf("Resolve = %v, which a person cannot use", err)
			}
			if got := Diagnose(fmt.Errorf("cannot get x: %w", err)).Cause; got != row.cause {
				t.Errorf("the cause of %v is %v, want %v", err, got, row.cause)
			}
			if row.is != nil && !errors.Is(err, row.is) {
				t.Errorf("%v hides %v", err, row.is)
			}
		})
	}
}

// fails is a transport whose requests fail.
type fails struct{ err error }

func (f fails) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

func dialing(err error) *net.OpError {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 9, 9, 9), Port: 443},
		Err: os.NewSyscallError("connect", err)}
}

// answerTLS answers any request on c with text, over TLS with the certificate of s.
func answerTLS(c net.Conn, s *httptest.Server, text string) {
	conn := tls.Server(c, s.TLS)
	conn.Read(make([]byte, 4096))
	io.WriteString(conn, text)
	conn.Close()
}

// TestResolverErrors asks DNS servers that fail, by Go's resolver, and checks that each of its errors is understood.
func TestResolverErrors(t *testing.T) {
	t.Parallel()
	answers := func(code uint16) string {
		return nettest.UDP(t, func(question []byte) []byte {
			if code > 15 {
				return nil // no answer at all
			}
			a := slices.Clone(question[:questionEnd(question)])
			binary.BigEndian.PutUint16(a[2:], 0x8180|code) // an answer; RFC 1035, section 4.1.1
			binary.BigEndian.PutUint16(a[10:], 0)          // without additional records
			return a
		})
	}
	const unknown = `^the name registry\.example is unknown to DNS server \S+$`
	const fails = `^DNS server \S+ fails to find out the address of registry\.example$`
	const nobody = `^(nothing answers DNS at \S+|this machine knows no DNS server), `
	for _, row := range []struct {
		name, server string
		want         string
		cause        Cause
	}{
		{"NXDOMAIN", answers(3), unknown, UnknownName},
		{"NODATA", answers(0), unknown, UnknownName},
		{"SERVFAIL", answers(2), fails, NoDNS},
		{"REFUSED", answers(5), fails, NoDNS},
		{"silence", answers(99), `^no DNS server has answered in time, `, NoDNS},
		{"nobody", "127.0.0.1:1", nobody, NoDNS},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "udp", row.server)
			}}
			dialer := &net.Dialer{Resolver: resolver, Timeout: time.Second}
			_, err := dialer.DialContext(t.Context(), "tcp", "registry.example:443")
			text, cause := reason(err)
			if !regexp.MustCompile(row.want).MatchString(text) || jargon.MatchString(text) || cause != row.cause {
				t.Errorf("%v is %q, cause %v; want %v, cause %v", err, text, cause, row.want, row.cause)
			}
		})
	}
}

// questionEnd returns where the only question of a DNS message ends.
func questionEnd(m []byte) int {
	n := 12
	for n < len(m) && m[n] != 0 {
		n += int(m[n]) + 1
	}
	return min(n+5, len(m))
}

// TestRedirectedFailure checks that an error names the server that failed, not the registry that redirected there.
func TestRedirectedFailure(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	storage := closed.Listener.Addr().String()
	closed.Close()
	denies := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }))
	defer denies.Close()
	for _, row := range []struct{ to, want string }{
		{"http://" + storage,
			"cannot reach " + storage + " (registry HOST redirects there): " + storage + " refuses the connection"},
		{denies.URL, strings.TrimPrefix(denies.URL, "http://") + " (registry HOST redirects there) denies access"},
	} {
		l, _ := spoil(t, fast(t), 1000, func(w http.ResponseWriter, r *http.Request, _ []byte) {
			http.Redirect(w, r, row.to+"/x?signature=secret", http.StatusTemporaryRedirect)
		})
		_, err := readAll(t, l)
		if err == nil {
			t.Fatal("the layer came from nowhere")
		}
		got := regexp.MustCompile(`registry \S+ redirects`).ReplaceAllString(err.Error(), "registry HOST redirects")
		if !strings.Contains(got, row.want) || strings.Contains(got, "secret") {
			t.Errorf("reading = %s, want %q", got, row.want)
		}
	}
}

// TestReport checks what a caller is told of a registry that is down for a while, and of a download that breaks.
func TestReport(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []string
	s := fast(t)
	s.Tries = 5
	s.Report = func(a Attempt) {
		mu.Lock()
		defer mu.Unlock()
		who := a.Who
		if a.Err != nil {
			who = Gist(a.Err)
		}
		told = append(told, regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(who, "HOST"))
	}
	asked := 0
	l, _ := spoil(t, s, 500_000, func(w http.ResponseWriter, r *http.Request, blob []byte) {
		asked++
		switch {
		case asked < 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		case asked < 6:
			w.Header().Set("Content-Length", fmt.Sprint(len(blob)-first(r)))
			if first(r) > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first(r), len(blob)-1, len(blob)))
				w.WriteHeader(http.StatusPartialContent)
			}
			w.Write(blob[first(r):][:1000*asked])
		default:
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(blob)))
		}
	})
	if _, err := readAll(t, l); err != nil {
		t.Fatal(err)
	}
	const down = "HOST answers 503 Service Unavailable"
	const broke = "the download from HOST broke: the connection was closed too early"
	want := []string{"registry HOST", down, down, broke, broke, broke, "registry HOST"}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("it told\n%q, want\n%q", told, want)
	}
}
