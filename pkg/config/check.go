package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"gitlab.com/wyrcan/wyrcan/pkg/fetch"
)

// The checks here say why a value is not what its argument takes. They are the same for the command line and for NVRAM.

func checkHost(v string) error {
	if !isHost(v) {
		return fmt.Errorf("%q is not a registry: want HOST or HOST:PORT", v)
	}
	return nil
}

// checkMirror checks [HOST=]MIRROR[,MIRROR...]. A mirror is a host, with a path if the images are below one there.
func checkMirror(v string) error {
	host, mirrors := SplitMirror(v)
	if host != "" && !isHost(host) {
		return fmt.Errorf("%q is not a registry: want [HOST=]MIRROR[,MIRROR...]", host)
	}
	for _, m := range mirrors {
		at, path, deeper := strings.Cut(m, "/")
		if !isHost(at) || deeper && !isWord(path, "/.-_") {
			return fmt.Errorf("%q is not a mirror: want HOST[:PORT][/PATH]", m)
		}
	}
	return nil
}

// SplitMirror returns the registry that an entry of Config.Mirrors is about, "" for that of the image, and its mirrors.
func SplitMirror(v string) (host string, mirrors []string) {
	if before, after, ok := strings.Cut(v, "="); ok {
		host, v = before, after
	}
	return host, strings.Split(v, ",")
}

// checkServer checks the name or the address of a server, with or without a port.
func checkServer(v string) error {
	if _, err := netip.ParseAddr(v); err != nil && !isHost(v) {
		return fmt.Errorf("%q is not a server: want a name or an address", v)
	}
	return nil
}

// checkNoProxy checks a name, a domain, an address, a range of addresses (10.0.0.0/8), or "*" for all.
func checkNoProxy(v string) error {
	if _, err := netip.ParsePrefix(v); err != nil && v != "*" && !isWord(v, ".-_:[]") {
		return fmt.Errorf("%q is not a host, a domain or a range of addresses", v)
	}
	return nil
}

// checkProxy checks the URL of a proxy. A password in it would be for everybody to read, in /proc/cmdline.
func checkProxy(v string) error {
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || !isHost(u.Host):
		return errors.New("it is not the URL of a proxy: want http://HOST:PORT or https://HOST:PORT")
	case u.User != nil:
		return errors.New("a login for a proxy does not belong on the command line: " +
			"put it into auth.json, under the proxy's HOST:PORT")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("it has more than the proxy: want http://HOST:PORT or https://HOST:PORT")
	}
	return nil
}

// maxImage is the longest name of an image: a repository has at most 255 characters, a tag 128, a digest 135.
const maxImage = 1024

// checkImage checks the name of an image that somebody else than the person at the command line gave: a name that
// cannot be one gives way to the next source.
func checkImage(v string) error {
	if len(v) > maxImage {
		return fmt.Errorf("the name of an image has at most %d characters", maxImage)
	}
	text, err := expand(v, sample)
	if err != nil {
		return fmt.Errorf("%q is not the name of an image: %w", v, err)
	}
	if _, err := name.ParseReference(text); err != nil {
		return fmt.Errorf("%q is not the name of an image: want [registry/]name[:tag][@digest]", v)
	}
	return nil
}

// checkPath checks a path in the image. It may become an argument of the container's kernel.
func checkPath(v string) error {
	const most = 255
	if !strings.HasPrefix(v, "/") || len(v) > most || strings.ContainsFunc(v, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == '"'
	}) {
		return fmt.Errorf("%q is not a path: want /PATH, with at most %d characters and no blank", v, most)
	}
	return nil
}

// checkLength checks the length of the name of an image on the command line. The rest is checked when the image is
// looked for: to go on without an image that somebody has named would be worse than an error.
func checkLength(v string) error {
	if len(v) > maxImage {
		return fmt.Errorf("the name of an image has at most %d characters", maxImage)
	}
	return nil
}

// checkImages checks the names of all images of a source.
func (c Config) checkImages() error {
	names := c.Overlays
	if c.Image != "" {
		names = append([]string{c.Image}, names...)
	}
	for _, n := range names {
		if err := checkImage(n); err != nil {
			return err
		}
	}
	return nil
}

// checkFile checks the URL of wyr.config. An empty one names no file.
func checkFile(v string) error {
	if v == "" {
		return nil
	}
	text, err := expand(v, sample)
	if err == nil {
		_, err = fetch.Parse(text)
	}
	return err
}

// isHost reports whether text is HOST[:PORT], and not a URL, a path or a pattern.
func isHost(text string) bool {
	host, port := text, "1"
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		host, port = text[:i], text[i+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return strings.HasSuffix(inner, "]") && err == nil && a.Is6()
	}
	return strings.Trim(host, ".-_") != "" && len(host) <= 253 && isWord(host, ".-_")
}
