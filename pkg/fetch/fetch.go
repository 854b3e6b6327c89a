// Package fetch gets one small file by its URL: the one that wyr.config= names. What comes over the network decides
// which system a machine starts, so either TLS or a digest in the URL vouches for it.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

const (
	// Limit is the largest file that is read: far more than a kernel's command line can hold.
	Limit = 64 << 10
	// maxURL is the longest URL that is accepted.
	maxURL = 2048
	// patience is the longest that one attempt takes.
	patience = time.Minute
)

// A Location says where a file is, and which bytes it must have.
type Location struct {
	url *url.URL
	sum []byte // SHA-256; nil if TLS vouches for the file
}

const want = "want https://HOST/PATH, or http:// or tftp:// with #sha256=DIGEST at the end"

// Parse parses https://HOST/PATH, or a URL with #sha256=DIGEST at its end, whose scheme may also be http or tftp.
func Parse(text string) (Location, error) {
	if len(text) > maxURL {
		return Location{}, fmt.Errorf("the URL has more than %d characters", maxURL)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "" || !printable.Visible(text):
		return Location{}, errors.New("it is not a URL that can be used: " + want)
	case u.User != nil:
		return Location{}, errors.New("a URL with a login in it is for everybody to read: leave the login out")
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "tftp":
		return Location{}, fmt.Errorf("files do not come by %s: %s", printable.Line(u.Scheme), want)
	case u.Scheme == "tftp" && (strings.Trim(u.Path, "/") == "" || !printable.Visible(u.Path) || len(u.Path) > 400):
		return Location{}, errors.New("the URL names no file: " + want)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return Location{}, fmt.Errorf("%q is no port", port)
		}
	}
	l := Location{url: u}
	digest, ok := strings.CutPrefix(u.Fragment, "sha256=")
	switch {
	case ok:
		if l.sum, err = hex.DecodeString(digest); err != nil || len(l.sum) != sha256.Size {
			return Location{}, errors.New("what follows #sha256= is not 64 hexadecimal digits")
		}
	case u.Fragment != "":
		return Location{}, errors.New("it has something other than #sha256=DIGEST behind the #")
	case u.Scheme != "https":
		return Location{}, fmt.Errorf(
			"whoever is between this machine and the server can change what comes by %s: add #sha256=DIGEST, or use https",
			u.Scheme)
	}
	u.Fragment, u.RawFragment = "", ""
	return l, nil
}

// String returns the URL for messages, without the digest, and without a query, which may hold a secret.
func (l Location) String() string {
	u := *l.url
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	return printable.Line(u.String())
}

// Server returns how to name the server in a message.
func (l Location) Server() string {
	if l.url.Scheme == "tftp" {
		return "TFTP server " + printable.Line(l.url.Host)
	}
	return "server " + printable.Line(l.url.Host)
}

// An HTTP gets the file at a URL with the scheme https or http. Over https it verifies the server's certificate, and it
// does not follow the server to http. The file has at most limit bytes.
type HTTP func(ctx context.Context, url string, limit int64) ([]byte, error)

// Get makes one attempt to get the file.
func (l Location) Get(ctx context.Context, http HTTP) ([]byte, error) {
	late := &Error{text: fmt.Sprintf("%s has taken more than %s to send a small file", l.Server(),
		units.Duration(patience)), heals: true}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, late)
	defer cancel()
	var b []byte
	var err error
	if l.url.Scheme == "tftp" {
		b, err = l.overTFTP(ctx)
	} else {
		b, err = http(ctx, l.url.String(), Limit)
	}
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(b); l.sum != nil && string(got[:]) != string(l.sum) {
		return nil, &Error{text: fmt.Sprintf("%s sends another file than the one that is asked for: its digest is "+
			"sha256=%x, not sha256=%x", l.Server(), got, l.sum)}
	}
	return b, nil
}

// An Error is one line that says what is wrong with the file, or with its server.
type Error struct {
	text  string
	heals bool
}

func (e *Error) Error() string { return e.text }

// Heals reports whether another attempt may succeed after err, an error of this package.
func Heals(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.heals
}
