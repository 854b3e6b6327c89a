package netboot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// peer returns the socket of a TFTP client that does nothing by itself.
func peer(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask sends a packet in the form of a request, and returns its length.
func ask(t *testing.T, from *net.UDPConn, server string, op uint16, words ...string) int {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp4", server)
	if err != nil {
		t.Fatal(err)
	}
	p := append(binary.BigEndian.AppendUint16(nil, op), strings.Join(words, "\x00")+"\x00"...)
	if _, err := from.WriteToUDP(p, to); err != nil {
		t.Fatal(err)
	}
	return len(p)
}

// heard returns the packets that arrive within some time, and the sender of the last one.
func heard(from *net.UDPConn, within time.Duration) (packets [][]byte, sender *net.UDPAddr) {
	from.SetReadDeadline(time.Now().Add(within))
	for b := make([]byte, 1<<16); ; {
		n, who, err := from.ReadFromUDP(b)
		if err != nil {
			return packets, sender
		}
		packets, sender = append(packets, bytes.Clone(b[:n])), who
	}
}

// answered reports whether a packet arrives soon.
func answered(from *net.UDPConn) bool {
	from.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, _, err := from.ReadFromUDP(make([]byte, 1<<16))
	return err == nil
}

// A peer that has not answered gets at most three packets, of at most 516 bytes: its address may be forged.
func TestTFTPUnanswered(t *testing.T) {
	t.Parallel()
	_, server, l := start(t, site(t))
	for name, options := range map[string][]string{
		"plain":    nil,
		"options":  {"blksize", "65464", "tsize", "0"},
		"nonsense": {"blksize", "0", "tsize", "-1", "windowsize", "64", "timeout", "1", "blksize"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := peer(t)
			request := func() { ask(t, from, server, opRead, append([]string{KernelName, "octet"}, options...)...) }
			request()
			time.AfterFunc(testWait/2, request) // as a client repeats its request
			packets, _ := heard(from, 6*testWait)
			if n := len(packets); n < 2 || n > 1+firstRepeats {
				t.Errorf("%d packets came", n)
			}
			for _, p := range packets {
				if len(p) > 516 {
					t.Errorf("a packet of %d bytes came", len(p))
				}
			}
		})
	}
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, "fetches") || strings.Contains(line, "broke off") {
			t.Errorf("about peers that may not exist it logged %q", line)
		}
	}
}

// One address cannot have more than its share of unconfirmed transfers, and cannot keep others from being served.
func TestTFTPMany(t *testing.T) {
	t.Parallel()
	_, server, _ := start(t, site(t))
	const many = 40
	began := 0
	var peers []*net.UDPConn
	for range many {
		from := peer(t)
		ask(t, from, server, opRead, KernelName, "octet")
		peers = append(peers, from)
	}
	for _, from := range peers {
		if packets, _ := heard(from, 20*time.Millisecond); len(packets) > 0 {
			began++
		}
	}
	if began != maxPeerUnanswered {
		t.Errorf("of %d that asked %d were sent something, want %d", many, began, maxPeerUnanswered)
	}
	// Another address has its own share.
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ask(t, other, server, opRead, "undionly.kpxe", "octet")
	if !answered(other) {
		t.Error("another peer is not served")
	}
	// When those transfers have been given up, there is room again.
	time.Sleep((firstRepeats + 1) * testWait)
	again := peer(t)
	ask(t, again, server, opRead, "undionly.kpxe", "octet")
	if !answered(again) {
		t.Error("after the unanswered transfers ended, nothing is served")
	}
}

// A packet that is not a valid read request gets a short error or no answer.
func TestTFTPOther(t *testing.T) {
	t.Parallel()
	_, server, _ := start(t, site(t))
	for name, c := range map[string]struct {
		op    uint16
		words []string
		want  string // the text of the error, "" for no answer
	}{
		"to write":      {opWrite, []string{"x", "octet"}, "read only"},
		"text":          {opRead, []string{KernelName, "netascii"}, "binary (octet) mode only"},
		"no such file":  {opRead, []string{"../../../../../etc/passwd", "octet"}, "no such file"},
		"no mode":       {opRead, []string{KernelName}, ""},
		"empty":         {opRead, nil, ""},
		"an error":      {opError, []string{"x", "octet"}, ""}, // else two servers could answer each other for ever
		"data":          {opData, []string{"x", "octet"}, ""},
		"options":       {opOptions, []string{"x", "octet"}, ""},
		"nothing known": {99, []string{"x", "octet"}, ""},
		"too long":      {opRead, []string{KernelName, "octet", strings.Repeat("x", 600), ""}, ""},
	} {
		from := peer(t)
		asked := ask(t, from, server, c.op, c.words...)
		packets, _ := heard(from, 100*time.Millisecond)
		if c.want == "" && len(packets) > 0 || c.want != "" &&
			(len(packets) != 1 || !bytes.HasSuffix(packets[0], []byte(c.want+"\x00"))) {
			t.Errorf("%s: %q came, want %q", name, packets, c.want)
		}
		for _, p := range packets {
			if len(p) > asked+12 {
				t.Errorf("%s: %d bytes for %d", name, len(p), asked)
			}
		}
	}
}

// fetch fetches a file as an honest client does. lose says how often each block gets lost on its way.
func fetch(t *testing.T, server string, size int, lose map[int]int, words ...string) []byte {
	t.Helper()
	from := peer(t)
	ask(t, from, server, opRead, append(words, "blksize", fmt.Sprint(size))...)
	var got []byte
	b := make([]byte, 1<<16)
	for next := 0; ; {
		from.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, who, err := from.ReadFromUDP(b)
		if err != nil {
			t.Fatalf("after block %d: %v", next-1, err)
		}
		op, number := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		if op != opOptions && (op != opData || number != uint16(next)) {
			continue
		}
		if lose[next] > 0 {
			lose[next]--
			continue
		}
		if op == opOptions {
			number = 0
		} else {
			got = append(got, b[4:n]...)
		}
		from.WriteToUDP(packet(opAck, number, nil), who)
		if next++; op == opData && n < 4+size {
			return got
		}
	}
}

// A transfer succeeds although packets get lost, and although the file has more blocks than there are block numbers.
func TestTFTPTransfer(t *testing.T) {
	t.Parallel()
	s := site(t)
	_, server, l := start(t, s)
	want := wanted(t, s)[InitrdName]
	if !testing.Short() {
		if got := fetch(t, server, 8, nil, InitrdName, "octet"); string(got) != want {
			t.Errorf("in blocks of 8 bytes: %d bytes, want %d", len(got), len(want))
		}
	}
	if got := fetch(t, server, 1024, map[int]int{0: 2, 1: 5, 600: 3}, InitrdName, "octet"); string(got) != want {
		t.Errorf("with losses: %d bytes, want %d", len(got), len(want))
	}
	l.Wait(t, `has wyrcan.initrd, 699937 bytes`)
}

// A machine that is reset during a transfer asks again from the same port, and is served.
func TestTFTPAgain(t *testing.T) {
	t.Parallel()
	s := site(t)
	_, server, _ := startWaiting(t, s, waitTime)
	from := peer(t)
	for range 3 {
		ask(t, from, server, opRead, KernelName, "octet")
		packets, who := heard(from, 200*time.Millisecond)
		if len(packets) == 0 || binary.BigEndian.Uint16(packets[0][2:]) != 1 {
			t.Fatalf("%d packets came", len(packets))
		}
		from.WriteToUDP(packet(opAck, 1, nil), who)
		if packets, _ := heard(from, 200*time.Millisecond); len(packets) != 1 ||
			binary.BigEndian.Uint16(packets[0][2:]) != 2 {
			t.Fatalf("after the first block %d packets came", len(packets))
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, b := range []string{"", "\x00\x01x\x00octet\x00", "\x00\x01x\x00octet\x00blksize\x008\x00tsize\x000\x00",
		"\x00\x02\x00\x00"} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRequest(b)
		if err != nil {
			return
		}
		x := &transfer{request: r, mtu: 1500}
		if block, oack := x.accept(1 << 40); block < 8 || block > 1468 || len(oack) > 60 {
			t.Errorf("%q: blocks of %d, %q", b, block, oack)
		}
	})
}

// A connection that sends or reads nothing is closed, and one client cannot take all connections.
func TestHTTPLimits(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := httpLimits{all: 6, each: 4, header: 300 * time.Millisecond, idle: 300 * time.Millisecond,
		stall: 300 * time.Millisecond}
	served := make(chan error, 1)
	go func() {
		served <- p.serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for b := make([]byte, 1<<15); r.URL.Path == "/large"; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
			io.WriteString(w, "hello")
		}))
	}()
	dial := func(from byte) net.Conn {
		t.Helper()
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}}).Dial("tcp4",
			l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	const get = "GET / HTTP/1.1\r\nHost: x\r\n"
	for name, c := range map[string]struct{ send, want string }{
		"silence":           {"", ""},
		"half a request":    {"GET / HTTP/1.1\r\nHost:", ""},
		"idle after one":    {get + "\r\n", "200 OK"},
		"reads nothing":     {"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", "-"},
		"a long header":     {get + "X: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", "431"},
		"a body that waits": {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx", ""},
		"an upload":         {"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nx", "405"},
		"chunks":            {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "405"},
	} {
		conn := dial(1)
		io.WriteString(conn, c.send)
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		begin := time.Now()
		if c.want == "-" {
			time.Sleep(4 * p.stall) // meanwhile the server gives up; then read what is still in the buffers
			if n, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") || n == 0 {
				t.Errorf("%s: %d bytes, %v", name, n, err)
			}
			continue
		}
		b, err := io.ReadAll(conn)
		if err != nil && !strings.Contains(err.Error(), "reset") || !strings.Contains(string(b), c.want) ||
			time.Since(begin) > 3*time.Second {
			t.Errorf("%s: %q, %v after %v, want %q and an end", name, b, err, time.Since(begin), c.want)
		}
	}
	works := func(from byte) bool {
		conn := dial(from)
		io.WriteString(conn, get+"Connection: close\r\n\r\n")
		b, _ := io.ReadAll(conn)
		return strings.HasSuffix(string(b), "hello")
	}
	time.Sleep(50 * time.Millisecond)
	for range p.each {
		dial(1)
	}
	time.Sleep(50 * time.Millisecond)
	if works(1) {
		t.Errorf("one address can have more than %d connections", p.each)
	}
	if !works(2) {
		t.Error("another address can have no connection")
	}
	for range p.all - p.each {
		dial(3)
	}
	time.Sleep(50 * time.Millisecond)
	if works(4) {
		t.Errorf("there can be more than %d connections", p.all)
	}
	time.Sleep(2 * p.header)
	if !works(1) {
		t.Error("closed connections still count")
	}
	l.Close()
	if err := <-served; err != nil {
		t.Errorf("serve = %v when its listener is closed", err)
	}
}

// A client that reads slowly, but does read, is served to the end.
func TestHTTPSlow(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const size = 16 << 20
	p := httpLimits{all: 9, each: 9, header: time.Second, idle: time.Second, stall: 400 * time.Millisecond}
	go p.serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, size)) }))
	conn, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	n := 0
	for b := make([]byte, size/8); ; time.Sleep(150 * time.Millisecond) {
		got, err := io.ReadFull(conn, b)
		n += got
		if err != nil {
			break
		}
	}
	if n < size {
		t.Errorf("a slow reader got %d of %d bytes", n, size)
	}
}

// No packet makes the proxy send to somebody who has not asked, or send more often than its limits.
func TestProxyReflects(t *testing.T) {
	bios := client(pxe, iana.INTEL_X86PC)
	from := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 68}
	for name, c := range map[string]struct {
		more   dhcpv4.Modifier
		answer bool
	}{
		"its own address":   {dhcpv4.WithClientIP(net.IPv4(192, 0, 2, 7)), true},
		"another's address": {dhcpv4.WithClientIP(net.IPv4(198, 51, 100, 1)), false},
		"a relay":           {dhcpv4.WithGatewayIP(net.IPv4(192, 0, 2, 254)), true},
		"relay: loopback":   {dhcpv4.WithGatewayIP(net.IPv4(127, 0, 0, 1)), false},
		"relay: all":        {dhcpv4.WithGatewayIP(net.IPv4bcast), false},
		"relay: a group":    {dhcpv4.WithGatewayIP(net.IPv4(224, 0, 0, 1)), false},
	} {
		if to := destination(message(t, dhcpv4.MessageTypeDiscover, append(bios, c.more)...),
			from, false); (to != nil) != c.answer {
			t.Errorf("%s: the reply goes to %v", name, to)
		}
	}

	server, end := newWire()
	end.from = make(chan []byte, 1000)
	server.to = end.from
	go proxy(t).Serve(server, false)
	defer end.Close()
	request := message(t, dhcpv4.MessageTypeDiscover, bios...).ToBytes()
	for range 10 * maxPeerAnswers {
		end.to <- request
	}
	time.Sleep(100 * time.Millisecond)
	if n := len(end.from); n < maxPeerAnswers || n > 2*maxPeerAnswers { // twice if the next second begins meanwhile
		t.Errorf("one machine got %d answers in a second, want about %d", n, maxPeerAnswers)
	}
}
