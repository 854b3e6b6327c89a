package policy

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// What is not understood to the letter is refused.
func TestParseRefuses(t *testing.T) {
	public := imagetest.NewSigner(t, "P-256").Public(t)
	key := base64.StdEncoding.EncodeToString(public)
	file := filepath.Join(t.TempDir(), "a.pub")
	if err := os.WriteFile(file, public, 0o600); err != nil {
		t.Fatal(err)
	}
	signed := func(more string) string { return `{"default":[{"type":"sigstoreSigned",` + more + `}]}` }
	data := `"keyData":"` + key + `"`
	docker := func(scope string) string {
		return `{"default":[{"type":"reject"}],"transports":{"docker":{"` + scope + `":[{"type":"reject"}]}}}`
	}
	for _, good := range []string{
		`{"default":[{"type":"insecureAcceptAnything"}]}`,
		` { "default" : [ {"type":"reject"} ] , "transports" : {} } `,
		`{"default":[{"type":"reject"}],"transports":{"docker":{},"atomic":{"x":[{"type":"reject"}]}}}`,
		`{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x"}]}`,
		`{"default":[{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchExact"}}]}`,
		signed(data), signed(data + `,"threshold":1`), signed(`"keyPath":"` + file + `"`), signed(`"keyPaths":["` +
			file + `"]`),
		signed(`"keyDatas":["` + key + `","` + key + `"]`),
		signed(data + `,"minVersion":"v1.2.3-rc.1+x"`), signed(data + `,"notBefore":"2026-01-01"`),
		signed(`"fulcio":{"caPath":"/x"},"rekorPublicKeyPath":"/y"`), signed(`"pki":{}`), signed(data +
			`,"rekorPublicKeyData":""`),
		signed(data +
			`,"signedIdentity":{"type":"remapIdentity","prefix":"a.example/x","signedPrefix":"b.example:5000"}`),
		signed(data + `,"signedIdentity":{"type":"exactReference","dockerReference":"busybox:1"}`),
		docker(""), docker("registry.example"), docker("registry.example:5000/a/b:tag"), docker("*.example"),
	} {
		if _, err := Parse([]byte(good), "x"); err != nil {
			t.Errorf("Parse(%s) = %v", good, err)
		}
	}
	for _, row := range []struct{ text, want string }{
		{``, "ends too early"},
		{`nonsense`, "not valid JSON"},
		{`null`, "not a JSON object"},
		{`[]`, "not a JSON object"},
		{`{}`, `no "default"`},
		{`{"transports":{}}`, `no "default"`},
		{`{"default":[]}`, "empty"},
		{`{"default":null}`, "empty"},
		{`{"default":{}}`, "not a list"},
		{`{"default":[null]}`, "not a JSON object"},
		{`{"default":["reject"]}`, "not a JSON object"},
		{`{"default":[{}]}`, `no "type"`},
		{`{"default":[{"type":"accept"}]}`, "unknown"},
		{`{"default":[{"type":"Reject"}]}`, "unknown"},
		{`{"default":[{"type":1}]}`, "number"},
		{`{"default":[{"type":null}]}`, "null"},
		{`{"Default":[{"type":"reject"}]}`, `unknown field "Default"`},
		{`{"default":[{"Type":"reject"}]}`, `no "type"`},
		{`{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}`, "twice"},
		{`{"default":[{"type":"reject","type":"insecureAcceptAnything"}]}`, "twice"},
		{`{"default":[{"type":"reject","d\u0065fault":1}]}`, "unknown field"},
		{`{"default":[{"type":"insecureAcceptAnything","x":1}]}`, `unknown field "x"`},
		{`{"default":[{"type":"reject"}]} {}`, "follows its end"},
		{`{"default":[{"type":"reject"}]`, "ends too early"},
		{`{"default":[{"type":"reject"}],"defaults":[]}`, "unknown field"},
		{`{"default":[{"type":"reject"}],"transports":null}`, "not a JSON object"},
		{`{"default":[{"type":"reject"}],"transports":[]}`, "not a JSON object"},
		{`{"default":[{"type":"reject"}],"transports":{"docker":[]}}`, "not a JSON object"},
		{`{"default":[{"type":"reject"}],"transports":{"docker":{"x":[]}}}`, "empty"},
		{`{"default":[{"type":"reject"}],"transports":{"docker":{"x":[{"type":"reject"}],"x":[]}}}`, "twice"},
		{`{"default":[{"type":"reject"}],"transports":{"docker":{},"docker":{}}}`, "twice"},
		{docker("docker://registry.example"), "matches no image"},
		{docker("registry.example/"), "matches no image"},
		{docker("registry.example /x"), "matches no image"},
		{`{"default":[{"type":"signedBy","keypath":"/x"}]}`, "unknown field"},
		{signed(`"keydata":"` + key + `"`), "unknown field"},
		{signed(`"threshold":1`), "0 of keyPath"},
		{signed(data + `,"keyPath":"` + file + `"`), "2 of keyPath"},
		{signed(data + "," + data), "twice"},
		{signed(`"keyDatas":[]`), "names no key"},
		{signed(`"keyPaths":null`), "null"},
		{signed(`"keyData":null`), "null"},
		{signed(`"keyDatas":[""]`), "not a public key in PEM form"},
		{signed(`"keyDatas":[null]`), "not a public key in PEM form"},
		{signed(`"keyData":""`), "not a public key in PEM form"},
		{signed(`"keyData":"%%%"`), "not base64"},
		{signed(`"keyData":["` + key + `"]`), "array"},
		{signed(`"keyPath":"/nowhere/a.pub"`), "no such file"},
		{signed(`"keyPath":""`), "no such file"},
		{signed(`"keyPath":"/dev/zero"`), "more than"},
		{signed(data + `,"threshold":0`), "threshold"},
		{signed(data + `,"threshold":-1`), "threshold"},
		{signed(data + `,"threshold":2`), "asks for 2 different keys and names 1"},
		{signed(data + `,"threshold":1.5`), "threshold"},
		{signed(data + `,"threshold":"1"`), "threshold"},
		{signed(data + `,"threshold":null`), "null"},
		{signed(data + `,"Threshold":2`), "unknown field"},
		{signed(`"keyDatas":["` + key + `","` + key + `"],"threshold":2`), "names 1"},
		{signed(data + `,"minVersion":""`), "minVersion"},
		{signed(data + `,"minVersion":"latest"`), "minVersion"},
		{signed(data + `,"minVersion":1.2`), "minVersion"},
		{signed(data + `,"minVersion":"1..2"`), "minVersion"},
		{signed(data + `,"notBefore":"yesterday"`), "notBefore"},
		{signed(data + `,"notBefore":1`), "notBefore"},
		{signed(data + `,"signedIdentity":null`), "signedIdentity"},
		{signed(data + `,"signedIdentity":{}`), "signedIdentity"},
		{signed(data + `,"signedIdentity":"matchExact"`), "signedIdentity"},
		{signed(data + `,"signedIdentity":{"type":"matchAny"}`), "unknown"},
		{signed(data + `,"signedIdentity":{"type":"matchExact","x":1}`), "unknown field"},
		{signed(data + `,"signedIdentity":{"type":"exactReference"}`), "dockerReference"},
		{signed(data + `,"signedIdentity":{"type":"exactReference","dockerReference":"busybox"}`), "neither a tag"},
		{signed(data + `,"signedIdentity":{"type":"exactRepository","dockerRepository":"UPPER CASE"}`), "not the name"},
		{signed(data + `,"signedIdentity":{"type":"remapIdentity","prefix":"registry.example"}`), "signedPrefix"},
		{signed(data +
			`,"signedIdentity":{"type":"remapIdentity","prefix":"a.example/x:1","signedPrefix":"b.example"}`), "x:1"},
		{signed(data +
			`,"signedIdentity":{"type":"remapIdentity","prefix":"busybox","signedPrefix":"registry.example"}`),
			"busybox"},
		{"{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"docker\":{\"\xff\":[{\"type\":\"reject\"}]}}}",
			"UTF-8"},
		{`{"default":[{"type":"reject"}]}` + strings.Repeat(" ", maxPolicy), "more than"},
		{`{"default":` + strings.Repeat("[", 100_000), "JSON"},
	} {
		if p, err := Parse([]byte(row.text), "x"); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("Parse(%.200s) = %v, %v, want an error with %q", row.text, p, err, row.want)
		} else if !strings.HasPrefix(err.Error(), "cannot use the policy x: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("Parse(%.200s): message %q", row.text, err)
		}
	}
}

// What Wyrcan cannot verify is refused for the images that it is asked of.
func TestUnenforced(t *testing.T) {
	w := newWorld(t)
	w.simple(w.a, w.hash)
	for more, want := range map[string]string{
		`{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x"}`:   "GPG",
		`{"type":"signedBaseLayer","baseLayerIdentity":{}}`:        "signedBaseLayer",
		w.requirement(`,"rekorPublicKeyPath":"/x"`, w.a):           "rekorPublicKeyPath",
		w.requirement(`,"rekorPublicKeyDatas":[]`, w.a):            "rekorPublicKeyDatas",
		`{"type":"sigstoreSigned","fulcio":{},"keyData":"x"}`:      "fulcio",
		`{"type":"sigstoreSigned","pki":{"caRootsPath":"/x"}}`:     "pki",
		w.requirement("", w.a) + `,{"type":"reject"}`:              "rejects",
		`{"type":"insecureAcceptAnything"},` + `{"type":"reject"}`: "rejects",
	} {
		w.refuses(w.everywhere(more), want)
		v, err := w.decide(w.ref,
			w.policy(`{"default":[`+more+`],"transports":{"docker":{"":[{"type":"insecureAcceptAnything"}]}}}`))
		if err != nil || v.Signed {
			t.Errorf("where it does not apply: %+v, %v", v, err)
		}
	}
}

func TestScopes(t *testing.T) {
	for _, row := range []struct {
		name string
		want []string
	}{
		{"busybox", []string{"docker.io/library/busybox", "docker.io/library/busybox", "docker.io/library",
			"docker.io", "*.io"}},
		{"index.docker.io/library/busybox:1", []string{"docker.io/library/busybox:1", "docker.io/library/busybox",
			"docker.io/library", "docker.io", "*.io"}},
		{"a.b.example:5000/x/y:t", []string{"a.b.example:5000/x/y:t", "a.b.example:5000/x/y", "a.b.example:5000/x",
			"a.b.example:5000", "*.b.example", "*.example"}},
		{"localhost/x/y", []string{"localhost/x/y", "localhost/x/y", "localhost/x", "localhost"}},
	} {
		n, err := parseName(row.name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(row.want, n.scopes()); diff != "" {
			t.Errorf("scopes of %s: %s", row.name, diff)
		}
	}
}

// The most specific scope decides alone.
func TestFind(t *testing.T) {
	kinds := []string{"insecureAcceptAnything", "reject"}
	build := func(scopes []string, accept int) *Policy {
		var list []string
		for i, s := range scopes {
			kind := kinds[1]
			if i == accept {
				kind = kinds[0]
			}
			list = append(list, fmt.Sprintf(`%q:[{"type":%q}]`, s, kind))
		}
		p, err := Parse([]byte(`{"default":[{"type":"reject"}],"transports":{"docker":{`+strings.Join(list,
			",")+`}}}`), "x")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	digest := "@sha256:" + strings.Repeat("a", 64)
	for name, scopes := range map[string][]string{
		"a.b.example:5000/x/y:t": {"a.b.example:5000/x/y:t", "a.b.example:5000/x/y", "a.b.example:5000/x",
			"a.b.example:5000", "*.b.example", "*.example", ""},
		"a.b.example:5000/x/y" + digest: {"a.b.example:5000/x/y" + digest, "a.b.example:5000/x/y",
			"a.b.example:5000/x", "a.b.example:5000", "*.b.example", "*.example", ""},
		"index.docker.io/library/x:t": {"docker.io/library/x:t", "docker.io/library/x", "docker.io/library",
			"docker.io", "*.io", ""},
	} {
		n, err := parseName(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range scopes {
			found := build(scopes[i:], 0).find(n)
			if len(found) != 1 || found[0].kind != kinds[0] {
				t.Errorf("%s is not found under %q before %q", name, scopes[i], scopes[i+1:])
			}
		}
		// Scopes that only look as if.
		near := []string{"a.b.example", "b.example:5000", "*.a.b.example", "a.b.example:5000/x/y:t2",
			"a.b.example:5000/x/yy", "a.b.example:5000/", "A.b.example:5000",
			"library/x", "x", "index.docker.io", "*", "*.", "*.b.example:5000", "example"}
		near = slices.DeleteFunc(near, func(s string) bool { return strings.HasSuffix(s, "/") })
		if found := build(near, -1).find(n); len(found) != 1 || found[0].scope != "" {
			t.Errorf("%s is found under %q", name, found[0].scope)
		}
	}
}

func TestIdentities(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	for _, row := range []struct {
		id, image string
		yes, no   []string
	}{
		{`{"type":"matchExact"}`, "registry.example/x:1", []string{"registry.example/x:1"},
			[]string{"registry.example/x", "registry.example/x:2", "registry.example/x" + digest,
				"registry.example/x:1" + digest, "other.example/x:1", "", "X Y"}},
		{`{"type":"matchExact"}`, "registry.example/x" + digest, []string{"registry.example/x" + digest},
			[]string{"registry.example/x:1", "registry.example/x"}},
		{`{"type":"matchRepoDigestOrExact"}`, "registry.example/x:1", []string{"registry.example/x:1"},
			[]string{"registry.example/x", "registry.example/x:2", "registry.example/xy:1"}},
		{`{"type":"matchRepoDigestOrExact"}`, "registry.example/x" + digest, []string{"registry.example/x:1",
			"registry.example/x:2"}, []string{"registry.example/x", "registry.example/y1:1"}},
		{`{"type":"matchRepository"}`, "registry.example/x:1", []string{"registry.example/x:1",
			"registry.example/x", "registry.example/x:2"}, []string{"registry.example/xx", "registry.example:443/x"}},
		{`{"type":"matchRepository"}`, "index.docker.io/library/busybox:1", []string{"busybox",
			"docker.io/library/busybox:7", "index.docker.io/library/busybox"}, []string{"docker.io/busybox/busybox"}},
		{`{"type":"exactReference","dockerReference":"registry.example/x:1"}`, "mirror.example/m:3",
			[]string{"registry.example/x:1"}, []string{"registry.example/x", "mirror.example/m:3"}},
		{`{"type":"exactRepository","dockerRepository":"registry.example/x:1"}`, "mirror.example/m:3",
			[]string{"registry.example/x:1", "registry.example/x", "registry.example/x:2"},
			[]string{"mirror.example/m:3"}},
		{`{"type":"remapIdentity","prefix":"mirror.example","signedPrefix":"registry.example/a"}`,
			"mirror.example/m:3", []string{"registry.example/a/m:3"}, []string{"registry.example/a/m",
				"mirror.example/m:3", "registry.example/a/m:4"}},
		{`{"type":"remapIdentity","prefix":"mirror.example/m","signedPrefix":"registry.example/a"}`,
			"mirror.example/m" + digest, []string{"registry.example/a:3"}, []string{"mirror.example/m:3"}},
		{`{"type":"remapIdentity","prefix":"mirror.example/m","signedPrefix":"registry.example/a"}`,
			"mirror.example/mm:3", []string{"mirror.example/mm:3"}, []string{"registry.example/am:3",
				"registry.example/a:3"}},
	} {
		id, err := parseIdentity([]byte(row.id))
		if err != nil {
			t.Fatal(err)
		}
		n, err := parseName(row.image)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range row.yes {
			if err := id.accepts(n, "registry.example", s); err != nil {
				t.Errorf("%s for %s refuses %q: %v", row.id, row.image, s, err)
			}
		}
		for _, s := range row.no {
			if err := id.accepts(n, "registry.example", s); err == nil {
				t.Errorf("%s for %s accepts %q", row.id, row.image, s)
			}
		}
	}
	n, _ := parseName("registry.example/a/x:1")
	for s, want := range map[string]bool{"registry.example/a/x": true, "registry.example/a/x:1": true,
		"other.example/a/x":      true,
		"registry.example/a/x:2": false, "registry.example/a/y": false, "registry.example/x": false, "": false,
		"a b": false} {
		if err := (identity{}).accepts(n, "registry.example", s); (err == nil) != want {
			t.Errorf("without signedIdentity, %q for %s: %v", s, n, err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	none := filepath.Join(dir, "none.json")
	reject, bad := write("reject.json", `{"default":[{"type":"reject"}]}`), write("bad.json", `{}`)
	if ps, err := Load(none); err != nil || len(ps) != 0 {
		t.Errorf("Load of nothing = %v, %v", ps, err)
	}
	if ps, err := Load(none, reject, reject); err != nil || len(ps) != 2 {
		t.Errorf("Load = %v, %v, want two policies", ps, err)
	}
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink(none, link); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{bad, link, dir, write("empty.json", "")} {
		if ps, err := Load(reject, file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("Load(%s) = %v, %v, want an error", file, ps, err)
		}
	}
	if _, err := Read(none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read of nothing: %v", err)
	}
}

// The policy for some keys is one that its own parser reads.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	var files []string
	for i, s := range []*imagetest.Signer{w.a, w.b} {
		files = append(files, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(files[i], s.Public(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := ReadKeys(files...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.decide(w.ref, p); !Refused(err) || !strings.Contains(err.Error(), files[0]) {
		t.Errorf("without a signature: %v", err)
	}
	w.bundle(w.b, w.hash)
	w.accepts(1, p)

	private := filepath.Join(dir, "private")
	for _, row := range []struct{ text, want string }{
		{"", "not a public key"},
		{"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
			"private key"},
		{"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "CERTIFICATE"},
		{"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no valid public key"},
		{string(w.a.Public(t)) + string(w.b.Public(t)), "follows the key"},
		{string(w.a.Public(t)) + strings.Repeat("\n", maxKey), "longer"},
	} {
		if err := os.WriteFile(private, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeys(private); err == nil || !strings.Contains(err.Error(), row.want) &&
			!strings.Contains(err.Error(), "more than") {
			t.Errorf("ReadKeys(%.60q) = %v, want %q", row.text, err, row.want)
		}
		if _, err := ForKeys("x", []byte(row.text)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("ForKeys(%.60q) = %v, want %q", row.text, err, row.want)
		}
	}
	if _, err := ForKeys("x"); err == nil {
		t.Error("a policy without keys is no error")
	}
}

// Keys that are too weak, or of kinds that nothing here verifies, are no keys.
func TestWeakKeys(t *testing.T) {
	encode := func(public any) []byte {
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		public any
		want   string
	}{{&short.PublicKey, "RSA key of 1024 bits"}, {&curve.PublicKey, "P-224"}, {other.PublicKey(), "none of ECDSA"}} {
		if _, err := parseKey(encode(row.public)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("parseKey of %T = %v, want an error with %q", row.public, err, row.want)
		}
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	old := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&long.PublicKey)})
	a, err := parseKey(old)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := parseKey(encode(&long.PublicKey)); err != nil || a.id != b.id {
		t.Errorf("a key in both of its forms is %s and %s, %v", a.id, b.id, err)
	}
}
