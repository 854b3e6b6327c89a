package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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

// A fault is a failure of which it is known whether another attempt can help.
type fault struct {
	text  string
	cause error // nil where text says it all
	heals bool
	after time.Duration // what the registry asked for, 0 if nothing

	damaged  bool   // bytes arrived, but wrong ones
	status   int    // of an answer that refused, 0 if there was none
	insecure string // the host that would have to be trusted without verified TLS
}

// Error returns one line without control characters. Much of it is a stranger's: what a registry answers, the names in its
// certificate, the names in an image.
func (f *fault) Error() string {
	text := f.text
	if f.cause != nil {
		text += ": " + f.cause.Error()
	}
	return printable.Clip(text, 600)
}

func (f *fault) Unwrap() error { return f.cause }

// Heals reports whether err, from anywhere in this package, may be gone when the same is tried again: a broken network,
// a registry that is overloaded or down, a download cut short or damaged on its way.
func Heals(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.heals
}

// RetryAfter returns how long the registry asked to wait before the next attempt, 0 if it did not. It is 10 minutes at
// most.
func RetryAfter(err error) time.Duration {
	var f *fault
	if errors.As(err, &f) {
		return f.after
	}
	return 0
}

// InsecureHost returns the host, with its port if one was named, that Source.Insecure would have to allow for err not to
// be, or "".
func InsecureHost(err error) string {
	var f *fault
	if errors.As(err, &f) {
		return f.insecure
	}
	return ""
}

// permanent returns a failure that no further attempt mends.
func permanent(format string, args ...any) error {
	return &fault{text: fmt.Sprintf(format, args...)}
}

// asFault returns err if it is known already, else f.
func asFault(f *fault, err error) error {
	var known *fault
	if errors.As(err, &known) {
		return known
	}
	return f
}

// explain says what err means, the failure of a request to who, "registry HOST" say, at host; nil for nil.
func explain(ctx context.Context, who, host string, err error) error {
	if err == nil {
		return nil
	}
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // the caller's wish, no failure
	}
	var (
		status  *transport.Error
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		request *url.Error
	)
	who = printable.Line(who)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		// One reason for "expired" and for "not yet valid"; both are this machine's clock as often as the certificate.
		clock := time.Now().UTC().Format(time.DateTime)
		return &fault{text: fmt.Sprintf("the certificate of %s is not valid now (%s by this machine's clock)", who, clock), cause: invalid}
	case errors.As(err, &verify):
		return &fault{text: fmt.Sprintf("the certificate of %s is not trusted", who), cause: verify.Err, insecure: host}
	case errors.As(err, &status):
		return statusFault(who, status.StatusCode)
	case errors.Is(err, http.ErrSchemeMismatch):
		return &fault{text: who + " speaks plain HTTP, which anybody on the way can read and change", insecure: host}
	case errors.As(err, &record):
		return &fault{text: who + " does not speak TLS", insecure: host}
	case errors.As(err, &request):
		// Only the cause: the URL may hold the signature of a storage service.
		return &fault{text: "cannot reach " + who, cause: request.Err, heals: true}
	}
	return &fault{text: "cannot talk to " + who, cause: err}
}

// Explain returns err, from package remote over TransportFor, as one sentence about the registry host.
func Explain(ctx context.Context, host string, err error) error {
	return explain(ctx, "registry "+host, host, err)
}

// statusFault says what the refusal of who, "registry HOST", means.
func statusFault(who string, code int) *fault {
	f := &fault{heals: statusHeals(code), status: code}
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		f.text = who + " denies access: the image does not exist or needs credentials"
	case http.StatusNotFound:
		f.text = who + " does not have it"
	default:
		f.text = strings.TrimSpace(fmt.Sprintf("%s answers %d %s", who, code, http.StatusText(code)))
	}
	return f
}

// statusHeals tells the answers of a registry that may be different next time.
func statusHeals(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, 499: // 499: nginx, whose client is a proxy
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return code >= 500
}

// maxRetryAfter bounds what a registry may ask to wait: rate limits of public ones are of some minutes.
const maxRetryAfter = 10 * time.Minute

// retryAfter reads a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header != "" && strings.Trim(header, "0123456789") == "" {
		s, err := strconv.ParseUint(header, 10, 31)
		if err != nil { // more than that
			return maxRetryAfter
		}
		return min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	if t, err := http.ParseTime(header); err == nil {
		return min(max(0, t.Sub(now)), maxRetryAfter)
	}
	return 0
}
