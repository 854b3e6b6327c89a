package main

import (
	"encoding/base64"
	"errors"
	"fmt"

	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
)

// builtinPolicy is a policy in base64, or empty. The Makefile sets it (KEYS=). It is in the program so that a further
// initrd, whose files replace those of the same name, does not loosen it.
var builtinPolicy string

// Credentials with policies: wyr.policy is a whole one, wyr.key one public key in PEM form that must have signed.
const (
	policyName = "wyr.policy"
	keyName    = "wyr.key"
)

// policies returns what must accept an image: the built-in policy, the file in the initrd, and the credentials. All of
// them must agree, so that none loosens another. One that cannot be read ends the boot.
// unreadable are the errors about credentials.
func policies(builtin, file string, system syscred.Set, unreadable []error) (policy.Policies, error) {
	if err := unread(unreadable); err != nil {
		return nil, err
	}
	var list policy.Policies
	if builtin != "" {
		text, err := base64.StdEncoding.DecodeString(builtin)
		if err != nil {
			return nil, fmt.Errorf("the built-in policy is damaged: %w", err)
		}
		p, err := policy.Parse(text, "the built-in policy")
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	loaded, err := policy.Load(file)
	if err != nil {
		return nil, err
	}
	list = append(list, loaded...)
	for _, c := range system.Named(policyName) {
		p, err := policy.Parse(c.Data, "the credential "+policyName+" of "+c.From)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	for _, c := range system.Named(keyName) {
		from := "the credential " + keyName + " of " + c.From
		p, err := policy.ForKeys(from, c.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// unread returns the error about a policy or a key that somebody gave to the machine and that cannot be read, nil if
// there is none. To go on without it would loosen what was asked for.
//
// Where the name of what was lost is not known, a policy may have been there, and no image is accepted either: a
// directory or a table that the kernel shows and does not let us read, more credentials than are read, a string whose
// equals sign was forgotten. This stops no machine that was given no credentials, and gives nobody new power: who can
// cause these errors can as well bring a policy that rejects every image.
//
// A damaged table of SMBIOS in which there is no trace of a credential does not end the boot. Vendors' tables often are
// damaged. Who damages one on purpose owns the firmware, and could leave out the policy without a trace: against that
// only the built-in policy helps.
func unread(errs []error) error {
	for _, err := range errs {
		var e *syscred.Error
		switch {
		case !errors.As(err, &e):
			return err
		case e.Any:
			return fmt.Errorf("%w; a policy may have been there, so no image is accepted: correct it or take it away", err)
		case e.MayBe(policyName) || e.MayBe(keyName):
			return fmt.Errorf("%w; correct it or take it away, for no image is accepted without it", err)
		}
	}
	return nil
}
