package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A requirement is one thing that a policy asks of an image.
type requirement struct {
	kind   string // insecureAcceptAnything, reject, sigstoreSigned, or another that is refused
	refuse string // why no image can meet it; "" if an image can

	scope      string // the scope of transport docker that the requirement is listed under; "" if none
	keys       []key  // all different
	threshold  int    // how many of keys must have signed
	identity   identity
	minVersion string
	notBefore  time.Time
}

// parseRequirements reads a list of requirements. An empty list would accept everything and is refused.
func parseRequirements(raw []byte, scope string) ([]requirement, error) {
	var texts []json.RawMessage
	if err := json.Unmarshal(raw, &texts); err != nil {
		return nil, errors.New("it is not a list of requirements")
	}
	if len(texts) == 0 {
		return nil,
			errors.New(`its list of requirements is empty: write {"type":"insecureAcceptAnything"} to ask for nothing`)
	}
	var list []requirement
	for i, text := range texts {
		r, err := parseRequirement(text, scope)
		if err != nil {
			return nil, fmt.Errorf("requirement %d: %w", i+1, err)
		}
		list = append(list, r)
	}
	return list, nil
}

func parseRequirement(raw []byte, scope string) (requirement, error) {
	r := requirement{scope: scope}
	if err := some(raw, map[string]any{"type": &r.kind}); err != nil {
		return r, err
	}
	var ignored json.RawMessage
	known := func(names ...string) error {
		all := map[string]any{"type": &r.kind}
		for _, name := range names {
			all[name] = &ignored
		}
		return fields(raw, all)
	}
	switch r.kind {
	case "insecureAcceptAnything":
		return r, known()
	case "reject":
		r.refuse = "it rejects the image, whoever has signed it"
		return r, known()
	case "sigstoreSigned":
		return r, r.parseSigned(raw)
	case "signedBy":
		r.refuse = "it asks for a GPG signature (signedBy), which Wyrcan does not verify: ask for sigstoreSigned"
		return r, known("keyType", "keyPath", "keyPaths", "keyData", "signedIdentity")
	case "signedBaseLayer":
		r.refuse = "it asks for signedBaseLayer, which Wyrcan does not verify: ask for sigstoreSigned"
		return r, known("baseLayerIdentity")
	case "":
		return r, errors.New(`it has no "type"`)
	}
	return r, fmt.Errorf("its type %q is unknown", clip(r.kind))
}

// unenforced are the fields of sigstoreSigned that ask for what Wyrcan does not verify.
var unenforced = []string{
	"fulcio", "pki", "rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas",
}

// parseSigned reads a requirement of type sigstoreSigned.
func (r *requirement) parseSigned(raw []byte) error {
	var keys keySources
	var identity json.RawMessage
	var notBefore string
	known := map[string]any{
		"type": &r.kind, "signedIdentity": &identity,
		"keyPath": &keys.path, "keyPaths": &keys.paths, "keyData": &keys.data, "keyDatas": &keys.datas,
		"threshold": &r.threshold, "minVersion": &r.minVersion, "notBefore": &notBefore,
	}
	for _, name := range unenforced {
		known[name] = new(json.RawMessage)
	}
	if err := fields(raw, known); err != nil {
		return err
	}
	for _, name := range unenforced {
		if has(raw, name) {
			r.refuse = "it asks for " + name + ", which Wyrcan does not verify: ask for signatures by a key alone"
			return nil
		}
	}
	var err error
	if r.keys, err = keys.read(); err != nil {
		return err
	}
	if err := r.parseThreshold(has(raw, "threshold")); err != nil {
		return err
	}
	if identity != nil {
		if r.identity, err = parseIdentity(identity); err != nil {
			return fmt.Errorf("signedIdentity: %w", err)
		}
	}
	if has(raw, "minVersion") {
		if _, err := parseVersion(r.minVersion); err != nil {
			return fmt.Errorf("minVersion: %w", err)
		}
	}
	if has(raw, "notBefore") {
		if r.notBefore, err = parseTime(notBefore); err != nil {
			return fmt.Errorf("notBefore: %w", err)
		}
	}
	return nil
}

func (r *requirement) parseThreshold(said bool) error {
	if !said {
		r.threshold = 1
	}
	switch {
	case r.threshold < 1:
		return fmt.Errorf("threshold: %d keys are no requirement: want 1 or more", r.threshold)
	case r.threshold > len(r.keys):
		return fmt.Errorf("threshold: it asks for %d different keys and names %d", r.threshold, len(r.keys))
	}
	return nil
}

// keySources are the four fields that can name keys. Exactly one of them must be present.
type keySources struct {
	path, data   *string
	paths, datas *[]string
}

// read returns the keys, each once.
func (s keySources) read() ([]key, error) {
	fromFile := func(path string) ([]byte, error) { return readFile(path, maxKey) }
	one := func(value *string) *[]string {
		if value == nil {
			return nil
		}
		return &[]string{*value}
	}
	var keys []key
	sources := 0
	for _, source := range []struct {
		field  string
		values *[]string
		text   func(string) ([]byte, error)
	}{
		{"keyPath", one(s.path), fromFile}, {"keyPaths", s.paths, fromFile},
		{"keyData", one(s.data), base64Text}, {"keyDatas", s.datas, base64Text},
	} {
		if source.values == nil {
			continue
		}
		if sources++; len(*source.values) == 0 {
			return nil, fmt.Errorf("%s: it names no key", source.field)
		}
		for _, value := range *source.values {
			text, err := source.text(value)
			var k key
			if err == nil {
				k, err = parseKey(text)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", source.field, err)
			}
			if !slices.ContainsFunc(keys, func(have key) bool { return have.id == k.id }) {
				keys = append(keys, k)
			}
		}
	}
	if sources != 1 {
		return nil, fmt.Errorf("it has %d of keyPath, keyPaths, keyData and keyDatas: want exactly one", sources)
	}
	return keys, nil
}

// checkScope returns an error for a scope of transport docker that cannot match any image. Its author expects a match.
func checkScope(scope string) error {
	if strings.Contains(scope, "://") || strings.HasSuffix(scope, "/") || strings.ContainsAny(scope, " \t\r\n") {
		return fmt.Errorf("scope %q matches no image: want registry.example, registry.example/namespace, "+
			"registry.example/repository:tag or *.example", clip(scope))
	}
	return nil
}

// find returns what the policy asks of an image at a registry: the requirements of the most specific scope.
func (p *Policy) find(n named) []requirement {
	docker, ok := p.transports["docker"]
	if !ok {
		return p.fallback
	}
	for _, scope := range append(n.scopes(), "") {
		if list, ok := docker[scope]; ok {
			return list
		}
	}
	return p.fallback
}

// findLocal returns what the policy asks of an image on this machine: the default, and all requirements for the
// transports of such images. It does not compare scopes: the image must meet the requirements of all scopes.
func (p *Policy) findLocal() []requirement {
	list := slices.Clone(p.fallback)
	for _, transport := range []string{"oci", "oci-archive", "docker-archive"} {
		for _, requirements := range p.transports[transport] {
			list = append(list, requirements...)
		}
	}
	return list
}
