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

	damaged bool // bytes arrived, but wrong ones
}

func (f *fault) Error() string {
	if f.cause == nil {
		return f.text
	}
	return f.text + ": " + f.cause.Error()
}

func (f *fault) Unwrap() error { return f.cause }

// Heals tells whether err, from anywhere in this package, may be gone when the same is tried again: a broken network,
// a registry that is overloaded or down, a download cut short or damaged on its way.
func Heals(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.heals
}

// RetryAfter returns how long the registry asked to wait before the next attempt, 0 if it did not.
func RetryAfter(err error) time.Duration {
	var f *fault
	if errors.As(err, &f) {
		return f.after
	}
	return 0
}

// permanent returns a failure that no further attempt mends.
func permanent(format string, args ...any) error {
	return &fault{text: fmt.Sprintf(format, args...)}
}

// requestFault says what err, from a request to host or from the authentication before it, means.
func requestFault(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // the caller's wish, no failure
	}
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	var (
		status  *transport.Error
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		request *url.Error
	)
	// A registry that may speak plain HTTP is asked both ways, and err then holds two errors, neither of which is its type.
	_, single := err.(*url.Error)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		// One reason for "expired" and for "not yet valid"; both are this machine's clock as often as the certificate.
		return &fault{text: fmt.Sprintf("the certificate of registry %s is not valid now (%s by this machine's clock)", host, time.Now().UTC().Format(time.DateTime)), cause: invalid}
	case errors.As(err, &verify):
		return &fault{text: fmt.Sprintf("the certificate of registry %s is not trusted", host), cause: verify.Err}
	case errors.As(err, &status): // after the certificate: a TLS port answers plain HTTP with a status
		return statusFault(host, status)
	case single && errors.Is(err, http.ErrSchemeMismatch):
		return permanent("registry %s speaks plain HTTP: only a registry with a loopback or private address may", host)
	case errors.As(err, &request):
		// Only the cause: the URL may hold the signature of a storage service.
		return &fault{text: "cannot reach registry " + host, cause: request.Err, heals: true}
	}
	return &fault{text: "cannot talk to registry " + host, cause: err}
}

// statusFault says what a registry's refusal means.
func statusFault(host string, err *transport.Error) error {
	f := &fault{heals: statusHeals(err.StatusCode)}
	switch err.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		f.text = fmt.Sprintf("registry %s denies access: the image does not exist or needs credentials", host)
	case http.StatusNotFound:
		f.text = fmt.Sprintf("registry %s does not have it", host)
	default:
		f.text = fmt.Sprintf("registry %s answers %d %s", host, err.StatusCode, http.StatusText(err.StatusCode))
	}
	if len(err.Errors) > 0 { // the first says it; more are rare and repeat it
		f.text += " (" + printable.Line(string(err.Errors[0].Code)+": "+err.Errors[0].Message) + ")"
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

// retryAfter reads a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(strings.TrimSpace(header), 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(header); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
