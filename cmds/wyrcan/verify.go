package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// trust is the options that say which images may be used.
type trust struct{ policies, keys list }

// trust adds these options.
func (f *flagSet) trust() *trust {
	t := new(trust)
	f.Var(&t.policies, "policy", "refuse IMAGE unless the policy in `FILE` (containers-policy.json) accepts it; "+
		"may be repeated: all policies must accept it")
	f.Var(&t.keys, "key", "refuse IMAGE unless it was signed with the key whose public half is in `FILE`; "+
		"may be repeated: all keys must have signed it")
	f.c.trust = t
	return t
}

// load reads the policies that the options name; none if there are no such options.
func (t *trust) load() (policy.Policies, error) {
	var list policy.Policies
	if t == nil {
		return nil, nil
	}
	for _, file := range t.policies {
		p, err := policy.Read(file)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	for _, file := range t.keys {
		p, err := policy.ReadKeys(file)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// refused is the exit status for an image that a policy refuses. It is the same as for an image that is not bootable.
const refused = notBootable

// judge finds the image ref and checks that the options -policy and -key accept it. at is its name as this machine
// reaches it. It is for commands that do not read the layers by boot.Read, which checks too.
func (c *cmd) judge(ctx context.Context, src *image.Source, ref, at string) (*image.Image, policy.Verdict, error) {
	var v policy.Verdict
	policies, err := c.trust.load()
	if err != nil {
		return nil, v, err
	}
	img, err := find(ctx, src, ref, ref, at)
	if err != nil {
		return nil, v, err
	}
	if v, err = policies.Check(ctx, img); policy.Refused(err) {
		return nil, v, refusal(ref, err)
	}
	if err != nil {
		return nil, v, fmt.Errorf("cannot verify the signatures of %s: %w", ref, advise(err))
	}
	return img, v, nil
}

// refusal returns the error for the image ref, which a policy does not accept because of err.
func refusal(ref string, err error) error {
	return &status{code: refused, err: fmt.Errorf("%s is refused: %w", ref, err)}
}

// pin makes the machine boot img by its digest, so that it boots the image that was verified even if the tag moves in
// between. guest is the name by which the machine was told of it, at the name by which this machine reaches it.
func (m *machine) pin(guest, at string, img *image.Image) {
	ref, err := name.ParseReference(at)
	if err != nil {
		return // it was found by that name
	}
	for i, a := range m.args {
		if a.Value == guest {
			m.args[i].Value = fromGuest(ref.Context().Digest(img.Root.String()).Name())
		}
	}
}

// verify is "wyrcan verify".
func (c *cmd) verify(ctx context.Context, args []string) error {
	f := c.flags("verify", "IMAGE -key FILE | -policy FILE",
		`Tell whether IMAGE has the signatures that a key or a policy asks for: the check
that Wyrcan makes before it boots an image. Layers are not read.

The exit status is 0 if it has, 1 if it has not, 2 for a wrong use of this
program and 3 if the image or its signatures could not be fetched.
`)
	a := here
	f.Var(&a, "arch", "the image for this `ARCHITECTURE`, where IMAGE has several")
	t := f.trust()
	f.registry()
	rest, err := f.parse(args, 1, false)
	if err != nil {
		return err
	}
	if len(t.policies)+len(t.keys) == 0 {
		return usage("verify: -key or -policy says what is asked of the image")
	}
	at, done, err := c.bring(ctx, rest[0])
	if err != nil {
		return unexamined(err)
	}
	defer done()
	img, v, err := c.judge(ctx, c.source(rest[0], a.platform()), rest[0], at)
	if err != nil {
		return unexamined(err)
	}
	return tellVerdict(c.stdout, img, v)
}

// tellVerdict writes which image was accepted, and the keys that have signed it.
func tellVerdict(w io.Writer, img *image.Image, v policy.Verdict) error {
	rows := [][2]string{{"image", img.Name}, {"digest", img.Digest.String()}}
	if img.Root != img.Digest {
		rows = append(rows, [2]string{"index", img.Root.String()})
	}
	for _, id := range v.Keys {
		rows = append(rows, [2]string{"signed by", "key " + id})
	}
	verdict := "yes"
	if !v.Signed {
		verdict = "yes: the policy asks for no signature"
	}
	var errs []error
	for _, row := range append(rows, [2]string{"accepted", verdict}) {
		_, err := fmt.Fprintln(w, printable.Clip(fmt.Sprintf("%-14s%s", row[0], row[1]), printable.Long))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
