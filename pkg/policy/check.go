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

// A Verdict is why an image was accepted.
type Verdict struct {
	// Signed reports whether a signature was asked for.
	Signed bool
	// Keys are those that have signed the image, of those that were asked for: the SHA-256 of each key's
	// SubjectPublicKeyInfo, in hexadecimal. Once enough have signed, others are not looked for.
	Keys []string
}

// A refusal is the decision of a policy against an image. Nothing but another policy, or another signature, changes it.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// Refused reports whether err is the decision of a policy against an image, and not the failure to come to one.
func Refused(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}

// Check returns nil only if all policies accept img. Nothing of it may be used, above all no layer, before Check has
// said so. An error for which image.Heals is true means that the registry could not be asked for the signatures; any
// other is final.
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
	digests []v1.Hash // of what the name led to, and of the image's manifest where that is another one
	version string    // what the image's configuration says, "" for nothing
	created time.Time // the same
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

// A judge holds signatures against one requirement.
type judge struct {
	requirement
	policy  *Policy
	image   named
	subject subject
	signers []string // ids of different keys
	reasons []string // why signatures do not count
}

// judge decides about an image whose signatures are at a place, nil for one on this machine.
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

// consider counts a signature if it is by one of the keys and says what the requirement asks for.
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

// agrees returns nil if what a signature says is what the requirement asks for.
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

// refusal is the decision against the image, for a reason.
func (j *judge) refusal(reason string) error {
	return &refusal{fmt.Sprintf("the policy %s refuses it: %s", j.policy.from, reason)}
}

// unsatisfied is the decision for want of signatures. more are reasons why what was found is no signature.
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
