package netboot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

// How often a packet is repeated, and after what time. TFTP acknowledges each packet, so a lost packet costs one
// waitTime. A peer that has not answered yet repeats its own request.
const (
	firstRepeats = 2
	repeats      = 10
	waitTime     = time.Second   // unless Options says otherwise
	transferTime = 2 * time.Hour // the maximum: a slow peer cannot hold its place for ever
)

// A transfer sends one file to one peer.
type transfer struct {
	request   *request
	conn      *net.UDPConn // connected: only packets and port-unreachable errors of this peer arrive
	mtu       int
	wait      time.Duration // for an answer, before a packet is repeated
	answered  atomic.Bool
	confirmed func() // called when the peer has answered for the first time
	done      chan struct{}
}

// fail tells the peer why it gets nothing. The text is short, so that the answer is hardly larger than the request.
func (x *transfer) fail(code uint16, why string) {
	x.conn.Write(packet(opError, code, []byte(why+"\x00")))
}

// packet returns a packet in the format of all packets but requests.
func packet(op, number uint16, rest []byte) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 4+len(rest)), op)
	return append(binary.BigEndian.AppendUint16(b, number), rest...)
}

// send sends a file and returns how many bytes it sent. It calls begun when the peer has answered for the first time.
func (x *transfer) send(f io.ReadSeeker, begun func()) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		x.fail(notDefined, "unreadable")
		return 0, err
	}
	end := time.Now().Add(transferTime)
	block, accepted := x.accept(size)
	if accepted != nil {
		if err := x.deliver(accepted, 0, begun); err != nil {
			return 0, err
		}
	}
	b := make([]byte, block)
	for sent, number := int64(0), uint16(1); ; number++ { // after 65535 comes 0, as clients expect
		n, err := io.ReadFull(f, b)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			x.fail(notDefined, "unreadable")
			return sent, err
		}
		if time.Now().After(end) {
			x.fail(notDefined, "too slow")
			return sent, errors.New("the transfer took too long")
		}
		if err := x.deliver(packet(opData, number, b[:n]), number, begun); err != nil {
			return sent, err
		}
		sent += int64(n)
		if n < block { // RFC 1350, 6: the last block is not full; it may be empty
			return sent, nil
		}
	}
}

// accept returns the block size and the packet that acknowledges options of the request, or nil if there is none to
// acknowledge.
func (x *transfer) accept(size int64) (block int, oack []byte) {
	const plain = 512
	block = plain
	var words []byte
	// RFC 2348: from 8 to 65464, and the server may answer with less. It answers with what fits into one packet of the
	// MTU: the headers of IP, UDP and TFTP take 32 bytes.
	if asked, err := strconv.Atoi(x.request.options["blksize"]); err == nil && asked >= 8 && asked <= 65464 {
		block = min(asked, max(x.mtu-32, plain))
		words = fmt.Appendf(words, "blksize\x00%d\x00", block)
	}
	if x.request.options["tsize"] == "0" {
		words = fmt.Appendf(words, "tsize\x00%d\x00", size)
	}
	if words == nil {
		return block, nil
	}
	return block, append(binary.BigEndian.AppendUint16(nil, opOptions), words...)
}

// deliver sends a packet, and repeats it until the peer has acknowledged its number.
func (x *transfer) deliver(p []byte, number uint16, begun func()) error {
	limit := repeats
	if !x.answered.Load() {
		limit = firstRepeats
	}
	b := make([]byte, 1<<10)
	for range limit + 1 {
		if _, err := x.conn.Write(p); err != nil {
			return err
		}
		x.conn.SetReadDeadline(time.Now().Add(x.wait))
		for {
			n, err := x.conn.Read(b)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			if err != nil {
				return err
			}
			if n < 4 {
				continue
			}
			switch op, got := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]); {
			case op == opError:
				return fmt.Errorf("the peer reports error %d, %.80q", got, trimmed(b[4:n]))
			case op == opAck && got == number:
				if !x.answered.Swap(true) {
					x.confirmed()
					begun()
				}
				return nil
			}
			// Ignore an older acknowledgement, which the network has duplicated. An answer to it would duplicate all
			// following packets (RFC 1123, 4.2.3.1).
		}
	}
	return errors.New("the peer does not answer any more")
}

// trimmed returns the text before the first zero byte.
func trimmed(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
