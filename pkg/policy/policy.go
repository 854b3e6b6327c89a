// Package policy decides by signatures whether an image may be booted.
//
// A policy is a file in the syntax of containers-policy.json(5), which podman, skopeo and CRI-O read too. It names
// public keys and the images that each may sign. The package verifies the signatures that cosign makes with a key, in
// both forms that cosign stores at a registry. It does not verify certificates (Fulcio), a transparency log (Rekor) or
// GPG signatures: a requirement for one of these refuses every image that it applies to.
//
// Everything fails closed. A signature that is malformed, unknown or cannot be fetched does not count. A malformed
// policy is an error, and never an empty policy.
package policy

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// File is the policy of the boot environment.
const File = "/etc/wyrcan/policy.json"

// maxPolicy bounds a policy file. One with a hundred keys in it has some 25 kB.
const maxPolicy = 1 << 20

// A Policy says for each image which signatures it must have.
type Policy struct {
	from       string // names the policy in messages
	fallback   []requirement
	transports map[string]map[string][]requirement // by transport and scope
}

// Policies are policies that must all accept an image. Without any, every image is accepted.
type Policies []*Policy

// Load reads the policies in the given files, and skips files that do not exist. A file that exists and cannot be
// read is an error, and so is a symbolic link to a file that does not exist.
func Load(paths ...string) (Policies, error) {
	var list Policies
	for _, path := range paths {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		p, err := Read(path)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// Read reads the policy in a file.
func Read(path string) (*Policy, error) {
	data, err := readFile(path, maxPolicy)
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	return Parse(data, path)
}

// ReadKeys returns the policy that asks for a signature by one of the keys in the files, for every image.
func ReadKeys(paths ...string) (*Policy, error) {
	var keys [][]byte
	for _, path := range paths {
		text, err := readFile(path, maxKey)
		if err == nil {
			_, err = parseKey(text)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot use the key %s: %w", path, err)
		}
		keys = append(keys, text)
	}
	return ForKeys(fmt.Sprintf("for %q", paths), keys...)
}

// ForKeys returns the policy that asks for a signature by one of keys, which are in PEM form, for every image. from
// names it in messages.
func ForKeys(from string, keys ...[]byte) (*Policy, error) {
	data, err := Document(keys...)
	if err != nil {
		return nil, err
	}
	return Parse(data, from)
}

// Document returns the text of the policy that asks for a signature by one of keys, which are in PEM form, for every
// image.
func Document(keys ...[]byte) ([]byte, error) {
	for i, k := range keys {
		if _, err := parseKey(k); err != nil {
			return nil, fmt.Errorf("cannot use key %d: %w", i+1, err)
		}
	}
	type signed struct {
		Type     string   `json:"type"`
		KeyDatas [][]byte `json:"keyDatas"` // in base64, as encoding/json writes it
	}
	policy := struct {
		Default []signed `json:"default"`
	}{[]signed{{"sigstoreSigned", keys}}}
	data, err := json.Marshal(policy)
	return append(data, '\n'), err
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := smallfile.All(f, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// Parse reads the text of a policy, and the key files that it names. from is the policy's name in messages, its path
// for instance.
func Parse(data []byte, from string) (*Policy, error) {
	p := &Policy{from: from, transports: make(map[string]map[string][]requirement)}
	if err := p.parse(data); err != nil {
		return nil, fmt.Errorf("cannot use the policy %s: %w", from, err)
	}
	return p, nil
}

func (p *Policy) parse(data []byte) error {
	if len(data) > maxPolicy {
		return fmt.Errorf("it has more than %d bytes", maxPolicy)
	}
	var fallback, transports json.RawMessage
	if err := fields(data, map[string]any{"default": &fallback, "transports": &transports}); err != nil {
		return err
	}
	if fallback == nil {
		return errors.New(`it has no "default", which says what is asked of images that no scope matches`)
	}
	var err error
	if p.fallback, err = parseRequirements(fallback, ""); err != nil {
		return fmt.Errorf("default: %w", err)
	}
	if transports == nil {
		return nil
	}
	lists := make(map[string]*json.RawMessage)
	err = object(transports, func(transport string) any {
		lists[transport] = new(json.RawMessage)
		return lists[transport]
	})
	for _, transport := range slices.Sorted(maps.Keys(lists)) {
		if err == nil {
			p.transports[transport], err = parseScopes(transport, *lists[transport])
		}
	}
	if err != nil {
		return fmt.Errorf("transports: %w", err)
	}
	return nil
}

// parseScopes reads what a policy says for one transport.
func parseScopes(transport string, raw []byte) (map[string][]requirement, error) {
	texts := make(map[string]*json.RawMessage)
	err := object(raw, func(scope string) any {
		texts[scope] = new(json.RawMessage)
		return texts[scope]
	})
	lists := make(map[string][]requirement)
	for _, scope := range slices.Sorted(maps.Keys(texts)) {
		if err == nil && transport == "docker" {
			err = checkScope(scope)
		}
		if err == nil {
			if lists[scope], err = parseRequirements(*texts[scope], scope); err != nil {
				err = fmt.Errorf("scope %q: %w", clip(scope), err)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clip(transport), err)
	}
	return lists, nil
}

// base64Text decodes a string as encoding/json decodes a []byte, which is what containers/image does with keyData.
func base64Text(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	return b, nil
}

// clip makes text from outside fit for a message.
func clip(s string) string { return printable.Clip(s, 100) }
