package policy

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

func TestBothForms(t *testing.T) {
	for form, sign := range forms {
		for _, kind := range imagetest.SignerKinds {
			w := newWorld(t)
			w.a = imagetest.NewSigner(t, kind)
			p := w.everywhere(w.requirement("", w.a))
			w.refuses(p, "none that counts", w.hash)
			sign(w, w.a, w.hash)
			t.Run(form+" "+kind, func(t *testing.T) {
				w.T = t
				w.accepts(1, p)
				w.refuses(w.everywhere(w.requirement("", w.b)), "none of the policy's keys")
				w.accepts(1, w.everywhere(w.requirement("", w.b, w.a)))
				w.accepts(1, p, p)
				if _, err := w.decide(w.ref, p, w.everywhere(w.requirement("", w.b))); !Refused(err) {
					t.Errorf("two policies of which one refuses: %v", err)
				}
			})
		}
	}
}

func TestThreshold(t *testing.T) {
	for form, sign := range forms {
		w := newWorld(t)
		both := w.everywhere(w.requirement(`,"threshold":2`, w.a, w.b))
		sign(w, w.a, w.hash)
		w.refuses(both, "those of 1 of 2")
		w.refuses(w.everywhere(w.requirement("", w.a)+","+w.requirement("", w.b)), "asks for a signature by key")

		// The same key twice is one key, in one form, in both, and under different names in the policy.
		by := func(s *imagetest.Signer) imagetest.Simple { return s.Simple(t, w.reg.Host+"/x", w.hash, nil) }
		w.reg.AttachSimple(t, "x", w.hash, by(w.a), by(w.a))
		w.bundle(w.a, w.hash)
		w.refuses(both, "those of 1 of 2")
		w.refuses(w.everywhere(w.requirement(`,"threshold":2`, w.a, w.a, w.b)), "those of 1 of 2")
		if _, err := Parse([]byte(`{"default":[`+w.requirement(`,"threshold":2`, w.a, w.a)+`]}`), "x"); err == nil {
			t.Error("a threshold of 2 for the same key twice is no error")
		}

		w.reg.AttachSimple(t, "x", w.hash, by(w.a), by(w.evil))
		w.refuses(both, "those of 1 of 2")
		w.bundle(w.b, w.hash)
		w.accepts(2, both)
		// Two requirements, whichever of the two is met first.
		w.accepts(2, w.everywhere(w.requirement("", w.a)+","+w.requirement("", w.b)))
		w.accepts(2, w.everywhere(w.requirement("", w.b)+","+w.requirement("", w.a)))
		if t.Failed() {
			t.Fatalf("with %s", form)
		}
	}
}

// A signature counts for the digest in it, wherever it lies.
func TestAnotherDigest(t *testing.T) {
	w := newWorld(t)
	p := w.everywhere(w.requirement("", w.a))
	other := w.push("x:2", "other")
	w.reg.AttachSimple(t, "x", w.hash, w.a.Simple(t, w.reg.Host+"/x", other, nil))
	w.reg.AttachBundle(t, "x", w.hash, w.a.Bundle(t, other, imagetest.SignPredicate, nil))
	w.refuses(p, "another image", other)

	// A tag that moves from a signed image to one that is not.
	w.simple(w.a, w.hash)
	w.accepts(1, p)
	w.push("x:1", "moved")
	w.refuses(p, "none that counts")
	if _, err := w.decide(w.reg.Host+"/x@"+w.hash, p); err != nil {
		t.Errorf("the signed image by its digest: %v", err)
	}
}

// Whoever controls a repository can put there whatever is signed for another.
func TestAnotherRepository(t *testing.T) {
	w := newWorld(t)
	scoped := func(keys map[string]string) *Policy {
		var scopes []string
		for scope, requirement := range keys {
			scopes = append(scopes, fmt.Sprintf("%q:[%s]", w.reg.Host+scope, requirement))
		}
		return w.policy(`{"default":[{"type":"reject"}],"transports":{"docker":{` + strings.Join(scopes, ",") + `}}}`)
	}
	byA, byB := w.requirement("", w.a), w.requirement("", w.b)
	w.bundle(w.b, w.hash)
	w.refuses(scoped(map[string]string{"/x": byA, "/yy": byB}), "none of the policy's keys")
	w.accepts(1, scoped(map[string]string{"/x": byB, "/yy": byA}))
	w.refuses(scoped(map[string]string{"/yy": byB}), "rejects")

	// The old form says the repository: here it is the one that key a may sign, and another.
	w = newWorld(t)
	byA = w.requirement("", w.a)
	exactly := func(repo string) string {
		return w.requirement(`,"signedIdentity":{"type":"exactRepository","dockerRepository":"`+repo+`"}`, w.a)
	}
	w.reg.AttachSimple(t, "x", w.hash, w.a.Simple(t, w.reg.Host+"/yy", w.hash, nil))
	w.refuses(scoped(map[string]string{"/x": byA}), "it is for "+w.reg.Host+"/yy")
	w.refuses(scoped(map[string]string{"": byA}), "it is for "+w.reg.Host+"/yy")
	w.refuses(scoped(map[string]string{"": w.requirement(`,"signedIdentity":{"type":"matchRepository"}`, w.a)}),
		"matchRepository does not accept")
	w.accepts(1, scoped(map[string]string{"/x": exactly(w.reg.Host + "/yy")}))
	w.accepts(1, w.everywhere(byA)) // a key for everything

	// Signed where it was made, and fetched from a copy.
	w.reg.AttachSimple(t, "x", w.hash, w.a.Simple(t, "registry.example/x", w.hash, nil))
	w.accepts(1, scoped(map[string]string{"/x": byA}))
	w.refuses(scoped(map[string]string{"/x": w.requirement(`,"signedIdentity":{"type":"matchRepository"}`, w.a)}),
		"it is for registry.example/x")
	w.accepts(1, scoped(map[string]string{"/x": exactly("registry.example/x")}))

	// The new form says none.
	w = newWorld(t)
	w.bundle(w.a, w.hash)
	with := func(kind string) string { return w.requirement(`,"signedIdentity":`+kind, w.a) }
	w.accepts(1, scoped(map[string]string{"": w.requirement("", w.a)}))
	w.accepts(1, scoped(map[string]string{"/x": with(`{"type":"matchRepository"}`)}))
	w.accepts(1, scoped(map[string]string{"/x:1": with(`{"type":"matchRepository"}`)}))
	w.refuses(scoped(map[string]string{"": with(`{"type":"matchRepository"}`)}), "a bundle names no repository")
	w.refuses(w.everywhere(with(`{"type":"matchRepository"}`)), "a bundle names no repository")
	for _, kind := range []string{`{"type":"matchExact"}`, `{"type":"matchRepoDigestOrExact"}`,
		`{"type":"exactRepository","dockerRepository":"registry.example/x"}`,
		`{"type":"exactReference","dockerReference":"registry.example/x:1"}`,
		`{"type":"remapIdentity","prefix":"registry.example","signedPrefix":"other.example"}`} {
		w.refuses(scoped(map[string]string{"/x": with(kind)}), "a bundle names no image")
	}
}

// A signature of the index is one of each image in it, and of no other.
func TestIndex(t *testing.T) {
	for form, sign := range forms {
		t.Run(form, func(t *testing.T) {
			w := newWorld(t)
			p := w.everywhere(w.requirement("", w.a))
			here := imagetest.Image(t, imagetest.Files(imagetest.File("a", "here")))
			other := imagetest.Spec{Layers: []imagetest.Layer{imagetest.Files(imagetest.File("a", "there"))},
				Platform: v1.Platform{OS: "linux", Architecture: "s390x"}}.Image(t)
			index := imagetest.Index(t, other, here)
			w.reg.Push(t, "x:1", index)
			w.refuses(p, "none that counts")

			sign(w, w.a, imagetest.Digest(t, other)) // which is in the same index, and not what would be booted
			w.refuses(p, "none that counts")
			sign(w, w.a, imagetest.Digest(t, here))
			w.accepts(1, p)

			w = newWorld(t)
			p = w.everywhere(w.requirement("", w.a))
			w.reg.Push(t, "x:1", index)
			sign(w, w.a, imagetest.Digest(t, index))
			w.accepts(1, p)

			// The manifest is swapped behind the signed index: its digest is not the one in there.
			swapped := imagetest.Image(t, imagetest.Files(imagetest.File("a", "swapped")))
			raw, err := swapped.RawManifest()
			if err != nil {
				t.Fatal(err)
			}
			w.reg.Push(t, "x:9", swapped)
			w.reg.Fail(imagetest.Fault{Path: imagetest.Manifests + imagetest.Digest(t, here), Do: answer(raw)})
			if _, err := w.decide(w.ref, p); err == nil || !strings.Contains(err.Error(), "in place of") {
				t.Errorf("a swapped manifest: %v", err)
			}
			w.reg.Heal()

			// The index is swapped too, and lists the signed image beside it.
			w.reg.Push(t, "x:1", imagetest.Index(t, swapped, here))
			w.refuses(p, "none that counts")
		})
	}
}

// answer answers with these bytes.
func answer(b []byte) imagetest.Effect {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.Write(b) }
}

// A digest in the name is verified before what comes is looked at.
func TestPinFirst(t *testing.T) {
	w := newWorld(t)
	w.reg.Fail(imagetest.Fault{Path: imagetest.Manifests, Do: answer([]byte("{ no manifest at all"))})
	_, err := w.decide(w.reg.Host+"/x@"+w.hash, w.everywhere(w.requirement("", w.a)))
	if err == nil || !strings.Contains(err.Error(), "in place of "+w.hash) {
		t.Errorf("a manifest with another digest: %v", err)
	}
}

// What else is signed with the same key for the same digest is no permission.
func TestOtherStatements(t *testing.T) {
	w := newWorld(t)
	p := w.everywhere(w.requirement("", w.a))
	algorithm, hex, _ := strings.Cut(w.hash, ":")
	subject := `[{"digest":{"` + algorithm + `":"` + hex + `"}}]`
	statement := func(more string) []byte { return []byte(`{"subject":` + subject + more + `}`) }
	const kind, sign = `,"_type":"` + statementType + `"`, `,"predicateType":"` + signPredicate + `"`
	for _, row := range []struct{ statement, want string }{
		{kind + `,"predicateType":"https://slsa.dev/provenance/v1","predicate":{}`, "no permission to boot"},
		{kind + `,"predicateType":"https://spdx.dev/Document"`, "no permission to boot"},
		{kind, "no permission to boot"},
		{`,"_type":"https://in-toto.io/Statement/v0"` + sign, "its type"},
		{sign, "its type"},
		{kind + `,"PredicateType":"` + signPredicate + `"`, "no permission to boot"},
		{kind + sign + sign, "twice"},
		{kind + sign + `,"subject":[]`, "twice"},
	} {
		w.reg.AttachBundle(t, "x", w.hash, w.a.BundleOf(t, statement(row.statement)))
		w.refuses(p, row.want)
		w = newWorld(t)
		p = w.everywhere(w.requirement("", w.a))
	}
	two := `{"subject":[{"digest":{"sha256":"00"}},` + subject[1:] + kind + sign + `}`
	w.reg.AttachBundle(t, "x", w.hash, w.a.BundleOf(t, []byte(two)))
	w.refuses(p, "2 subjects")
	signer := w.a
	sound := signer.BundleOf(t, statement(kind+sign))
	for _, row := range []struct {
		bundle []byte
		want   string
	}{
		{bytes.Replace(sound, []byte("in-toto+json"), []byte("in-toto+yaml"), 1), "payloadType"},
		{bytes.Replace(sound, []byte("bundle.v0.3"), []byte("bundle.v0.9"), 1), "mediaType"},
		{bytes.Replace(sound, []byte("signatures"), []byte("signature"), 1), "0 signatures"},
		{bytes.Replace(sound, []byte("dsseEnvelope"), []byte("messageSignature"), 1), "no dsseEnvelope"},
		{sound[:len(sound)-1], "ends too early"},
		{append(bytes.Clone(sound), '{'), "follows its end"},
		{[]byte("{}"), "mediaType"},
		{nil, ""},
	} {
		w := newWorld(t)
		w.reg.AttachBundle(t, "x", w.hash, row.bundle)
		w.refuses(w.everywhere(w.requirement("", signer)), row.want)
	}
	p = w.everywhere(w.requirement("", signer))
	w.reg.AttachBundle(t, "x", w.hash, sound)
	w.accepts(1, p)

	simple := func(payload string) {
		w := newWorld(t)
		p := w.everywhere(w.requirement("", w.a))
		w.reg.AttachSimple(t, "x", w.hash, w.a.SimpleOf(t, []byte(strings.ReplaceAll(payload, "D", w.hash))))
		w.refuses(p, "does not count")
	}
	const (
		id     = `"identity":{"docker-reference":"registry.example/x"}`
		of     = `"image":{"docker-manifest-digest":"D"}`
		kindOf = `"type":"cosign container image signature"`
	)
	for _, payload := range []string{
		`{}`, `[]`, `null`, ``, `{"critical":null,"optional":null}`,
		`{"critical":{` + id + `,` + of + `,"type":"atomic container signature"},"optional":null}`,
		`{"critical":{` + id + `,` + of + `},"optional":null}`,
		`{"critical":{` + id + `,"image":{"Docker-Manifest-Digest":"D"},` + kindOf + `},"optional":null}`,
		`{"critical":{` + id + `,"image":{},` + kindOf + `},"optional":null}`,
		`{"critical":{` + id + `,` + of + `,` + kindOf + `,"x":1},"optional":null}`,
		`{"critical":{` + of + `,` + kindOf + `},"optional":null}`,
		`{"critical":{` + id + `,"image":{"docker-manifest-digest":"D","docker-manifest-digest":"D"},` + kindOf +
			`},"optional":null}`,
		`{"critical":{` + id + `,` + of + `,` + kindOf + `}}`,
		`{"critical":{` + id + `,` + of + `,` + kindOf + `},"optional":[]}`,
		`{"critical":{` + id + `,` + of + `,` + kindOf + `},"optional":null} {}`,
	} {
		simple(payload)
	}
}

// Images on this machine have no signatures.
func TestLocal(t *testing.T) {
	dir := imagetest.Saved(t, imagetest.Files(imagetest.File("a", "x"))).Dir(t)
	img, err := asking(t).Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	accept, reject, signed := `[{"type":"insecureAcceptAnything"}]`, `[{"type":"reject"}]`, "["+w.requirement("",
		w.a)+"]"
	for _, row := range []struct{ text, want string }{
		{`{"default":` + accept + `}`, ""},
		{`{"default":` + accept + `,"transports":{"docker":{"":` + reject + `},"docker-daemon":{"":` + reject +
			`}}}`, ""},
		{`{"default":` + reject + `}`, "rejects"},
		{`{"default":` + signed + `}`, "kept at a registry"},
		{`{"default":` + accept + `,"transports":{"oci":{"":` + reject + `}}}`, "rejects"},
		{`{"default":` + accept + `,"transports":{"docker-archive":{"/x":` + signed + `}}}`, "kept at a registry"},
	} {
		_, err := Policies{w.policy(row.text)}.Check(context.Background(), img)
		if row.want == "" && err != nil || row.want != "" && (!Refused(err) || !strings.Contains(err.Error(),
			row.want)) {
			t.Errorf("%s: %v, want %q", row.text, err, row.want)
		}
	}
}
