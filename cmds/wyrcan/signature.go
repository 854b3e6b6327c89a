package main

import (
	"fmt"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
)

// signature finds out whether the kernel that kexec will load is signed. That a machine trusts the signer is not known
// here.
func (r *report) signature(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	const refuses = ": a machine with Secure Boot will refuse it"
	s, err := kernel.FindSignature(f, info.Size())
	switch {
	case err != nil:
		r.signed = fmt.Sprintf("the signature of this kernel is damaged (%v)%s", err, refuses)
		return nil
	case s == nil:
		r.signed = "this kernel is not signed" + refuses
		return nil
	}
	r.Signer = s.Signer
	switch fits, err := s.Fits(f, info.Size()); {
	case err != nil:
		r.signed = fmt.Sprintf("by %s; it cannot be verified here: %v", s.Signer, err)
	case !fits:
		r.signed = fmt.Sprintf("by %s, but this kernel was changed after that%s", s.Signer, refuses)
	default:
		r.Signed, r.signed = true, "by "+s.Signer
	}
	return nil
}
