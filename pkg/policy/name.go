package policy

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// A named is the name of an image in the fully expanded form that policies use: docker.io/library/busybox:latest.
type named struct {
	repo   string // registry.example:5000/a/b
	tag    string // "" if the name has none
	digest string // "sha256:…", or ""
}

// String returns the name as policies write it.
func (n named) String() string {
	s := n.repo
	if n.tag != "" {
		s += ":" + n.tag
	}
	if n.digest != "" {
		s += "@" + n.digest
	}
	return s
}

// bare reports whether the name has neither a tag nor a digest.
func (n named) bare() bool { return n.tag == "" && n.digest == "" }

// parseName reads a name with or without a tag and a digest, and expands it as docker does. It adds no tag.
func parseName(s string) (named, error) {
	var n named
	rest, digest, found := strings.Cut(s, "@")
	if found {
		if _, err := name.NewDigest("registry.example/x@" + digest); err != nil {
			return n, fmt.Errorf("%q is not the name of an image: its digest is malformed", s)
		}
		n.digest = digest
	}
	if i := strings.LastIndex(rest, ":"); i > strings.LastIndex(rest, "/") {
		tagged, err := name.NewTag("registry.example/x:" + rest[i+1:])
		if err != nil || rest[i+1:] == "" {
			return n, fmt.Errorf("%q is not the name of an image: its tag is malformed", s)
		}
		rest, n.tag = rest[:i], tagged.TagStr()
	}
	repo, err := name.NewRepository(rest)
	if err != nil {
		return n, fmt.Errorf("%q is not the name of an image", s)
	}
	n.repo = expand(repo)
	return n, nil
}

// expand returns the name of a repository as policies write it. go-containerregistry calls Docker's registry by the
// host that answers for it.
func expand(repo name.Repository) string {
	host := repo.RegistryStr()
	if host == name.DefaultRegistry {
		host = "docker.io"
	}
	return host + "/" + repo.RepositoryStr()
}

// scopes returns the scopes of transport docker that contain the name, the most specific first: the image, its
// repository, the namespaces above, the host, and wildcards for the domains of the host (containers/image,
// docker/policyconfiguration).
func (n named) scopes() []string {
	list := []string{n.String()}
	scope := n.repo
	for {
		list = append(list, scope)
		i := strings.LastIndex(scope, "/")
		if i < 0 {
			break
		}
		scope = scope[:i]
	}
	domain, _, _ := strings.Cut(scope, ":")
	for {
		_, above, found := strings.Cut(domain, ".")
		if !found {
			return list
		}
		domain = above
		list = append(list, "*."+domain)
	}
}
