package image

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// leastRate is the fewest bytes per second that a connection must bring, over Source.Stall, not to count as broken. A slow
// line brings 1 kB/s. A server that gives a byte now and then would hold a boot for ever.
const leastRate = 512

// An answer is a server's answer to a request. Reading its content fails when the connection brings too little for too
// long.
type answer struct {
	io.ReadCloser
	resp   *http.Response
	host   string
	stall  time.Duration
	timer  *time.Timer
	ctx    context.Context
	cancel context.CancelCauseFunc

	waited time.Duration // for came bytes, since both were last looked at
	came   int
}

func (a *answer) Read(p []byte) (int, error) {
	a.timer.Reset(a.stall) // only while somebody waits: the reader may take its time
	begin := time.Now()
	n, err := a.ReadCloser.Read(p)
	a.timer.Stop()
	a.waited += time.Since(begin)
	a.came += n
	if err != nil && err != io.EOF && a.ctx.Err() != nil {
		return n, context.Cause(a.ctx)
	}
	if err == nil && a.waited >= a.stall {
		if float64(a.came) < leastRate*a.waited.Seconds() {
			return n, &fault{text: fmt.Sprintf("%s gave only %d bytes in %v", a.host, a.came, a.waited.Round(time.Millisecond)), heals: true}
		}
		a.waited, a.came = 0, 0
	}
	return n, err
}

func (a *answer) Close() error {
	a.timer.Stop()
	a.cancel(nil) // ends the connection where content is left: nobody will read on
	return a.ReadCloser.Close()
}

// ask makes a request and returns the answer, whatever its status but those that ask to come back later: these are
// errors. The header of the answer must come within Source.Stall.
func (s *Source) ask(ctx context.Context, client *http.Client, method, address string, header http.Header, content string) (*answer, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, permanent("%q is no address: %v", printable.Line(address), err)
	}
	inner, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(inner, method, address, strings.NewReader(content))
	if err != nil {
		cancel(nil)
		return nil, permanent("%q cannot be asked: %v", printable.Line(address), err)
	}
	if header != nil {
		req.Header = header
	}
	if req.Header.Get("Accept-Encoding") == "" {
		req.Header.Set("Accept-Encoding", "identity") // digests are of the bytes as they are stored
	}
	stall := s.stall()
	timer := time.AfterFunc(stall, func() {
		cancel(&fault{text: fmt.Sprintf("%s gave no byte for %v", printable.Line(u.Host), stall), heals: true})
	})
	resp, err := client.Do(req)
	timer.Stop()
	if err != nil {
		if ctx.Err() == nil && inner.Err() != nil {
			err = context.Cause(inner)
		}
		cancel(nil)
		return nil, err
	}
	a := &answer{ReadCloser: resp.Body, resp: resp, host: printable.Line(u.Host), stall: stall, timer: timer, ctx: inner, cancel: cancel}
	if statusHeals(resp.StatusCode) {
		a.Close()
		f := statusFault(printable.Line(u.Host), resp.StatusCode)
		f.after = retryAfter(resp.Header.Get("Retry-After"), time.Now())
		return nil, f
	}
	return a, nil
}

// small reads a document that must have no more than limit bytes, and undoes a compression that nobody asked for: some
// servers and proxies compress whatever they are asked for, and not all of them say so. No document begins as gzip does.
func (a *answer) small(limit int64) ([]byte, error) {
	in := bufio.NewReader(a)
	begin, _ := in.Peek(2) // an error is told again
	if encoding := a.encoding(); encoding == "gzip" || encoding == "" && string(begin) == "\x1f\x8b" {
		zr, err := gzip.NewReader(in)
		if err != nil {
			return nil, a.broke(err)
		}
		in = bufio.NewReader(zr)
	} else if encoding != "" {
		return nil, permanent("%s answers in the encoding %q, which it was not asked for", a.host, printable.Line(encoding))
	}
	b, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, a.broke(err)
	}
	if int64(len(b)) > limit {
		return nil, permanent("%s answers with more than %s", a.host, bytesText(limit))
	}
	return b, nil
}

// broke is the failure of an answer that ended with err.
func (a *answer) broke(err error) error {
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	return asFault(&fault{text: "the connection to " + a.host + " broke", cause: unexpected(err), heals: true}, err)
}

// encoding returns how the content of an answer is encoded, "" for not at all (RFC 9110, section 8.4).
func (a *answer) encoding() string {
	switch e := strings.ToLower(strings.TrimSpace(a.resp.Header.Get("Content-Encoding"))); e {
	case "identity":
		return ""
	case "x-gzip":
		return "gzip"
	default:
		return e
	}
}

// refusal says what an answer that is no success means. It reads what the server says of it (distribution specification,
// "Error Codes").
func refusal(who string, a *answer) error {
	f := statusFault(who, a.resp.StatusCode)
	raw, err := io.ReadAll(io.LimitReader(a, 64<<10))
	if err != nil {
		return f
	}
	var said struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.NewDecoder(bytes.NewReader(raw)).Decode(&said) == nil && len(said.Errors) > 0 {
		// The first says it; more are rare and repeat it.
		if text := printable.Line(strings.Trim(said.Errors[0].Code+": "+said.Errors[0].Message, ": ")); text != "" {
			f.text += " (" + text + ")"
		}
	}
	return f
}
