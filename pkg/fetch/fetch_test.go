package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pin/tftp/v3"

	"gitlab.com/wyrcan/wyrcan/pkg/fetch"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

var digest = strings.Repeat("0A", 32)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"https://server.example/a/b?c=d":                "https://server.example/a/b?…",
		"https://server.example:8443/#sha256=" + digest: "https://server.example:8443/",
		"HTTP://10.0.0.1/x#sha256=" + digest:            "http://10.0.0.1/x",
		"http://[2001:db8::1]:80/x#sha256=" + digest:    "http://[2001:db8::1]:80/x",
		"tftp://server.example/a#sha256=" + digest:      "tftp://server.example/a",
	} {
		if got, err := fetch.Parse(text); err != nil || got.String() != want {
			t.Errorf("Parse(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                       "not a URL",
		"x":                                      "not a URL",
		"/etc/x":                                 "not a URL",
		"https:":                                 "not a URL",
		"https:x":                                "not a URL",
		"https://:1/x":                           "not a URL",
		"https://h/a b":                          "not a URL",
		"https://h/\x1b[2J":                      "not a URL",
		"https://h/é":                            "not a URL",
		"https://h:0/x":                          `"0" is no port`,
		"https://h:99999/x":                      `"99999" is no port`,
		"https://me:hunter2@h/x":                 "leave the login out",
		"file:///etc/x":                          "not a URL",
		"ftp://h/x":                              "do not come by ftp",
		"http://h/x":                             "can change what comes by http",
		"tftp://h/x":                             "can change what comes by tftp",
		"tftp://h/#sha256=" + digest:             "names no file",
		"tftp://h/a%00b#sha256=" + digest:        "names no file",
		"http://h/x#sha256=0a":                   "64 hexadecimal digits",
		"http://h/x#sha256=" + digest + "00":     "64 hexadecimal digits",
		"http://h/x#sha256=" + digest[2:] + "zz": "64 hexadecimal digits",
		"http://h/x#sha512=" + digest:            "something other than #sha256",
		"https://h/x#part":                       "something other than #sha256",
		"https://h/" + strings.Repeat("x", 2048): "more than 2048",
	} {
		if got, err := fetch.Parse(text); err == nil || !strings.Contains(err.Error(), want) ||
			strings.ContainsAny(err.Error(), "\x1b\n") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Parse(%.80q) = %v, %v, want an error with %q", text, got, err, want)
		}
	}
}

// FuzzParse checks that a URL without TLS has a digest, and that none leads to another scheme.
func FuzzParse(f *testing.F) {
	f.Add("https://server.example:443/a?b=c")
	f.Add("tftp://h/x#sha256=" + digest)
	f.Fuzz(func(t *testing.T, text string) {
		l, err := fetch.Parse(text)
		if err != nil {
			return
		}
		lower := strings.ToLower(text)
		if !strings.HasPrefix(lower, "https://") && !strings.Contains(lower, "#sha256=") {
			t.Errorf("%q is accepted", text)
		}
		if strings.Contains(l.String(), "sha256=") && !strings.Contains(strings.Split(lower, "#")[0], "sha256=") {
			t.Errorf("%q has the digest still: %v", text, l)
		}
	})
}

// at returns the location at address with the digest of content.
func at(t *testing.T, address, content string) fetch.Location {
	t.Helper()
	l, err := fetch.Parse(fmt.Sprintf("%s#sha256=%x", address, sha256.Sum256([]byte(content))))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestHTTP gets a file with its digest from a server without TLS, by the client of the images.
func TestHTTP(t *testing.T) {
	const content = "wyr.img=registry.example/x\n"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, content) }))
	defer s.Close()
	source := new(image.Source)
	if b, err := at(t, s.URL+"/x", content).Get(t.Context(), source.File); err != nil || string(b) != content {
		t.Errorf("Get = %q, %v", b, err)
	}
	b, err := at(t, s.URL+"/x", content+"#").Get(t.Context(), source.File)
	if err == nil || b != nil || !strings.Contains(err.Error(), "sends another file") || fetch.Heals(err) ||
		image.Heals(err) {
		t.Errorf("a changed file: %q, %v", b, err)
	}
}

// TestSlow has a server that never ends.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := at(t, "http://server.example/x", "")
		begin := time.Now()
		_, err := l.Get(t.Context(), func(ctx context.Context, _ string, _ int64) ([]byte, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		const want = "server server.example has taken more than 60 s"
		if err == nil || !fetch.Heals(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("Get: %v", err)
		}
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("it took %v", d)
		}
	})
}

// TestTFTP reads files of several lengths from the server of another project.
func TestTFTP(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), fetch.Limit/16)
	files := map[string][]byte{"empty": {}, "short": []byte("wyr.img=x\n"), "block": large[:512], "sub/long": large[:5000],
		"limit": large, "toolong": append(large[:len(large):len(large)], 'x')}
	server := tftp.NewServer(func(name string, to io.ReaderFrom) error {
		content, ok := files[name]
		if !ok {
			return errors.New("file not found") // which pin/tftp sends with code 1
		}
		_, err := to.ReadFrom(bytes.NewReader(content))
		return err
	}, nil)
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(conn)
	t.Cleanup(server.Shutdown)
	get := func(name, content string) ([]byte, error) {
		return at(t, fmt.Sprintf("tftp://%v/%s", conn.LocalAddr(), name), content).Get(t.Context(), nil)
	}
	for name, content := range files {
		got, err := get(name, string(content))
		switch {
		case name == "toolong":
			if err == nil || !strings.Contains(err.Error(), "more than 64 KiB") || fetch.Heals(err) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		case err != nil || !bytes.Equal(got, content):
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(content))
		}
	}
	b, err := get("absent", "")
	if err == nil || !strings.Contains(err.Error(), "does not have the file") || fetch.Heals(err) {
		t.Errorf("absent: %q, %v", b, err)
	}
	if b, err := get("short", "another"); err == nil || !strings.Contains(err.Error(), "sends another file") {
		t.Errorf("changed: %q, %v", b, err)
	}
}

// packet returns a TFTP packet.
func packet(op, number uint16, rest string) []byte {
	return append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, op), number), rest...)
}

// TestHostileTFTP has servers that break the protocol, and one that loses packets.
func TestHostileTFTP(t *testing.T) {
	const data, failure = 3, 5
	const content = "wyr.img=x\n"
	full := strings.Repeat("x", 512)
	for _, tt := range []struct {
		name   string
		answer func(n int, got []byte, send func(...byte)) // n counts what has arrived
		want   string                                      // in the error; "" for the content
		heals  bool
	}{
		{"silent", func(int, []byte, func(...byte)) {}, "does not answer", true},
		{"loses packets", func(n int, _ []byte, send func(...byte)) {
			if n == 2 {
				send(packet(data, 1, content)...)
			}
		}, "", false},
		{"an old block first", func(_ int, _ []byte, send func(...byte)) {
			send(packet(data, 7, "old")...)
			send(packet(data, 0, "old")...)
			send()
			send(0, data, 0)
			send(packet(4, 1, "")...)
			send(packet(data, 1, content)...)
		}, "", false},
		{"endless", func(_ int, got []byte, send func(...byte)) {
			number := uint16(1)
			if got[1] == 4 {
				number = binary.BigEndian.Uint16(got[2:]) + 1
			}
			send(packet(data, number, full)...)
		}, "more than 64 KiB", false},
		{"too long a block", func(_ int, _ []byte, send func(...byte)) { send(packet(data, 1, full+"x")...) },
			"more than 512 bytes", false},
		{"the same block for ever", func(_ int, _ []byte, send func(...byte)) {
			for range 3 {
				send(packet(data, 1, full)...)
			}
		}, "does not answer", true},
		{"overloaded", func(_ int, _ []byte, send func(...byte)) {
			send(packet(failure, 0, "come\n\x1b[2J back\x00rest")...)
		}, "fails: come [2J back", true},
		{"refuses", func(_ int, _ []byte, send func(...byte)) { send(packet(failure, 2, "")...) }, "refuses: ", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := listen(t)
			go func() {
				b := make([]byte, 2048)
				for n := 1; ; n++ {
					got, peer, err := conn.ReadFrom(b)
					if err != nil {
						return
					}
					tt.answer(n, b[:got], func(p ...byte) { conn.WriteTo(p, peer) })
				}
			}()
			l := at(t, fmt.Sprintf("tftp://%v/x", conn.LocalAddr()), content)
			got, err := l.Get(t.Context(), nil)
			if tt.want == "" {
				if err != nil || string(got) != content {
					t.Errorf("Get = %q, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || fetch.Heals(err) != tt.heals ||
				strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("Get = %.20q, %v (heals: %v), want %q (%v)", got, err, fetch.Heals(err), tt.want, tt.heals)
			}
		})
	}
}

// A block from another address does not count, and a transfer ends with its context.
func TestTFTPStranger(t *testing.T) {
	server := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		b := make([]byte, 2048)
		_, peer, err := server.ReadFrom(b)
		if err != nil {
			return
		}
		port := peer.(*net.UDPAddr).Port
		stranger, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)},
			&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			t.Error(err)
			cancel()
			return
		}
		defer stranger.Close()
		stranger.Write(packet(3, 1, "evil"))
		time.Sleep(100 * time.Millisecond)
		cancel()
	}()
	b, err := at(t, fmt.Sprintf("tftp://%v/x", server.LocalAddr()), "evil").Get(ctx, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Get = %q, %v, want the end of its context", b, err)
	}
}

// A transfer goes on with the port that has sent the first block.
func TestTFTPPort(t *testing.T) {
	server, other := listen(t), listen(t)
	full := strings.Repeat("x", 512)
	go func() {
		b := make([]byte, 2048)
		_, peer, err := server.ReadFrom(b)
		if err != nil {
			return
		}
		server.WriteTo(packet(3, 1, full), peer)
		if _, _, err := server.ReadFrom(b); err != nil {
			return
		}
		other.WriteTo(packet(3, 2, "evil"), peer)
		time.Sleep(100 * time.Millisecond)
		server.WriteTo(packet(3, 2, "good"), peer)
	}()
	b, err := at(t, fmt.Sprintf("tftp://%v/x", server.LocalAddr()), full+"good").Get(t.Context(), nil)
	if err != nil || string(b) != full+"good" {
		t.Errorf("Get = %d bytes, %v", len(b), err)
	}
}

func listen(t *testing.T) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// FuzzTFTP has a server that answers anything. The transfer ends, with a file that has the right digest or an error.
func FuzzTFTP(f *testing.F) {
	f.Add(packet(3, 1, "x"), packet(3, 2, ""))
	f.Add(packet(5, 1, "no such file\x00"), []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		conn := listen(t)
		go func() {
			b := make([]byte, 2048)
			for _, answer := range [][]byte{first, second, packet(5, 0, "enough")} {
				_, peer, err := conn.ReadFrom(b)
				if err != nil {
					return
				}
				conn.WriteTo(answer, peer)
				conn.WriteTo(packet(5, 0, "enough"), peer)
			}
		}()
		b, err := at(t, fmt.Sprintf("tftp://%v/x", conn.LocalAddr()), "x").Get(t.Context(), nil)
		if err == nil && string(b) != "x" || err != nil && strings.ContainsAny(err.Error(), "\x1b\n\x00") {
			t.Errorf("Get = %q, %v", b, err)
		}
	})
}
