package image

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// A fault is an error that knows whether another attempt can help.
type fault struct {
	text  string
	gist  string        // what of text stays the same when the same thing fails again; "" if all of it
	cause error         // nil if text says everything
	heals bool          // another attempt can help
	after time.Duration // how long the registry asked to wait, 0 if it did not

	damaged  bool   // the bytes that arrived were wrong
	status   int    // HTTP status of the answer, 0 if there was none
	insecure string // the host that Source.Insecure would have to allow
	kind     Cause  // Other if it is that of the error cause
	host     string // of which kind tells
}

// Error returns one line without control characters. Much of the text is untrusted: a registry's answers, the
// names in its certificate, the names in an image.
func (f *fault) Error() string { return f.line(f.text) }

func (f *fault) line(text string) string {
	if f.cause != nil {
		why, _ := reason(f.cause)
		text += ": " + why
	}
	return printable.Clip(text, 600)
}

func (f *fault) Unwrap() error { return f.cause }

// Heals reports whether another attempt may succeed after err, an error of this package: after a broken network, a
// registry that is overloaded or down, or a download that was cut short or damaged on its way.
func Heals(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.heals
}

// RetryAfter returns how long the registry asked to wait before the next attempt: 10 minutes at most, 0 if it did not
// ask.
func RetryAfter(err error) time.Duration {
	var f *fault
	if errors.As(err, &f) {
		return f.after
	}
	return 0
}

// Gist returns what stays the same in the text of err, an error of this package, when the same thing fails again.
func Gist(err error) string {
	var f *fault
	if errors.As(err, &f) && f.gist != "" {
		return f.line(f.gist)
	}
	return err.Error()
}

// permanent returns an error that another attempt does not heal.
func permanent(format string, args ...any) error {
	return &fault{text: fmt.Sprintf(format, args...)}
}

// asFault returns the fault in err if there is one, else f.
func asFault(f *fault, err error) error {
	var known *fault
	if errors.As(err, &known) {
		return known
	}
	return f
}

// explain turns err, the error of a request to host, into a fault that says what it means. who names the host in the
// message, such as "registry HOST". It returns nil for nil.
func explain(ctx context.Context, who, host string, err error) error {
	if err == nil {
		return nil
	}
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // the caller gave up, nothing failed
	}
	var (
		status  *transport.Error
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		request *url.Error
		refused *proxyRefusal
	)
	who = printable.Line(who)
	if errors.As(err, &request) {
		if u, err := url.Parse(request.URL); err == nil {
			who, host = whose(who, host, u)
		}
	}
	switch {
	case errors.As(err, &refused):
		return refused.fault(who)
	case errors.As(err, &verify):
		return certificateFault(who, host, verify)
	case errors.As(err, &status):
		f := statusFault(who, status.StatusCode)
		f.host = host
		return f
	case errors.Is(err, http.ErrSchemeMismatch):
		return &fault{text: who + " speaks plain HTTP, which anybody on the way can read and change", insecure: host}
	case errors.As(err, &record):
		return &fault{text: who + " does not speak TLS", insecure: host}
	case request != nil:
		if f := clientFault(who, host, err); f != nil {
			return f
		}
		// Leave out the URL: it may hold the signature of a storage service, which is a secret.
		return &fault{text: "cannot reach " + who, cause: request.Err, heals: true}
	}
	return &fault{text: "cannot talk to " + who, cause: err}
}

// whose returns how to name the server of u, and its host, in an error about a request to who at host. They are others
// if host has redirected the request.
func whose(who, host string, u *url.URL) (string, string) {
	if u.Host == "" || strings.EqualFold(u.Host, host) {
		return who, host
	}
	return printable.Line(u.Host) + " (" + who + " redirects there)", u.Host
}

// Explain turns err, an error of package remote with TransportFor's transport, into a sentence about the registry host.
func Explain(ctx context.Context, host string, err error) error {
	return explain(ctx, "registry "+host, host, err)
}

// statusFault returns the error for an answer with that status code from who, such as "registry HOST".
func statusFault(who string, code int) *fault {
	f := &fault{heals: statusHeals(code), status: code}
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		f.text = who + " denies access: the image does not exist or needs credentials"
		f.kind = Denied
	case http.StatusNotFound:
		f.text = who + " does not have it"
	default:
		f.text = strings.TrimSpace(fmt.Sprintf("%s answers %d %s", who, code, http.StatusText(code)))
	}
	return f
}

// statusHeals reports whether a registry that answered with that status code may answer differently next time.
func statusHeals(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		499: // nginx: its client, which may be a proxy, closed the connection
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return code >= 500
}

// maxRetryAfter is the longest wait that a registry may ask for. Rate limits of public registries last some minutes.
const maxRetryAfter = 10 * time.Minute

// retryAfter parses a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header != "" && strings.Trim(header, "0123456789") == "" {
		s, err := strconv.ParseUint(header, 10, 31)
		if err != nil { // the number is too large
			return maxRetryAfter
		}
		return min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	if t, err := http.ParseTime(header); err == nil {
		return min(max(0, t.Sub(now)), maxRetryAfter)
	}
	return 0
}
