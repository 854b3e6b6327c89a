package network

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// packets calls take for each packet from a socket until the socket is closed. The next packet overwrites what take
// got. A socket reports once that its link went down and works again when the link is up, so other errors do not end
// it before done is closed.
func packets(socket io.Reader, done <-chan struct{}, take func(packet []byte)) {
	b := make([]byte, 1<<16)
	for {
		n, err := socket.Read(b)
		switch {
		case errors.Is(err, os.ErrClosed), errors.Is(err, net.ErrClosed):
			return
		case err == nil:
			take(b[:n])
			continue
		}
		select {
		case <-done:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// await returns the first answer that fits, or errNoAnswer if none comes in time. Answers that do not fit do not
// extend the time.
func await[T any](ctx context.Context, answers <-chan T, patience time.Duration, fits func(T) bool) (T, error) {
	var none T
	timeout := time.After(patience)
	for {
		select {
		case <-ctx.Done():
			return none, ctx.Err()
		case <-timeout:
			return none, errNoAnswer
		case a := <-answers:
			if fits(a) {
				return a, nil
			}
		}
	}
}
