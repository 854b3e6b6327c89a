package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// A Source is a place that may say what to boot.
type Source struct {
	Name string // for messages: "NVRAM", "SMBIOS"
	// Load returns what the place says, a Config without an image if nothing. The strings say what of it is ignored, and
	// why. After an error nothing of it counts.
	Load func() (Config, []string, error)

	late bool // it is known only after the network of the command line has come up
}

// NVRAM is the configuration that wyr.efi=write has stored in s.
func NVRAM(s Store) Source {
	return Source{Name: "NVRAM", Load: func() (Config, []string, error) {
		data, err := s.Load()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return Config{}, nil, nil
		case err != nil:
			return Config{}, nil, err
		}
		c, err := Unmarshal(data)
		return c, nil, err
	}}
}

// maxText is the longest text of arguments that is read.
const maxText = maxStored

// lines returns the lines of a text that are neither empty nor comments.
func lines(text []byte) ([]string, error) {
	switch {
	case len(text) > maxText:
		return nil, fmt.Errorf("it has more than %d KiB", maxText>>10)
	case bytes.IndexByte(text, 0) >= 0:
		return nil, errors.New("it has a zero byte, so it is no text")
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			list = append(list, line)
		}
	}
	return list, nil
}

// argumentsOf returns the arguments of a text: lines, each as on a kernel's command line, and comments that begin
// with #.
func argumentsOf(text []byte) ([]cmdline.Arg, error) {
	list, err := lines(text)
	var args []cmdline.Arg
	for _, line := range list {
		args = append(args, cmdline.Parse(line)...)
	}
	return args, err
}

// A place has values by these names, in the way that credentials, VPD and DHCP have them.
type place struct {
	image  []byte   // the name of an image
	args   [][]byte // arguments for its kernel, one in each line
	net    []byte   // arguments wyr.net.*, with or without that prefix
	config []byte   // a text of arguments, or the URL of one

	more []cmdline.Arg // what belongs to the image: wyr.kernel, wyr.init, wyr.overlay
}

// arguments returns what the place has as arguments. The strings say what of it is ignored.
func (p place) arguments() (args []cmdline.Arg, ignored []string) {
	ignore := func(what string, err error) {
		if err != nil {
			ignored = append(ignored, fmt.Sprintf("wyr.%s is ignored: %v", what, err))
		}
	}
	add := func(name, value string) {
		args = append(args, cmdline.Arg{Key: "wyr." + name, Value: value, HasValue: true})
	}
	text, err := argumentsOf(p.config)
	ignore("config", err)
	if len(text) == 1 && strings.Contains(text[0].String(), "://") && !strings.HasPrefix(text[0].Key, "wyr") {
		add("config", text[0].String())
	} else {
		args = append(args, text...)
	}
	args = append(args, p.more...)
	names, err := lines(p.image)
	if len(names) > 1 {
		err = errors.New("it has more than one line, and the name of an image has one")
	}
	if ignore("img", err); err == nil && len(names) == 1 {
		add("img", names[0])
	}
	for _, a := range p.args {
		list, err := lines(a)
		ignore("arg", err)
		for _, line := range list {
			add("arg", line)
		}
	}
	nets, err := argumentsOf(p.net)
	ignore("net", err)
	for _, a := range nets {
		if name, ok := own(a.Key); !ok {
			a.Key = "wyr.net." + a.Key
		} else if !strings.HasPrefix(name, "net.") {
			ignore("net", fmt.Errorf("%s is no argument about the network", a.Key))
			continue
		}
		args = append(args, a)
	}
	return args, ignored
}

// belongs returns an argument that belongs to the image, for the field more.
func belongs(name, value string) cmdline.Arg {
	return cmdline.Arg{Key: "wyr." + name, Value: value, HasValue: true}
}

// load returns the configuration of the place.
func (p place) load() (Config, []string, error) {
	args, ignored := p.arguments()
	l := parse(args)
	return l.Config, append(ignored, l.warnings...), nil
}

// only returns the arguments with these names, and those that are not Wyrcan's. It warns about each other one, which
// who must not give.
func only(args []cmdline.Arg, who string, names ...string) (kept []cmdline.Arg, ignored []string) {
	for _, a := range args {
		name, ours := own(a.Key)
		allowed := !ours
		for _, n := range names {
			allowed = allowed || name == n
		}
		if allowed {
			kept = append(kept, a)
			continue
		}
		ignored = append(ignored, fmt.Sprintf("%s is ignored: %s may only name the image and its arguments (wyr.%s)",
			cmdline.Arg{Key: a.Key}, who, strings.Join(names, ", wyr.")))
	}
	return kept, ignored
}
