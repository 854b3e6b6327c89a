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
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// leastRate is the lowest transfer rate, in bytes per second, that a connection may have over Source.Stall. A slower
// one counts as broken: a server that sends a byte now and then would hold up a boot for ever. A slow line has 1 kB/s.
const leastRate = 512

// An answer is a server's answer to a request. Reading its content fails when the connection has been too slow for too
// long.
type answer struct {
	io.ReadCloser
	resp   *http.Response
	host   string
	stall  time.Duration
	timer  *time.Timer
	ctx    context.Context
	cancel context.CancelCauseFunc

	waited time.Duration // time spent in Read since the rate was last checked
	came   int           // bytes read in that time
}

func (a *answer) Read(p []byte) (int, error) {
	a.timer.Reset(a.stall) // the timer runs only during a Read: the caller may be slow
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
			text := fmt.Sprintf("%s gave only %d bytes in %s", a.host, a.came, units.Duration(a.waited))
			return n, &fault{text: text, gist: a.host + " gave too few bytes", heals: true}
		}
		a.waited, a.came = 0, 0
	}
	return n, err
}

func (a *answer) Close() error {
	a.timer.Stop()
	a.cancel(nil) // closes the connection if there is content left, for nobody will read it
	return a.ReadCloser.Close()
}

// ask makes a request and returns the answer, with whatever status. Only a status that asks the client to come back
// later is an error. The header of the answer must come within Source.Stall.
func (s *Source) ask(
	ctx context.Context, client *http.Client, method, address string, header http.Header, content string,
) (*answer, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, permanent("%q is not a URL: %v", printable.Line(address), err)
	}
	inner, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(inner, method, address, strings.NewReader(content))
	if err != nil {
		cancel(nil)
		return nil, permanent("cannot make a request to %q: %v", printable.Line(address), err)
	}
	if header != nil {
		req.Header = header
	}
	if req.Header.Get("Accept-Encoding") == "" {
		req.Header.Set("Accept-Encoding", "identity") // digests are of the bytes as they are stored
	}
	stall := s.stall()
	timer := time.AfterFunc(stall, func() {
		text := fmt.Sprintf("%s gave no byte for %s", printable.Line(u.Host), units.Duration(stall))
		cancel(&fault{text: text, heals: true})
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
	a := &answer{
		ReadCloser: resp.Body, resp: resp, host: printable.Line(u.Host),
		stall: stall, timer: timer, ctx: inner, cancel: cancel,
	}
	if statusHeals(resp.StatusCode) {
		a.Close()
		f := statusFault(printable.Line(u.Host), resp.StatusCode)
		f.after = retryAfter(resp.Header.Get("Retry-After"), time.Now())
		return nil, f
	}
	return a, nil
}

// small reads a document of at most limit bytes. It decompresses the document if need be: some servers and proxies
// compress every answer, unasked, and not all of them say so. No document begins like a gzip file.
func (a *answer) small(limit int64) ([]byte, error) {
	in := bufio.NewReader(a)
	begin, _ := in.Peek(2) // the next Read returns the error again
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
		return nil, permanent("%s answers with more than %s", a.host, units.Exact(limit))
	}
	return b, nil
}

// broke returns the error for an answer whose content ended with err.
func (a *answer) broke(err error) error {
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	return asFault(&fault{text: "the connection to " + a.host + " broke", cause: unexpected(err), heals: true}, err)
}

// encoding returns the content encoding of an answer, "" for none (RFC 9110, section 8.4).
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

// refusal returns the error for an answer whose status is not a success, with the server's own explanation if it sent
// one (distribution specification, "Error Codes").
func refusal(who string, a *answer) error {
	f := statusFault(who, a.resp.StatusCode)
	f.host = a.host
	if f.kind == Denied && a.resp.Request.URL.Host != a.host { // a storage that the registry redirects to takes no login
		f.text, f.kind = who+" denies access", Other
	}
	raw, err := io.ReadAll(io.LimitReader(a, 64<<10))
	if err != nil {
		return f
	}
	if f.status == http.StatusBadRequest {
		if f := plainRefusal(who, a.host, raw); f != nil {
			return f
		}
	}
	var reply struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.NewDecoder(bytes.NewReader(raw)).Decode(&reply) == nil && len(reply.Errors) > 0 {
		// The first error is enough: further ones are rare and repeat it.
		if text := printable.Line(strings.Trim(reply.Errors[0].Code+": "+reply.Errors[0].Message, ": ")); text != "" {
			f.text += " (" + text + ")"
		}
	}
	return f
}
