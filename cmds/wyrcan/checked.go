package main

import (
	"errors"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// rootCheck is the value of -verity: "yes", "no", or "" for what boot.Boot makes of it.
type rootCheck string

// flag adds the option.
func (r *rootCheck) flag(f *flagSet) {
	f.Var(r, "verity",
		"have the container's kernel check an image that is the root each time that it reads a part of it: `yes|no` "+
			"(default: yes where a policy asks for signatures and the kernel can)")
}

func (r *rootCheck) String() string { return string(*r) }

// Set implements flag.Value. "" is the default.
func (r *rootCheck) Set(text string) error {
	if text != "" && text != "yes" && text != "no" {
		return errors.New("want yes or no")
	}
	*r = rootCheck(text)
	return nil
}

// argument returns what tells wyrboot the same, nothing if that is the default.
func (r *rootCheck) argument() []cmdline.Arg {
	if *r == "" {
		return nil
	}
	return []cmdline.Arg{{Key: "wyr.verity", Value: r.String(), HasValue: true}}
}
