package network

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// resolvConf returns the text of resolv.conf(5) for the servers and search domains in order of preference. If there is
// a second server, the first one has 2 seconds to answer, not 5: if it is dead, each new connection waits for that.
func resolvConf(servers []netip.Addr, search []string) []byte {
	var b bytes.Buffer
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(servers) > 1 {
		fmt.Fprintln(&b, "options timeout:2")
	}
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	return b.Bytes()
}

// domains returns the names that may stand in resolv.conf: a server must not be able to write another line there.
func domains(names []string) []string {
	var out []string
	for _, n := range names {
		n = strings.TrimSuffix(n, ".")
		if isLocalhost(n) {
			continue // RFC 6761 section 6.3: localhost has no domains
		}
		if n != "" && len(n) < 254 &&
			strings.Trim(n, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == "" {
			out = append(out, n)
		}
	}
	return out
}

func isLocalhost(name string) bool {
	name = strings.TrimSuffix("."+strings.ToLower(name), ".localdomain")
	return strings.HasSuffix(name, ".localhost")
}

// writeFile replaces the file in one step, so that a resolver never reads half of it.
func writeFile(path string, text []byte) (err error) {
	if old, readErr := os.ReadFile(path); readErr == nil && bytes.Equal(old, text) {
		return nil
	} else if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
		return readErr
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
