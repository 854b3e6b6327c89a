package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

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
