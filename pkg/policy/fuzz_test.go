package policy

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// A policy that is accepted has a default, and asks for at least one key wherever it asks for a signature.
func FuzzParse(f *testing.F) {
	key := base64.StdEncoding.EncodeToString(imagetest.NewSigner(f, "P-256").Public(f))
	for _, seed := range []string{
		`{"default":[{"type":"reject"}],"transports":{"docker":{"a.example":[{"type":"insecureAcceptAnything"}]}}}`,
		`{"default":[{"type":"sigstoreSigned","keyData":"` + key +
			`","threshold":1,"minVersion":"1.2-rc.1","notBefore":"2026-01-01",` +
			`"signedIdentity":{"type":"remapIdentity","prefix":"a.example","signedPrefix":"b.example"}}]}`,
		`{"default":[{"type":"sigstoreSigned","keyDatas":["` + key +
			`"],"signedIdentity":{"type":"exactReference","dockerReference":"x:1"}}]}`,
		`{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data, "x")
		if err != nil {
			return
		}
		lists := [][]requirement{p.fallback}
		for _, scopes := range p.transports {
			for _, list := range scopes {
				lists = append(lists, list)
			}
		}
		for _, list := range lists {
			if len(list) == 0 {
				t.Fatal("an empty list of requirements")
			}
			for _, r := range list {
				if r.kind == "sigstoreSigned" && r.refuse == "" && (len(r.keys) == 0 || r.threshold < 1 ||
					r.threshold > len(r.keys)) {
					t.Fatalf("%+v asks for nothing", r)
				}
			}
		}
		if !json.Valid(data) {
			t.Fatal("it is not JSON")
		}
	})
}

// Whatever is in a bundle or a payload, reading it ends, and what is accepted names a digest.
func FuzzSignature(f *testing.F) {
	s := imagetest.NewSigner(f, "P-256")
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	f.Add(s.Bundle(f, digest, imagetest.SignPredicate, map[string]any{versionKey: "1"}))
	f.Add(s.Simple(f, "registry.example/x", digest, map[string]any{"creator": "x", "timestamp": 1}).Payload)
	f.Add([]byte(`{"_type":"` + statementType + `","predicateType":"` + signPredicate +
		`","subject":[{"digest":{"sha256":"00"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if sig, err := newBundle("x", data); err == nil {
			if c, err := sig.claims(sig.message); err == nil && !c.nameless {
				t.Fatal("a bundle that names an image")
			}
		}
		if c, err := readSimple(data); err == nil && (len(c.digests) != 1 || c.nameless) {
			t.Fatalf("%+v", c)
		}
		_, _ = readStatement(data)
	})
}

// A public key that is accepted verifies no signature that nobody made.
func FuzzKey(f *testing.F) {
	for _, kind := range imagetest.SignerKinds {
		s := imagetest.NewSigner(f, kind)
		f.Add(s.Public(f), []byte("message"), []byte("no signature"))
	}
	f.Fuzz(func(t *testing.T, text, message, sig []byte) {
		k, err := parseKey(text)
		if err != nil {
			return
		}
		if len(k.id) != 64 {
			t.Fatalf("id %q", k.id)
		}
		_ = k.verifies(message, sig)
	})
}
