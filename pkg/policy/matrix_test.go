package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// A world is a registry with an image in it, x:1, and its owners' keys.
type world struct {
	*testing.T
	reg  *imagetest.Registry
	a, b *imagetest.Signer
	evil *imagetest.Signer
	ref  string // of x:1
	hash string // its digest
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, reg: imagetest.Serve(t)}
	w.a, w.b = imagetest.NewSigner(t, "P-256"), imagetest.NewSigner(t, "Ed25519ph")
	w.evil = imagetest.NewSigner(t, "P-256")
	img := imagetest.Image(t, imagetest.Files(imagetest.File("a", "good")))
	w.ref, w.hash = w.reg.Push(t, "x:1", img), imagetest.Digest(t, img)
	return w
}

// push stores another image, and returns its digest.
func (w *world) push(repo, content string) string {
	w.Helper()
	img := imagetest.Image(w, imagetest.Files(imagetest.File("a", content)))
	w.reg.Push(w, repo, img)
	return imagetest.Digest(w, img)
}

// simple and bundle sign a digest in repository x, in the old and in the new form.
func (w *world) simple(by *imagetest.Signer, hash string) {
	w.Helper()
	w.reg.AttachSimple(w, "x", hash, by.Simple(w, w.reg.Host+"/x", hash, nil))
}

func (w *world) bundle(by *imagetest.Signer, hash string) {
	w.Helper()
	w.reg.AttachBundle(w, "x", hash, by.Bundle(w, hash, imagetest.SignPredicate, nil))
}

// requirement is a sigstoreSigned one, with more fields perhaps: `,"threshold":2`.
func (w *world) requirement(more string, keys ...*imagetest.Signer) string {
	w.Helper()
	var texts [][]byte
	for _, k := range keys {
		texts = append(texts, k.Public(w))
	}
	datas, err := json.Marshal(texts)
	if err != nil {
		w.Fatal(err)
	}
	return fmt.Sprintf(`{"type":"sigstoreSigned","keyDatas":%s%s}`, datas, more)
}

func (w *world) policy(text string) *Policy {
	w.Helper()
	p, err := Parse([]byte(text), "test.json")
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// everywhere is the policy that asks for a requirement of every image.
func (w *world) everywhere(requirement string) *Policy {
	w.Helper()
	return w.policy(`{"default":[` + requirement + `]}`)
}

// asking is a source that gives up soon.
func asking(t *testing.T) *image.Source {
	return &image.Source{Stall: 500 * time.Millisecond, Tries: 2, Backoff: time.Millisecond, Logf: t.Logf}
}

// decide fetches an image and has policies decide about it.
func (w *world) decide(ref string, ps ...*Policy) (Verdict, error) {
	w.Helper()
	img, err := asking(w.T).Resolve(context.Background(), ref)
	if err != nil {
		return Verdict{}, err
	}
	return Policies(ps).Check(context.Background(), img)
}

// accepts fails the test unless x:1 is accepted, signed by so many keys.
func (w *world) accepts(keys int, ps ...*Policy) {
	w.Helper()
	v, err := w.decide(w.ref, ps...)
	if err != nil || !v.Signed || len(v.Keys) != keys {
		w.Errorf("Check = %+v, %v, want it accepted with %d keys", v, err, keys)
	}
}

// refuses fails the test unless x:1 is refused, for a reason that has all of the texts in it.
func (w *world) refuses(p *Policy, texts ...string) {
	w.Helper()
	v, err := w.decide(w.ref, p)
	if err == nil || !Refused(err) || image.Heals(err) || v.Signed || len(v.Keys) > 0 {
		w.Errorf("Check = %+v, %v, want it refused", v, err)
		return
	}
	for _, text := range append(texts, "test.json") {
		if !strings.Contains(err.Error(), text) {
			w.Errorf("refused with %q, want %q in it", err, text)
		}
	}
}

// forms are the two in which an image can be signed.
var forms = map[string]func(w *world, by *imagetest.Signer, hash string){"simple": (*world).simple,
	"bundle": (*world).bundle}

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

// What is damaged, too large or not there is no signature; what the network did is no decision.
func TestDamaged(t *testing.T) {
	const layer = "/blobs/"
	for form, sign := range forms {
		t.Run(form, func(t *testing.T) {
			w := newWorld(t)
			p := w.everywhere(w.requirement("", w.a))
			sign(w, w.a, w.hash)
			img, err := asking(t).Resolve(context.Background(), w.ref)
			if err != nil {
				t.Fatal(err)
			}
			check := func() error { _, err := Policies{p}.Check(context.Background(), img); return err }
			if err := check(); err != nil {
				t.Fatal(err)
			}
			for name, f := range map[string]imagetest.Fault{
				"a flipped bit": {Path: layer, Do: imagetest.Flip(20)},
				"another blob":  {Path: layer, Do: imagetest.Flip(0)},
				"no blob":       {Path: layer, Do: imagetest.Status(404, "")},
				"no manifest":   {Path: imagetest.Manifests, Do: imagetest.Status(404, "")},
				"a giant manifest": {Path: imagetest.Manifests,
					Do: answer(giant(`{"schemaVersion":2,"layers":[`, maxManifest+1))},
				"a manifest of nonsense": {Path: imagetest.Manifests, Do: answer([]byte("nonsense"))},
				"an empty manifest":      {Path: imagetest.Manifests, Do: answer(nil)},
				"access denied":          {Path: imagetest.Manifests, Do: imagetest.Status(403, "")},
			} {
				w.reg.Fail(f)
				if err := check(); !Refused(err) || image.Heals(err) {
					t.Errorf("%s: %v, want a refusal", name, err)
				}
				w.reg.Heal()
			}
			for name, f := range map[string]imagetest.Fault{
				"truncated":                     {Path: layer, Do: answer([]byte("{\"critical\""))},
				"the registry is down":          {Do: imagetest.Status(503, "")},
				"the blobs are not to be had":   {Path: layer, Do: imagetest.Status(500, "")},
				"the connection breaks":         {Do: imagetest.Drop(10)},
				"too many requests":             {Do: imagetest.Status(429, "1")},
				"silence until the time is out": {Do: imagetest.Delay(3 * time.Second)},
			} {
				w.reg.Fail(f)
				if err := check(); err == nil || Refused(err) || !image.Heals(err) {
					t.Errorf("%s: %v, want an error that heals", name, err)
				}
				w.reg.Heal()
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := (Policies{p}).Check(ctx, img); err == nil {
				t.Error("a context that has ended does not end it")
			}
			if err := check(); err != nil {
				t.Errorf("once the registry is sound again: %v", err)
			}
		})
	}
}

// giant is a document of so many bytes.
func giant(begin string, n int) []byte {
	return append([]byte(begin), bytes.Repeat([]byte(" "), n)...)
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	p := w.everywhere(w.requirement("", w.a))
	good := w.a.Simple(t, w.reg.Host+"/x", w.hash, nil)
	bad := w.evil.Simple(t, w.reg.Host+"/x", w.hash, nil)
	many := make([]imagetest.Simple, 98)
	for i := range many {
		many[i] = bad
	}
	w.reg.AttachSimple(t, "x", w.hash, append(many, good)...)
	w.accepts(1, p)
	w.reg.AttachSimple(t, "x", w.hash, append(many, bad, bad, bad, good)...)
	w.refuses(p, "has 102 layers")
	w.reg.AttachSimple(t, "x", w.hash, w.a.SimpleOf(t, giant(string(good.Payload), maxBlob)))
	w.refuses(p, "and may have 1048576")

	// Bundles of others stand before the good one, as many as will do no harm and more.
	for i := range 49 {
		w.reg.AttachBundle(t, "x", w.hash, w.evil.Bundle(t, w.hash, fmt.Sprint(i), nil))
	}
	w = newWorld(t)
	p = w.everywhere(w.requirement("", w.a))
	for i := range 60 {
		w.reg.AttachBundle(t, "x", w.hash, w.evil.Bundle(t, w.hash, fmt.Sprint(i), nil))
	}
	w.refuses(p, "none that counts")
	before := len(w.reg.Requests())
	w.refuses(p)
	if n := len(w.reg.Requests()) - before; n > maxSearched+20 {
		t.Errorf("%d requests for one decision", n)
	}
	w = newWorld(t)
	p = w.everywhere(w.requirement("", w.a))
	w.reg.AttachBundle(t, "x", w.hash, giant(string(w.a.Bundle(t, w.hash, imagetest.SignPredicate, nil)), maxBlob))
	w.refuses(p, "and may have 1048576")
}

// Registries without the list of referrers have them under a tag.
func TestReferrersTag(t *testing.T) {
	for _, code := range []int{404, 400, 405, 501, 403, 200} {
		w := newWorld(t)
		p := w.everywhere(w.requirement("", w.a))
		d := w.reg.AttachBundle(t, "x", w.hash, w.a.Bundle(t, w.hash, imagetest.SignPredicate, nil))
		w.reg.Fail(imagetest.Fault{Path: "/referrers/", Do: imagetest.Status(code, "")})
		w.refuses(p, "none that counts")
		for _, kind := range []any{d["artifactType"], "application/vnd.oci.empty.v1+json", nil} {
			d["artifactType"] = kind
			w.reg.AttachUnderTag(t, "x", w.hash, d)
			w.accepts(1, p)
		}
		d["artifactType"] = "application/vnd.example"
		w.reg.AttachUnderTag(t, "x", w.hash, d)
		w.refuses(p, "none that counts")
		w.simple(w.a, w.hash)
		w.accepts(1, p)
	}
}

// Lists of referrers may come in pages, of the same list alone.
func TestReferrersPages(t *testing.T) {
	w := newWorld(t)
	p := w.everywhere(w.requirement("", w.a))
	d := w.reg.AttachBundle(t, "x", w.hash, w.a.Bundle(t, w.hash, imagetest.SignPredicate, nil))
	last, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": types.OCIImageIndex,
		"manifests": []any{d}})
	if err != nil {
		t.Fatal(err)
	}
	next := ""
	w.reg.Fail(imagetest.Fault{Path: "/referrers/", Do: func(rw http.ResponseWriter, r *http.Request, _ http.Handler) {
		if r.URL.Query().Get("last") != "" {
			rw.Write(last)
			return
		}
		rw.Header().Set("Link", next)
		rw.Write([]byte(`{"schemaVersion":2,"manifests":[]}`))
	}})
	path := "/v2/x/referrers/" + w.hash
	for _, link := range []string{"<" + path + "?last=1>; rel=\"next\"", "<?last=1>;rel=next", "<http://" +
		w.reg.Host + path + "?n=1&last=1>; rel=next"} {
		next = link
		w.accepts(1, p)
	}
	for _, link := range []string{"<" + path + "?n=1>; rel=next", "<http://attacker.example" + path +
		"?last=1>; rel=next",
		"</v2/x/manifests/1?last=1>; rel=next", "<" + path + "/../../../y/referrers/" + w.hash +
			"?last=1>; rel=next", "nonsense", "<::>; rel=next"} {
		next = link
		w.refuses(p, "cannot be used")
	}
}

// What a policy asks for decides how much is fetched.
func TestRequests(t *testing.T) {
	w := newWorld(t)
	w.bundle(w.a, w.hash)
	base := len(w.reg.Requests())
	if _, err := w.decide(w.ref); err != nil {
		t.Fatal(err)
	}
	without := len(w.reg.Requests()) - base
	for _, row := range []struct {
		policy string
		more   int
	}{
		{`{"type":"insecureAcceptAnything"}`, 0},
		{`{"type":"reject"}`, 0},
		{w.requirement("", w.a), 3}, // the list, the manifest and the bundle
	} {
		base := len(w.reg.Requests())
		w.decide(w.ref, w.everywhere(row.policy))
		if n := len(w.reg.Requests()) - base - without; n != row.more {
			t.Errorf("%.40s: %d more requests, want %d: %q", row.policy, n, row.more, w.reg.Requests()[base:])
		}
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

// labelled is an image that says its version and when it was made.
func labelled(t *testing.T, version string, made time.Time) v1.Image {
	t.Helper()
	img := imagetest.Spec{
		Layers: []imagetest.Layer{imagetest.Files(imagetest.File("a", version))},
		Config: v1.Config{Labels: map[string]string{versionKey: version}},
	}.Image(t)
	img, err := mutate.CreatedAt(img, v1.Time{Time: made})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// An old image has a valid signature for ever, so its age has to be asked for.
func TestRollback(t *testing.T) {
	made := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	note := func(kv ...any) map[string]any {
		m := make(map[string]any)
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	for _, row := range []struct {
		version string // of the image
		notes   map[string]any
		policy  string
		want    string
	}{
		{"1.4.2", nil, `,"minVersion":"1.4.2"`, ""},
		{"1.10", nil, `,"minVersion":"1.9"`, ""},
		{"1.4.1", nil, `,"minVersion":"1.4.2"`, "older than 1.4.2"},
		{"1.4.2-rc.1", nil, `,"minVersion":"1.4.2"`, "older than"},
		{"", nil, `,"minVersion":"1"`, "says its version"},
		{"bookworm", nil, `,"minVersion":"1"`, "not a version"},
		{"1.4.1", note(versionKey, "1.4.2"), `,"minVersion":"1.4.2"`, ""},
		{"9", note(versionKey, "1.4.1"), `,"minVersion":"1.4.2"`, "older than"},
		{"9", note(versionKey, ""), `,"minVersion":"1"`, "says its version"},
		{"9", note(versionKey, 9), `,"minVersion":"1"`, "no string"},
		{"9", note(versionKey, nil), `,"minVersion":"1"`, "no string"},
		{"1", nil, `,"notBefore":"2026-03-01"`, ""},
		{"1", nil, `,"notBefore":"2026-03-01T00:00:01Z"`, "before 2026-03-01T00:00:01Z"},
		{"1", nil, `,"notBefore":"2026-03-01T01:00:00+02:00"`, ""},
		{"1", note(createdKey, "2026-04-01T00:00:00Z"), `,"notBefore":"2026-03-15"`, ""},
		{"1", note(createdKey, "2025-04-01"), `,"notBefore":"2026-01-01"`, "it is of 2025-04-01"},
		{"1", note(createdKey, "soon"), `,"notBefore":"2026-01-01"`, "not a time"},
		{"1", note(timestampKey, 1777000000), `,"notBefore":"2026-03-15"`, ""},
		{"1", note(timestampKey, 1), `,"notBefore":"2026-01-01"`, "it is of 1970-01-01"},
		{"1", note(timestampKey, "1777000000"), `,"notBefore":"2026-01-01"`, "whole number"},
		{"1", nil, `,"notBefore":"2026-03-01","minVersion":"2"`, "older than"},
		{"2", nil, `,"notBefore":"2027-03-01","minVersion":"2"`, "notBefore"},
	} {
		img := labelled(t, row.version, made)
		hash := imagetest.Digest(t, img)
		for form := range forms {
			w := newWorld(t)
			w.reg.Push(t, "x:1", img)
			if form == "simple" {
				w.reg.AttachSimple(t, "x", hash, w.a.Simple(t, w.reg.Host+"/x", hash, row.notes))
			} else {
				w.reg.AttachBundle(t, "x", hash, w.a.Bundle(t, hash, imagetest.SignPredicate, row.notes))
			}
			p := w.everywhere(w.requirement(row.policy, w.a))
			if row.want == "" {
				w.accepts(1, p)
			} else {
				w.refuses(p, row.want)
			}
			if t.Failed() {
				t.Fatalf("%s: version %q, notes %v, policy %s", form, row.version, row.notes, row.policy)
			}
		}
	}
	// An image that does not say when it was made.
	w := newWorld(t)
	w.simple(w.a, w.hash)
	w.refuses(w.everywhere(w.requirement(`,"notBefore":"1999-01-01"`, w.a)), "says when it was made")
}
