package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// File gets the file at address, a URL, which has at most limit bytes. It makes one attempt. Over https the server's
// certificate is always verified, by Roots and Certificates: Insecure does not count here. What comes over http is for
// the caller to verify. No login is sent.
func (s *Source) File(ctx context.Context, address string, limit int64) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, permanent("%q is not a URL", printable.Line(address))
	}
	b, err := s.file(ctx, u, limit)
	if err != nil && s.dateHint(ctx, u.Host, err) {
		b, err = s.file(ctx, u, limit)
	}
	err = explain(ctx, "server "+u.Host, u.Host, err)
	if f := new(fault); errors.As(err, &f) && f.insecure != "" { // which would allow nothing here
		with := *f
		with.insecure = ""
		err = &with
	}
	return b, err
}

func (s *Source) file(ctx context.Context, u *url.URL, limit int64) ([]byte, error) {
	client := &http.Client{Transport: fileWire{s}, CheckRedirect: onward}
	got, err := s.ask(ctx, client, http.MethodGet, u.String(), nil, "")
	if err != nil {
		return nil, err
	}
	defer got.Close()
	who, _ := whose("server "+u.Host, u.Host, got.resp.Request.URL)
	switch code := got.resp.StatusCode; code {
	case http.StatusOK:
		return got.small(limit)
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, &fault{text: printable.Line(who) + " denies access to the file", status: code}
	default:
		return nil, statusFault(printable.Line(who), code)
	}
}

// onward decides about a redirection: from https it leads to https only.
func onward(req *http.Request, via []*http.Request) error {
	const most = 5
	switch {
	case len(via) > most:
		return permanent("%s redirects more than %d times", printable.Line(via[0].URL.Host), most)
	case req.URL.Scheme != "https" && req.URL.Scheme != "http",
		req.URL.Scheme == "http" && via[0].URL.Scheme == "https":
		return permanent("%s redirects to %s, which is not over TLS", printable.Line(via[0].URL.Host),
			printable.Line(fmt.Sprintf("%s://%s", req.URL.Scheme, req.URL.Host)))
	}
	return nil
}

// A fileWire sends requests for files. Unlike a wire it never accepts a certificate that is not valid.
type fileWire struct{ source *Source }

func (w fileWire) RoundTrip(req *http.Request) (*http.Response, error) {
	req = withHeaders(req)
	if req.URL.Scheme == "http" {
		return w.source.forwarded(req)
	}
	t, err := w.source.to(req.URL.Host, false)
	if err != nil {
		return nil, err
	}
	return w.source.overTLS(t, req)
}
