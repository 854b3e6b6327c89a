package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// option is an argument that takes one of a few values, the empty one being what goes without saying.
type option struct {
	name   string
	values []string
	get    func(Config) string
	set    func(*Config, string)
}

var options = []option{
	{"efi", []string{"write", "clear"},
		func(c Config) string { return string(c.EFI) },
		func(c *Config, v string) { c.EFI = EFI(v) }},
	{"root", []string{"initramfs"},
		func(c Config) string { return c.Root },
		func(c *Config, v string) { c.Root = v }},
	{"debug", []string{"shell"},
		func(c Config) string { return c.Debug },
		func(c *Config, v string) { c.Debug = v }},
	{"net.keep", []string{"yes", "no", "true", "false", "on", "off", "1", "0"},
		func(c Config) string {
			if c.NetKeep {
				return "yes"
			}
			return ""
		},
		func(c *Config, v string) { c.NetKeep = slices.Contains([]string{"yes", "true", "on", "1"}, v) }},
}

// known are the names that a misspelt argument may have been meant to be, besides wyr.net.*.
func known() []string {
	names := []string{"img", "arg", "insecure"}
	for _, o := range options {
		names = append(names, o.name)
	}
	return names
}

// arguments is what the command line says.
type arguments struct {
	Config
	given    map[string]string // the single-valued ones that were there, by name
	warnings []string
}

// parse reads Wyrcan's own arguments and leaves all others alone. Those behind a "--" count as well: that mark
// divides what is for the kernel from what is for init, and Wyrcan is what init is here.
func parse(args []cmdline.Arg) arguments {
	l := arguments{given: make(map[string]string)}
	var net network
	for i, a := range args {
		// iPXE on EFI puts the file it started in front: wyrcan.efi, or wyrcan.kernel?job=images.
		if i == 0 && (!a.HasValue || strings.Contains(a.Key, "?")) {
			continue
		}
		name, ok := strings.CutPrefix(a.Key, "wyr.")
		if !ok {
			name, ok = strings.CutPrefix(a.Key, "wyrcan.")
		}
		if !ok {
			continue
		}
		if err := l.argument(name, a, &net); err != nil {
			l.warnings = append(l.warnings, fmt.Sprintf("%s is ignored: %v", a, err))
		}
	}
	l.Network = net.files()
	return l
}

// argument takes in a, called name without its prefix. Its error says why the argument is ignored.
func (l *arguments) argument(name string, a cmdline.Arg, net *network) error {
	i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
	path, isNet := strings.CutPrefix(name, "net.")
	switch {
	case name != "img" && name != "arg" && name != "insecure" && i < 0 && !isNet:
		return unknown(name)
	case !a.HasValue:
		return fmt.Errorf("it needs a value, as in %s=VALUE", a.Key)
	case i >= 0:
		o := options[i]
		if a.Value != "" && !slices.Contains(o.values, a.Value) {
			return fmt.Errorf("%q is none of the values of %s: %s", a.Value, a.Key, strings.Join(o.values, ", "))
		}
		l.once(name, a)
		o.set(&l.Config, a.Value)
	case isNet:
		return net.argument(path, a.Value)
	case name == "insecure":
		return l.insecure(a)
	case a.Value == "" && name == "img":
		return fmt.Errorf("it names no image")
	case a.Value == "":
		// An empty wyr.arg= has nothing to pass on; a script with an unset variable may well write one.
	case name == "arg":
		l.Args = append(l.Args, a.Value)
	default:
		l.once(name, a)
		l.Image = a.Value
	}
	return nil
}

// insecure takes in one host. An empty value takes back those of other sources: a person may want to be sure.
func (l *arguments) insecure(a cmdline.Arg) error {
	if a.Value != "" {
		if !isHost(a.Value) {
			return fmt.Errorf("%q is not a registry: want HOST or HOST:PORT", a.Value)
		}
		if !slices.Contains(l.Insecure, a.Value) {
			l.Insecure = append(l.Insecure, a.Value)
		}
	}
	l.given["insecure"] = a.Value
	return nil
}

// isHost reports whether text is HOST[:PORT], and nothing that would mean more: no URL, no path, no pattern.
func isHost(text string) bool {
	host, port := text, "1"
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		host, port = text[:i], text[i+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return strings.HasSuffix(inner, "]") && err == nil && a.Is6()
	}
	letters := strings.Trim(host, ".-_")
	return letters != "" && len(host) <= 253 && strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// once notes a single-valued argument, and warns where it takes the place of another value.
func (l *arguments) once(name string, a cmdline.Arg) {
	if before, ok := l.given[name]; ok && before != a.Value {
		l.warnings = append(l.warnings, fmt.Sprintf("%s is given more than once: %q takes the place of %q", a.Key, a.Value, before))
	}
	l.given[name] = a.Value
}

// over returns c with the options that the command line gives.
func (l arguments) over(c Config) Config {
	for _, o := range options {
		if _, ok := l.given[o.name]; ok {
			o.set(&c, o.get(l.Config))
		}
	}
	if _, ok := l.given["insecure"]; ok {
		c.Insecure = l.Insecure
	}
	return c
}

// Arguments returns the arguments that Load makes c from again.
func (c Config) Arguments() []cmdline.Arg {
	var args []cmdline.Arg
	add := func(name, value string) {
		args = append(args, cmdline.Arg{Key: "wyr." + name, Value: value, HasValue: true})
	}
	if c.Image != "" {
		add("img", c.Image)
	}
	for _, a := range c.Args {
		add("arg", a)
	}
	for _, h := range c.Insecure {
		add("insecure", h)
	}
	for _, f := range numbered(c.Network) {
		for _, s := range f.sections {
			for _, e := range s.entries {
				add(fmt.Sprintf("net.%s.%s.%s.%s", f.kind, f.name, s.written, e.Key), e.Value)
			}
		}
	}
	for _, o := range options {
		if v := o.get(c); v != "" {
			add(o.name, v)
		}
	}
	return args
}

// unknown is the error for a name that is no argument, with the one that was probably meant.
func unknown(name string) error {
	best, least := "", 3 // two slips of the finger, or "image" for "img"
	for _, k := range known() {
		if d := distance(strings.ToLower(name), k); d < least && d < len(k) {
			best, least = k, d
		}
	}
	if best == "" {
		return fmt.Errorf("there is no such argument")
	}
	return fmt.Errorf("there is no such argument; wyr.%s is the nearest that there is", best)
}

// distance is the least number of letters to insert, delete or replace between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
