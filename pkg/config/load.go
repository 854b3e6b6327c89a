package config

import (
	"errors"
	"fmt"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// A Found is a configuration, and where it was found.
type Found struct {
	Config
	// Warnings are sentences about what was ignored, and why. Those of a step are about that step.
	Warnings []string

	line   arguments
	from   string            // the source that names the image, or the file that does; "" for none
	net    string            // the source of the network
	file   string            // the file that names the image, "" for none
	given  map[string]string // what else the file has, by name
	stray  []error           // arguments and networks of sources without an image
	failed []error           // why sources were not used
}

// theLine is the name of the source that counts before all others.
const theLine = "the command line"

// Load returns the configuration of the first source that names an image, or a file that does: the arguments of the
// command line, then the others in their order. Image, Args and Network come from that source only and are never mixed:
// a stored network belongs to the stored image. The other values concern this boot, so those of the command line always
// count, and the source sets only the rest.
//
// A source that cannot be used gives a warning, and the next one is asked. If none names an image, the error is
// ErrNoImage with the causes. The Config then still holds the values of the command line: wyr.efi=clear needs no image.
func Load(args []cmdline.Arg, others ...Source) (Found, error) {
	line := parse(WithoutFile(args))
	f := Found{Config: line.Config, line: line, from: theLine, net: theLine}
	var err error
	if !f.Named() {
		f.from = ""
		f, err = f.Search(others...)
	}
	f.Warnings = append(line.warnings, f.Warnings...)
	return f, err
}

// Search asks further sources, if f names no image so far.
func (f Found) Search(sources ...Source) (Found, error) {
	f.Warnings = nil
	for _, s := range sources {
		c, ignored, err := s.Load()
		f.warn(s.Name, ignored)
		if err == nil {
			err = c.checkImages()
		}
		switch {
		case err != nil:
			f.failed = append(f.failed, fmt.Errorf("cannot use the configuration in %s: %w", s.Name, err))
		case c.Named():
			return f.chosen(s, c), nil
		case len(c.Args)+len(c.Network) > 0:
			f.stray = append(f.stray, fmt.Errorf("wyr.arg and wyr.net in %s are ignored: it names no image", s.Name))
		}
	}
	if cause := errors.Join(f.failed...); cause != nil {
		return f, fmt.Errorf("%w: %w", ErrNoImage, cause)
	}
	return f, ErrNoImage
}

// warn adds what a source says of what is ignored. That is not more than a person would read, whatever the source has.
func (f *Found) warn(source string, ignored []string) {
	const most = 10
	for _, text := range ignored[:min(len(ignored), most)] {
		f.Warnings = append(f.Warnings, source+": "+text)
	}
	if more := len(ignored) - most; more > 0 {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s: %d more like these are ignored", source, more))
	}
}

// chosen returns f with the configuration c of the source that names the image.
func (f Found) chosen(s Source, c Config) Found {
	for _, err := range append(f.failed, f.stray...) {
		f.Warnings = append(f.Warnings, err.Error())
	}
	what, lost := "wyr.arg and wyr.net", len(f.line.Args)+len(f.line.Network) > 0
	f.net = s.Name
	if s.late {
		what, lost = "wyr.arg", len(f.line.Args) > 0
		c.Network, f.net = f.line.Network, theLine
	}
	if lost {
		names := c.Image
		if names == "" {
			names = "the URL of a file"
		}
		f.Warnings = append(f.Warnings, fmt.Sprintf(
			"%s on the command line are ignored: it names no image, so they come from %s with %s", what, s.Name, names))
	}
	f.Config, f.from = f.line.over(c), s.Name
	return f
}

// WithFile returns f with the image and the arguments of the file that f.File names. The file is text, as for the
// credential wyr.config. Whoever can change it decides what is booted, but not the policy: all else in it is ignored.
func (f Found) WithFile(text []byte) (Found, error) {
	f.Warnings = nil
	args, err := argumentsOf(text)
	if err != nil {
		return f, fmt.Errorf("the file of wyr.config cannot be used: %w", err)
	}
	args, ignored := only(args, "this file", "img", "arg", "kernel", "init", "overlay")
	l := parse(args)
	f.warn("the file of wyr.config", append(ignored, l.warnings...))
	if l.Image == "" {
		return f, errors.New("the file of wyr.config names no image: want a line wyr.img=IMAGE in it")
	}
	if err := l.checkImages(); err != nil {
		return f, fmt.Errorf("the file of wyr.config cannot be used: %w", err)
	}
	if len(f.Args) > 0 {
		f.Warnings = append(f.Warnings, fmt.Sprintf("wyr.arg in %s is ignored: the image and its arguments come from the "+
			"file of wyr.config", f.from))
	}
	f.file, f.File = f.File, ""
	f.Image, f.Args, f.given = l.Image, l.Args, l.given
	f.Config = f.line.over(l.over(f.Config)) // the command line counts before the file too
	return f, nil
}

// Told says in one line where f comes from: "wyr.img, wyr.arg from SMBIOS; wyr.fail from the command line".
func (f Found) Told() string {
	var order []string
	keys := make(map[string][]string)
	last := ""
	for _, a := range f.Arguments() {
		name, _ := own(a.Key)
		from, key := f.origin(name)
		if key == last { // an argument that may be repeated
			continue
		}
		last = key
		if keys[from] == nil {
			order = append(order, from)
		}
		keys[from] = append(keys[from], "wyr."+key)
	}
	var parts []string
	for _, from := range order {
		parts = append(parts, strings.Join(keys[from], ", ")+" from "+from)
	}
	return strings.Join(parts, "; ")
}

// fromFile reports whether the file of wyr.config has an argument.
func (f Found) fromFile(name string) bool {
	_, ok := f.given[name]
	return ok
}

// origin returns where an argument of f comes from, and its name without the parts that a network file has.
func (f Found) origin(name string) (from, key string) {
	if _, ok := f.line.given[name]; ok && name != "img" && name != "config" {
		return theLine, name
	}
	isFile := strings.HasPrefix(name, "net.") && name != "net.keep"
	switch {
	case isFile:
		return f.net, "net"
	case f.file != "" && (name == "img" || name == "arg" || f.fromFile(name)):
		return fmt.Sprintf("the file of wyr.config (from %s)", f.from), name
	}
	return f.from, name
}
