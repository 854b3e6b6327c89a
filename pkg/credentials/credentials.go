// Package credentials finds the logins for registries in the boot environment. They have the format of
// containers-auth.json(5), which docker login and podman login write. The package supports no credential helpers.
package credentials

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// maxFile is the largest file that is read, far more than the logins for a hundred registries need.
const maxFile = 1 << 20

// Credentials maps a registry's name, with its port if it has one ("registry.example:5000"), or that and the first
// parts of a path ("registry.example/team"), to the login. nil is empty.
type Credentials map[string]Login

// A Login is what a registry asks for.
type Login struct {
	authn.AuthConfig
	From string // where it was found, for messages
}

// Read reads a credentials file. Its error wraps fs.ErrNotExist if there is no file, and never shows the content of an
// entry, which may be secret.
func Read(name string) (Credentials, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := smallfile.All(f, maxFile)
	return parse(b, err, name)
}

// parse parses the content of the file name, or returns the error of reading it.
func parse(b []byte, err error, name string) (Credentials, error) {
	var c Credentials
	if err == nil {
		c, err = Parse(b, name)
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// A Helped is the error for logins that a credential helper keeps. The other logins are returned besides.
type Helped struct{ Keys []string }

func (h *Helped) Error() string {
	return fmt.Sprintf("the login for %s is kept by a credential helper, which is not asked: "+
		"write a file with the login itself (podman login --authfile FILE)", names(h.Keys))
}

// Parse parses the content of a credentials file. Its errors never show the content of an entry. from says where it was
// found.
func Parse(b []byte, from string) (Credentials, error) {
	var file struct {
		Auths   map[string]json.RawMessage `json:"auths"`
		Store   string                     `json:"credsStore"`
		Helpers map[string]string          `json:"credHelpers"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		// err could show a part of a password.
		return nil, errors.New("it is not what docker or podman login write")
	}
	c := make(Credentials)
	var helped []string
	for _, key := range slices.Sorted(maps.Keys(file.Auths)) {
		var auth authn.AuthConfig // its UnmarshalJSON decodes "auth"
		if err := json.Unmarshal(file.Auths[key], &auth); err != nil {
			// err could show a password.
			return nil, fmt.Errorf("the entry for %q is not what docker or podman login write", key)
		}
		switch {
		case auth != (authn.AuthConfig{}):
			c[keyOf(key)] = Login{auth, from}
		case file.Store != "": // docker login writes an empty entry beside the helper's
			helped = append(helped, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(file.Helpers)) {
		if _, ok := c[keyOf(key)]; !ok && !slices.Contains(helped, key) {
			helped = append(helped, key)
		}
	}
	if len(helped) > 0 {
		return c, &Helped{helped}
	}
	return c, nil
}

// For returns the credentials for a repository, "registry.example:5000/team/name", or anonymous ones if there are none.
// An entry for a part of its path counts before one for less of it, and that for the registry is the last.
func (c Credentials) For(repository string) authn.Authenticator {
	if key, ok := c.Find(repository); ok {
		return authn.FromConfig(c[key].AuthConfig)
	}
	return authn.Anonymous
}

// Find returns the key of the entry that For uses for a repository, and whether there is one.
func (c Credentials) Find(repository string) (key string, ok bool) {
	host, rest, _ := strings.Cut(repository, "/")
	key = hostName(host)
	if rest != "" {
		key += "/" + rest
	}
	for {
		if _, ok := c[key]; ok {
			return key, true
		}
		cut := strings.LastIndexByte(key, '/')
		if cut < 0 {
			return "", false
		}
		key = key[:cut]
	}
}

// keyOf returns the key of an entry as Credentials has it. docker login writes a URL with a path that means nothing.
func keyOf(key string) string {
	for _, scheme := range []string{"https://", "http://"} {
		if rest, ok := strings.CutPrefix(key, scheme); ok {
			host, _, _ := strings.Cut(rest, "/")
			return hostName(host)
		}
	}
	host, rest, found := strings.Cut(strings.TrimRight(key, "/"), "/")
	if found {
		return hostName(host) + "/" + rest
	}
	return hostName(host)
}

// hostName returns the one name of a registry that has several.
func hostName(host string) string {
	switch host = strings.ToLower(host); host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

// names returns a list of keys for a message.
func names(keys []string) string {
	const most = 10
	more := ""
	if len(keys) > most {
		more = fmt.Sprintf(" and %d more", len(keys)-most)
		keys = keys[:most]
	}
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = printable.Line(k)
	}
	return strings.Join(list, ", ") + more
}
