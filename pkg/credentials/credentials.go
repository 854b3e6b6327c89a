// Package credentials reads the user names and passwords for registries from a file in the boot environment. The file
// has the format of containers-auth.json(5), which docker login and podman login write. The package supports no
// credential helpers.
package credentials

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
)

// File is the path of the credentials in the boot environment. An additional initrd can bring the file.
const File = "/etc/wyrcan/auth.json"

// maxFile is the largest file that is read, far more than the logins for a hundred registries need.
const maxFile = 1 << 20

// Credentials maps a registry's name, with its port if it has one ("registry.example:5000"), to the login. nil is
// empty.
type Credentials map[string]authn.AuthConfig

// Read reads a credentials file. Its error wraps fs.ErrNotExist if there is no file, and never shows the content of an
// entry, which may be secret.
func Read(name string) (Credentials, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s: it has more than %d KiB, which is too much for credentials", name, maxFile>>10)
	}
	c, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func parse(b []byte) (Credentials, error) {
	var file struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("it is not what docker or podman login write: %w", err)
	}
	c := make(Credentials)
	for key, entry := range file.Auths {
		var auth authn.AuthConfig // its UnmarshalJSON decodes "auth"
		if err := json.Unmarshal(entry, &auth); err != nil {
			// err could show a password.
			return nil, fmt.Errorf("the entry for %q is not what docker or podman login write", key)
		}
		c[keyOf(key)] = auth
	}
	return c, nil
}

// For returns the credentials for a repository, "registry.example:5000/team/name", or anonymous ones if there are none.
// An entry for a part of its path counts before one for less of it, and that for the registry is the last.
func (c Credentials) For(repository string) authn.Authenticator {
	host, rest, _ := strings.Cut(repository, "/")
	key := hostName(host)
	if rest != "" {
		key += "/" + rest
	}
	for {
		if auth, ok := c[key]; ok {
			return authn.FromConfig(auth)
		}
		cut := strings.LastIndexByte(key, '/')
		if cut < 0 {
			return authn.Anonymous
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
	host, rest, found := strings.Cut(key, "/")
	if found {
		return hostName(host) + "/" + strings.TrimRight(rest, "/")
	}
	return hostName(host)
}

// hostName returns the one name of a registry that has several.
func hostName(host string) string {
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}
