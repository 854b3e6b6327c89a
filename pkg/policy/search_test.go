package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

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
