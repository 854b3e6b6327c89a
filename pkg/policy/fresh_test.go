package policy

import (
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

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
