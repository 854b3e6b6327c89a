package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// A Verdict says why an image was accepted.
type Verdict struct {
	// Signed reports whether a signature was asked for.
	Signed bool
	// Keys are the keys of the policies that have signed the image, each as the SHA-256 of its SubjectPublicKeyInfo in
	// hexadecimal. Once enough keys have signed, Check does not look for others.
	Keys []string
}

// A refusal is the error for an image that a policy does not accept. A retry does not help.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// Refused reports whether err means that a policy does not accept the image. Any other error of Check means that it
// could not find out.
func Refused(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}

// Check returns nil only if all policies accept img. The caller must not use the image, and should not fetch a layer,
// before Check has returned nil. If image.Heals is true for the error, the signatures could not be fetched and a retry
// may help. Any other error is final.
func (ps Policies) Check(ctx context.Context, img *image.Image) (Verdict, error) {
	if len(ps) == 0 {
		return Verdict{}, nil
	}
	s := subject{name: img.Name, digests: []v1.Hash{img.Root}, version: label(img), created: created(img)}
	if img.Digest != img.Root {
		s.digests = append(s.digests, img.Digest)
	}
	repos := img.Repositories()
	if len(repos) == 0 {
		return ps.judge(ctx, s, nil)
	}
	// A mirror may lack the signatures, or have old ones. The origin is the last, so its error is the one that counts.
	var v Verdict
	var err error
	for _, repo := range repos {
		if v, err = ps.checkAt(ctx, s, repo); err == nil || ctx.Err() != nil {
			break
		}
	}
	return v, err
}

// checkAt looks for the signatures at one place where the image may be had.
func (ps Policies) checkAt(ctx context.Context, s subject, repo *image.Repository) (Verdict, error) {
	ctx, cancel := repo.Bound(ctx, "to send the image's signatures")
	defer cancel()
	return ps.judge(ctx, s, repo)
}

// A subject is an image as policies see it.
type subject struct {
	name    string
	digests []v1.Hash // of the document that the name refers to, and of the image's manifest if that is another one
	version string    // from the image's configuration; "" if it has none
	created time.Time // from the image's configuration; zero if it has none
}

func label(img *image.Image) string {
	if img.Config == nil {
		return ""
	}
	return img.Config.Config.Labels[versionKey]
}

func created(img *image.Image) time.Time {
	if img.Config == nil {
		return time.Time{}
	}
	return img.Config.Created.Time
}

// A judge counts the signatures that meet one requirement.
type judge struct {
	requirement
	policy  *Policy
	image   named
	subject subject
	signers []string // ids of different keys
	reasons []string // why signatures do not count
}

// judge decides about an image. at is where its signatures are, nil for an image on this machine.
func (ps Policies) judge(ctx context.Context, s subject, at place) (Verdict, error) {
	var n named
	if at != nil {
		var err error
		if n, err = parseName(s.name); err != nil {
			return Verdict{}, &refusal{err.Error()}
		}
	}
	var judges []*judge
	for _, p := range ps {
		list := p.findLocal()
		if at != nil {
			list = p.find(n)
		}
		if len(list) == 0 {
			return Verdict{}, &refusal{fmt.Sprintf("the policy %s says nothing of it", p.from)}
		}
		for _, r := range list {
			j := &judge{requirement: r, policy: p, image: n, subject: s}
			switch {
			case r.refuse != "":
				return Verdict{}, j.refusal(r.refuse)
			case r.kind == "insecureAcceptAnything":
			case r.kind != "sigstoreSigned":
				return Verdict{}, j.refusal("its kind of requirement is not known")
			case at == nil:
				return Verdict{}, j.refusal("it asks for a signature, and an image on this machine has none: " +
					"signatures are kept at a registry")
			default:
				judges = append(judges, j)
			}
		}
	}
	if len(judges) == 0 {
		return Verdict{}, nil
	}
	search := &search{place: at, take: func(sig signature) bool {
		enough := true
		for _, j := range judges {
			j.consider(sig)
			enough = enough && j.satisfied()
		}
		return enough
	}}
	if err := search.run(ctx, s.digests); err != nil {
		return Verdict{}, err
	}
	v := Verdict{Signed: true}
	for _, j := range judges {
		if !j.satisfied() {
			return Verdict{}, j.unsatisfied(search.reasons)
		}
		v.Keys = append(v.Keys, j.signers...)
	}
	slices.Sort(v.Keys)
	v.Keys = slices.Compact(v.Keys)
	return v, nil
}

func (j *judge) satisfied() bool { return len(j.signers) >= j.threshold }

// consider counts a signature if one of the keys has made it and it states what the requirement asks for.
func (j *judge) consider(sig signature) {
	i := slices.IndexFunc(j.keys, func(k key) bool { return k.verifies(sig.message, sig.value) })
	if i < 0 {
		j.because("%s is by none of the policy's keys", sig.where)
		return
	}
	c, err := sig.claims(sig.message)
	if err == nil {
		err = j.agrees(c)
	}
	if err != nil {
		j.because("%s, by %s, does not count: %v", sig.where, j.keys[i], err)
		return
	}
	if id := j.keys[i].id; !slices.Contains(j.signers, id) {
		j.signers = append(j.signers, id)
	}
}

// agrees returns nil if a signature states what the requirement asks for: this image, its name, and that it is new
// enough.
func (j *judge) agrees(c claims) error {
	ours := func(digest string) bool {
		return slices.ContainsFunc(j.subject.digests, func(h v1.Hash) bool { return h.String() == digest })
	}
	if !slices.ContainsFunc(c.digests, ours) {
		return fmt.Errorf("it is for another image (%s)", clip(strings.Join(c.digests, ", ")))
	}
	var err error
	if c.nameless {
		err = j.identity.acceptsNameless(j.image, j.scope)
	} else {
		err = j.identity.accepts(j.image, j.scope, c.name)
	}
	if err != nil {
		return err
	}
	return j.fresh(c.notes)
}

func (j *judge) because(format string, args ...any) {
	if len(j.reasons) < maxReasons {
		j.reasons = append(j.reasons, fmt.Sprintf(format, args...))
	}
}

// refusal returns the error for an image that the judge's policy does not accept.
func (j *judge) refusal(reason string) error {
	return &refusal{fmt.Sprintf("the policy %s refuses it: %s", j.policy.from, reason)}
}

// unsatisfied returns the error for an image without enough signatures. more says what else was wrong with what was
// found.
func (j *judge) unsatisfied(more []string) error {
	var ids []string
	for _, k := range j.keys {
		ids = append(ids, k.id[:16])
	}
	want := "it asks for a signature by key " + strings.Join(ids, " or ")
	switch {
	case j.threshold == len(ids) && j.threshold > 1:
		want = "it asks for signatures by the keys " + strings.Join(ids, " and ")
	case j.threshold > 1:
		want = fmt.Sprintf("it asks for signatures by %d of the keys %s", j.threshold, strings.Join(ids, ", "))
	}
	found := "the registry has none that counts"
	if n := len(j.signers); n > 0 {
		found = fmt.Sprintf("the registry has those of %d of %d", n, j.threshold)
	}
	reasons := append(slices.Clone(j.reasons), more...)
	if len(reasons) > maxReasons {
		reasons = reasons[:maxReasons]
	}
	text := fmt.Sprintf("%s, and %s for %s", want, found, j.subject.digests[0])
	if len(reasons) > 0 {
		text += " (" + strings.Join(reasons, "; ") + ")"
	}
	return j.refusal(text + ": sign it with cosign sign --key")
}
