package main

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
)

// TestPolicies puts policies into every place that may have one, and asks about an image that one key has signed. A
// policy that accepts everything, in any of the other places, loosens nothing.
func TestPolicies(t *testing.T) {
	right, wrong := imagetest.NewSigner(t, "P-256"), imagetest.NewSigner(t, "P-256")
	registry := imagetest.Serve(t)
	img := imagetest.Image(t, imagetest.Files(imagetest.File("a", "x")))
	ref := registry.Push(t, "signed", img)
	registry.AttachBundle(t, "signed", imagetest.Digest(t, img),
		right.Bundle(t, imagetest.Digest(t, img), "https://sigstore.dev/cosign/sign/v1", nil))
	asks := func(s *imagetest.Signer) string {
		text, err := policy.Document(s.Public(t))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const everything = `{"default":[{"type":"insecureAcceptAnything"}]}`
	key := func(s *imagetest.Signer) syscred.Credential {
		return syscred.Credential{Name: keyName, Data: s.Public(t), From: "SMBIOS"}
	}
	credential := func(text string) syscred.Credential {
		return syscred.Credential{Name: policyName, Data: []byte(text), From: "fw_cfg"}
	}
	for _, c := range []struct {
		name, builtin, file string
		system              syscred.Set
		refused             bool
		broken              string // a part of the error of policies
	}{
		{name: "none"},
		{name: "built in", builtin: asks(right)},
		{name: "built in, another key", builtin: asks(wrong), refused: true},
		{name: "a file loosens nothing", builtin: asks(wrong), file: everything, refused: true},
		{name: "a credential loosens nothing", builtin: asks(wrong), refused: true,
			system: syscred.Set{credential(everything)}},
		{name: "a file", file: asks(right)},
		{name: "a file, another key", file: asks(wrong), refused: true},
		{name: "a credential", system: syscred.Set{credential(asks(right))}},
		{name: "a credential, another key", system: syscred.Set{credential(asks(wrong))}, refused: true},
		{name: "a key", system: syscred.Set{key(right)}},
		{name: "another key", system: syscred.Set{key(wrong)}, refused: true},
		{name: "two keys, one of which has signed", system: syscred.Set{key(right), key(wrong)}, refused: true},
		{name: "all agree", builtin: asks(right), file: asks(right),
			system: syscred.Set{credential(everything), key(right)}},
		{name: "no JSON in the file", file: "{", broken: "policy.json"},
		{name: "an empty file", file: " ", broken: "policy.json"},
		{name: "no JSON in a credential", system: syscred.Set{credential("")}, broken: "the credential wyr.policy of fw_cfg"},
		{name: "no key in a credential", system: syscred.Set{{Name: keyName, Data: []byte("x"), From: "SMBIOS"}},
			broken: "the credential wyr.key of SMBIOS"},
		{name: "no JSON built in", builtin: "x", broken: "the built-in policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "policy.json")
			if c.file != "" {
				if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			list, err := policies(base64.StdEncoding.EncodeToString([]byte(c.builtin)), file, c.system, nil)
			if c.broken != "" {
				if err == nil || !strings.Contains(err.Error(), c.broken) {
					t.Errorf("policies = %v, want an error with %q", err, c.broken)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := new(image.Source).Resolve(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := list.Check(t.Context(), got); policy.Refused(err) != c.refused || err != nil && !c.refused {
				t.Errorf("Check = %v, want refused %v", err, c.refused)
			}
		})
	}
}

// TestUnread: a policy that could not be read ends the boot, any other credential does not.
func TestUnread(t *testing.T) {
	harmless := errors.New("credential wyr.auth in SMBIOS is not base64")
	for _, name := range []string{policyName, keyName} {
		bad := errors.New("credential " + name + " in SMBIOS is not base64")
		if err := unread([]error{harmless, bad}); !errors.Is(err, bad) {
			t.Errorf("unread = %v, want %v", err, bad)
		}
	}
	if err := unread([]error{harmless}); err != nil {
		t.Errorf("unread = %v, want nil", err)
	}
}
