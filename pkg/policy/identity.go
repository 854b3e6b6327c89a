package policy

import (
	"errors"
	"fmt"
	"strings"
)

// An identity says which image name a signature must contain (containers-policy.json(5), signedIdentity).
type identity struct {
	kind   string // "" if the policy has no signedIdentity
	want   named  // of exactReference and exactRepository
	prefix string // of remapIdentity
	signed string // of remapIdentity: signedPrefix, which replaces prefix
}

// parseIdentity reads the value of signedIdentity.
func parseIdentity(raw []byte) (identity, error) {
	var id identity
	if err := some(raw, map[string]any{"type": &id.kind}); err != nil {
		return id, err
	}
	var text string
	var err error
	switch id.kind {
	case "matchExact", "matchRepoDigestOrExact", "matchRepository":
		return id, exact(raw, map[string]any{"type": &id.kind})
	case "exactReference":
		if err = exact(raw, map[string]any{"type": &id.kind, "dockerReference": &text}); err == nil {
			id.want, err = parseName(text)
		}
		if err == nil && id.want.bare() {
			err = fmt.Errorf("dockerReference %q has neither a tag nor a digest", clip(text))
		}
		return id, err
	case "exactRepository":
		if err = exact(raw, map[string]any{"type": &id.kind, "dockerRepository": &text}); err == nil {
			id.want, err = parseName(text)
		}
		return id, err
	case "remapIdentity":
		known := map[string]any{"type": &id.kind, "prefix": &id.prefix, "signedPrefix": &id.signed}
		if err = exact(raw, known); err == nil {
			err = errors.Join(checkPrefix(id.prefix), checkPrefix(id.signed))
		}
		return id, err
	case "":
		return id, errors.New(`it has no "type"`)
	}
	return id, fmt.Errorf("its type %q is unknown", clip(id.kind))
}

// checkPrefix returns an error unless s is a host with or without a port, or the full name of a namespace or a
// repository.
func checkPrefix(s string) error {
	n, err := parseName(s + "/x")
	if err == nil && n.repo == s+"/x" && n.bare() && !strings.Contains(s, "@") {
		return nil
	}
	return fmt.Errorf("prefix %q is not a registry, a namespace or a repository in full: "+
		"want registry.example/namespace", clip(s))
}

// remap replaces the prefix of n, if n has it.
func (id identity) remap(n named) named {
	if rest, ok := strings.CutPrefix(n.repo, id.prefix); ok && (rest == "" || rest[0] == '/') {
		n.repo = id.signed + rest
	}
	return n
}

// accepts returns nil if a signature that contains the name text is valid for the image n. scope is the scope of the
// requirement.
func (id identity) accepts(n named, scope, text string) error {
	signed, err := parseName(text)
	if err != nil {
		return fmt.Errorf("it is for %q, which is not the name of an image", clip(text))
	}
	ok := false
	switch id.kind {
	case "":
		ok = scope == "" || implied(n, signed)
	case "matchExact":
		ok = !n.bare() && n == signed
	case "matchRepoDigestOrExact":
		ok = repoDigestOrExact(n, signed)
	case "matchRepository":
		ok = n.repo == signed.repo
	case "exactReference":
		ok = id.want == signed
	case "exactRepository":
		ok = id.want.repo == signed.repo
	case "remapIdentity":
		ok = repoDigestOrExact(id.remap(n), signed)
	}
	if !ok {
		return fmt.Errorf("it is for %s, which %s does not accept for %s", clip(signed.String()), id, n)
	}
	return nil
}

// repoDigestOrExact reports whether a signature for signed is valid for n by matchRepoDigestOrExact: if n has a tag,
// the names must be equal; if n has a digest, which was verified before, the repositories must be equal.
func repoDigestOrExact(n, signed named) bool {
	switch {
	case signed.bare():
		return false
	case n.tag != "":
		return n == signed
	}
	return n.digest != "" && n.repo == signed.repo
}

// implied reports whether a signature for signed is valid for n if the policy has a scope for n but no
// signedIdentity. containers/image uses matchRepoDigestOrExact then. That would refuse every signature of cosign for
// an image with a tag, because cosign signs the repository without the tag. So a missing tag is accepted here. The
// registry is not compared: images are copied between registries together with their signatures.
func implied(n, signed named) bool {
	_, repository, _ := strings.Cut(n.repo, "/")
	_, forRepository, _ := strings.Cut(signed.repo, "/")
	return repository == forRepository && (signed.tag == "" || n.tag == "" || n.tag == signed.tag)
}

// acceptsNameless returns nil if a bundle, which contains no name, is valid for the image n. Without signedIdentity
// the scope alone binds the key to names. matchRepository is met if the scope is the repository itself: the policy
// then binds the key to the repository. The other kinds are never met.
func (id identity) acceptsNameless(n named, scope string) error {
	switch {
	case id.kind == "":
		return nil
	case id.kind == "matchRepository" && (scope == n.repo || scope == n.String()):
		return nil
	case id.kind == "matchRepository":
		return fmt.Errorf("a bundle names no repository, which %s asks for: give %s a scope of its own", id, n.repo)
	}
	return fmt.Errorf("a bundle names no image, which %s asks for: leave signedIdentity out if the scope binds the key",
		id)
}

// String returns the identity for messages.
func (id identity) String() string {
	if id.kind == "" {
		return "the scope of the policy"
	}
	return "signedIdentity " + id.kind
}
