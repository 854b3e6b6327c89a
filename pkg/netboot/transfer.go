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

// How often a packet is sent again, and after what time. Lock-step: what gets lost costs one time of waiting. A peer
// that has not answered asks again by itself.
const (
	firstRepeats = 2
	repeats      = 10
	waitTime     = time.Second
	transferTime = 2 * time.Hour // the longest: a drip holds a place of the peer's own, but not for ever
)

// A transfer is one file on its way to one peer.
type transfer struct {
	request  *request
	conn     *net.UDPConn // connected: packets of others do not arrive, and that nobody listens at the peer does
	mtu      int
	answered atomic.Bool
	proved   func() // called when the peer has answered
	done     chan struct{}
}

// fail tells the peer, in few words, why it gets nothing: with as many the answer would be larger than the request.
func (x *transfer) fail(code uint16, why string) {
	x.conn.Write(packet(opError, code, []byte(why+"\x00")))
}

// packet is what all but requests look like.
func packet(op, number uint16, rest []byte) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 4+len(rest)), op)
	return append(binary.BigEndian.AppendUint16(b, number), rest...)
}

// send sends a file. It calls begun when the peer has answered for the first time.
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
	for sent, number := int64(0), uint16(1); ; number++ { // beyond 65535 it goes on with 0, as clients expect it
		n, err := io.ReadFull(f, b)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			x.fail(notDefined, "unreadable")
			return sent, err
		}
		if time.Now().After(end) {
			x.fail(notDefined, "too slow")
			return sent, errors.New("it took too long")
		}
		if err := x.deliver(packet(opData, number, b[:n]), number, begun); err != nil {
			return sent, err
		}
		sent += int64(n)
		if n < block { // the end, RFC 1350, 6: a block that is not full, an empty one perhaps
			return sent, nil
		}
	}
}

// accept returns the length of blocks, and the packet that tells the peer which of its options hold; nil for none.
func (x *transfer) accept(size int64) (block int, oack []byte) {
	const plain = 512
	block = plain
	var words []byte
	// RFC 2348: from 8 to 65464, and the server may answer with less. Less is what arrives in one piece: 32 bytes are
	// the headers of IP, UDP and TFTP.
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

// deliver sends a packet until the peer has acknowledged it by its number.
func (x *transfer) deliver(p []byte, number uint16, begun func()) error {
	again := repeats
	if !x.answered.Load() {
		again = firstRepeats
	}
	b := make([]byte, 1<<10)
	for range again + 1 {
		if _, err := x.conn.Write(p); err != nil {
			return err
		}
		x.conn.SetReadDeadline(time.Now().Add(waitTime))
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
				return fmt.Errorf("it says error %d, %.80q", got, trimmed(b[4:n]))
			case op == opAck && got == number:
				if !x.answered.Swap(true) {
					x.proved()
					begun()
				}
				return nil
			}
			// An older acknowledgement, which the network has doubled: answering it would double all that follows
			// (RFC 1123, 4.2.3.1).
		}
	}
	return errors.New("it does not answer any more")
}

// trimmed is text up to its zero byte.
func trimmed(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
