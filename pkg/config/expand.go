package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/fetch"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// A Machine is what this machine is called by its firmware and on the network. ${mac}, ${uuid}, ${serial}, ${hostname}
// and ${arch} stand for it in the name of an image, in the arguments for its kernel, and in the URL of wyr.config. What
// is not known is empty.
type Machine struct {
	MAC, UUID, Serial, Hostname, Arch string
}

// variables are the names that may stand between ${ and }, in the order in which a message has them.
var variables = []string{"mac", "uuid", "serial", "hostname", "arch"}

// value returns what a variable stands for. The values come from DHCP servers and firmware, so they have only
// characters that the name of an image may have too: a hostname cannot add a second argument, or lead a URL elsewhere.
func (m Machine) value(name string) (string, error) {
	all := map[string]string{"mac": m.MAC, "uuid": m.UUID, "serial": m.Serial, "hostname": m.Hostname, "arch": m.Arch}
	raw, known := all[name]
	const most = 255 // a hostname of DHCP, option 12
	switch text := plain(raw); {
	case !known:
		return "", unknownVariable(name)
	case len(raw) > most:
		return "", fmt.Errorf("the value of ${%s} has more than %d characters", name, most)
	case text == "":
		return "", fmt.Errorf("this machine has no value for ${%s}", name)
	default:
		return text, nil
	}
}

func unknownVariable(name string) error {
	return fmt.Errorf("there is no ${%s}; there are ${%s}, and $${ means ${ itself",
		printable.Clip(name, 40), strings.Join(variables, "}, ${"))
}

// plain returns text with a - in place of each character that a part of an image's name cannot have.
func plain(text string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r < 0x80 && isWord(string(r), "._-") {
			return r
		}
		return '-'
	}, text), "._-")
}

// sample is a value for each variable, to check what it stands in.
func sample(name string) (string, error) {
	if !slices.Contains(variables, name) {
		return "", unknownVariable(name)
	}
	return "x", nil
}

// expand replaces each ${NAME} by its value, and each $${ by ${. It does not look into the values again.
func expand(text string, value func(name string) (string, error)) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), nil
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(escaped + "${")
			text = after
			continue
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", errors.New("a ${ has no } behind it; $${ means ${ itself")
		}
		v, err := value(name)
		if err != nil {
			return "", err
		}
		b.WriteString(before + v)
		text = rest
	}
}

// Location returns where the file of wyr.config is, for this machine.
func (c Config) Location(m Machine) (fetch.Location, error) {
	text, err := expand(c.File, m.value)
	if err != nil {
		return fetch.Location{}, fmt.Errorf("wyr.config cannot be used: %w", err)
	}
	l, err := fetch.Parse(text)
	if err != nil {
		return fetch.Location{}, fmt.Errorf("wyr.config cannot be used: %w", err)
	}
	return l, nil
}

// For returns c with the names of the images and the arguments for the kernel as they are for this machine. The name of
// an image has no capital letters, so the values have none there.
func (c Config) For(m Machine) (Config, error) {
	lower := func(name string) (string, error) {
		v, err := m.value(name)
		return strings.ToLower(v), err
	}
	var err error
	if c.Image, err = expand(c.Image, lower); err != nil {
		return Config{}, fmt.Errorf("wyr.img cannot be used: %w", err)
	}
	if c.KernelImage() != "" {
		if c.Kernel, err = expand(c.Kernel, lower); err != nil {
			return Config{}, fmt.Errorf("wyr.kernel cannot be used: %w", err)
		}
	}
	overlays := slices.Clone(c.Overlays)
	for i, o := range overlays {
		if overlays[i], err = expand(o, lower); err != nil {
			return Config{}, fmt.Errorf("wyr.overlay=%s cannot be used: %w", printable.Line(o), err)
		}
	}
	c.Overlays = overlays
	args := slices.Clone(c.Args)
	for i, a := range args {
		if args[i], err = expand(a, m.value); err != nil {
			return Config{}, fmt.Errorf("wyr.arg=%s cannot be used: %w", printable.Line(a), err)
		}
	}
	c.Args = args
	return c, nil
}
