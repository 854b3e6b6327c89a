// Package credentials reads the names and passwords for registries that somebody put into the boot environment, in the form
// of containers-auth.json(5), which docker and podman login write. It knows no credential helpers, and no keys for a part of a
// registry.
package credentials

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
)

// File is where the boot environment has them: in a further initrd, say.
const File = "/etc/wyrcan/auth.json"

// maxFile is far above what logins at a hundred registries take.
const maxFile = 1 << 20

// Credentials are those of each registry, by its name with the port, if any: "registry.example:5000". The nil map has none.
type Credentials map[string]authn.AuthConfig

// Read reads a file. An error wraps fs.ErrNotExist where there is none; what an entry means to say is never part of one.
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
		return nil, fmt.Errorf("%s: more than %d KiB are no credentials", name, maxFile>>10)
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
		return nil, fmt.Errorf("not what docker or podman login write: %w", err)
	}
	c := make(Credentials)
	for key, entry := range file.Auths {
		var auth authn.AuthConfig // its UnmarshalJSON takes "auth" apart
		if err := json.Unmarshal(entry, &auth); err != nil {
			return nil, fmt.Errorf("the entry for %q is not what docker or podman login write", key) // its error could show a password
		}
		c[host(key)] = auth
	}
	return c, nil
}

// For returns the credentials for a registry, anonymous where there are none.
func (c Credentials) For(registry string) authn.Authenticator {
	auth, ok := c[host(registry)]
	if !ok {
		return authn.Anonymous
	}
	return authn.FromConfig(auth)
}

// host is the one name of a registry that has several: docker login writes a URL, and docker.io is reached under others.
func host(key string) string {
	for _, scheme := range []string{"https://", "http://"} {
		if rest, ok := strings.CutPrefix(key, scheme); ok {
			key, _, _ = strings.Cut(rest, "/")
		}
	}
	switch key {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return key
}
