package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/handover"
)

// option is an argument that takes one of a few values, or those that check accepts. The empty value is the default.
type option struct {
	name   string
	values []string
	get    func(Config) string
	set    func(*Config, string)
	check  func(string) error // says why a value is refused; nil: values has all of them
}

// accepts returns why value is not one of the option, whose argument is key.
func (o option) accepts(key, value string) error {
	switch {
	case value == "":
		return nil
	case o.check != nil:
		return o.check(value)
	case !slices.Contains(o.values, value):
		return fmt.Errorf("%q is none of the values of %s: %s", value, key, strings.Join(o.values, ", "))
	}
	return nil
}

// yesNo are the values of an option that is on or off.
var yesNo = []string{"yes", "no", "true", "false", "on", "off", "1", "0"}

func isYes(v string) bool { return slices.Contains([]string{"yes", "true", "on", "1"}, v) }

// Roots are the values of wyr.root.
var Roots = []string{"auto", "tmpfs", "squashfs", "erofs", "initramfs"}

var options = []option{
	{"efi", []string{"write", "clear", "write,yes", "clear,yes"},
		func(c Config) string {
			if c.EFIYes {
				return string(c.EFI) + yesToo
			}
			return string(c.EFI)
		},
		func(c *Config, v string) {
			v, c.EFIYes = strings.CutSuffix(v, yesToo)
			c.EFI = EFI(v)
		}, nil},
	{"root", Roots,
		func(c Config) string { return c.Root },
		func(c *Config, v string) { c.Root = v }, nil},
	{"verity", yesNo,
		func(c Config) string { return c.Verity },
		func(c *Config, v string) {
			c.Verity = v
			if v != "" {
				c.Verity = map[bool]string{true: "yes", false: "no"}[isYes(v)]
			}
		}, nil},
	{"debug", []string{"shell"},
		func(c Config) string { return c.Debug },
		func(c *Config, v string) { c.Debug = v }, nil},
	{"fail", fails,
		func(c Config) string { return c.Fail },
		func(c *Config, v string) { c.Fail = v }, nil},
	{"deadline", nil,
		func(c Config) string { return written(c.Deadline) },
		func(c *Config, v string) { c.Deadline, _ = duration(v) },
		func(v string) error { _, err := duration(v); return err }},
	{"net.keep", yesNo,
		func(c Config) string {
			if c.NetKeep {
				return "yes"
			}
			return ""
		},
		func(c *Config, v string) { c.NetKeep = isYes(v) }, nil},
	{"kernel", nil,
		func(c Config) string { return c.Kernel },
		func(c *Config, v string) { c.Kernel = v }, checkKernel},
	{"init", nil,
		func(c Config) string { return c.Init },
		func(c *Config, v string) { c.Init = v }, checkPath},
	{"microcode", yesNo,
		func(c Config) string {
			if c.NoMicrocode {
				return "no"
			}
			return ""
		},
		func(c *Config, v string) { c.NoMicrocode = v != "" && !isYes(v) }, nil},
	{"record", yesNo,
		func(c Config) string {
			if c.NoRecord {
				return "no"
			}
			return ""
		},
		func(c *Config, v string) { c.NoRecord = v != "" && !isYes(v) }, nil},
}

// yesToo ends a value of wyr.efi that answers the question beforehand.
const yesToo = ",yes"

// fails are the values of wyr.fail.
var fails = []string{"reboot", "poweroff", "shell", "halt"}

// duration parses a time: "90" or "90s", "10min" or "10m", "1h30m". It returns 0 for "".
func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	number := text
	if strings.Trim(number, "0123456789") == "" {
		number += "s"
	}
	d, err := time.ParseDuration(strings.ReplaceAll(number, "min", "m")) // min as systemd.time(7) has it
	if err != nil || d < time.Second || d > 365*24*time.Hour {
		return 0, fmt.Errorf("%q is no time from a second to a year: want 90s, 10min or 1h30m", text)
	}
	return d, nil
}

// written returns d in a form that duration parses.
func written(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// list is an argument that may be given many times. An empty value removes what other sources have.
type list struct {
	name  string
	comma bool               // one value may have several entries, separated by commas
	check func(string) error // of an entry
	of    func(*Config) *[]string
	twice bool // an entry that is there already is another one
}

var lists = []list{
	{"overlay", false, checkLength, func(c *Config) *[]string { return &c.Overlays }, true},
	{"insecure", false, checkHost, func(c *Config) *[]string { return &c.Insecure }, false},
	{"mirror", false, checkMirror, func(c *Config) *[]string { return &c.Mirrors }, false},
	{"noproxy", true, checkNoProxy, func(c *Config) *[]string { return &c.NoProxy }, false},
	{"ntp", true, checkServer, func(c *Config) *[]string { return &c.NTP }, false},
}

// known returns the names of all arguments but wyr.net.*, to suggest one for a misspelt name.
func known() []string {
	names := []string{"img", "arg", "config", "proxy"}
	for _, l := range lists {
		names = append(names, l.name)
	}
	for _, o := range options {
		names = append(names, o.name)
	}
	return names
}

// arguments is the configuration that a line or a text of arguments has.
type arguments struct {
	Config
	given    map[string]string // the values of the single-valued arguments, by name
	warnings []string
}

// own returns the name of one of Wyrcan's own arguments without its prefix.
func own(key string) (string, bool) {
	if name, ok := strings.CutPrefix(key, "wyr."); ok {
		return name, true
	}
	return strings.CutPrefix(key, "wyrcan.")
}

// WithoutFile returns the arguments of a kernel's command line without the name of the started file, which iPXE on EFI
// puts first: wyrcan.efi, or wyrcan.kernel?job=images.
func WithoutFile(args []cmdline.Arg) []cmdline.Arg {
	if len(args) > 0 && (!args[0].HasValue || strings.Contains(args[0].Key, "?")) {
		return args[1:]
	}
	return args
}

// parse reads Wyrcan's own arguments and ignores all others. Arguments behind a "--" count too: the kernel passes those
// to init, which is Wyrcan here.
func parse(args []cmdline.Arg) arguments {
	l := arguments{given: make(map[string]string)}
	var net network
	for _, a := range args {
		name, ok := own(a.Key)
		if !ok {
			continue
		}
		if err := l.argument(name, a, &net); err != nil {
			l.ignore(a, err)
		}
	}
	l.Network = net.files()
	if l.Image != "" && l.File != "" {
		l.ignore(cmdline.Arg{Key: "wyr.config"}, fmt.Errorf("wyr.img stands beside it and names the image"))
		l.File = ""
	}
	return l
}

// ignore warns that an argument does not count.
func (l *arguments) ignore(a cmdline.Arg, why error) {
	var text fmt.Stringer = a
	switch name, _ := own(a.Key); name {
	case "proxy", "config": // a URL may have a password in it
		text = cmdline.Arg{Key: a.Key}
	}
	l.warnings = append(l.warnings, fmt.Sprintf("%s is ignored: %v", text, why))
}

// argument adds argument a to l. name is a's key without its prefix. The error says why a is ignored.
func (l *arguments) argument(name string, a cmdline.Arg, net *network) error {
	i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
	j := slices.IndexFunc(lists, func(l list) bool { return l.name == name })
	path, isNet := strings.CutPrefix(name, "net.")
	switch {
	case !slices.Contains([]string{"img", "arg", "config", "proxy"}, name) && i < 0 && j < 0 && !isNet:
		if a.Key == handover.RootHash {
			return nil // it is for wyrinit, which has started this Wyrcan
		}
		return unknown(name)
	case !a.HasValue:
		return fmt.Errorf("it needs a value, as in %s=VALUE", a.Key)
	case i >= 0:
		o := options[i]
		if err := o.accepts(a.Key, a.Value); err != nil {
			return err
		}
		l.once(name, a)
		o.set(&l.Config, a.Value)
	case isNet:
		return net.argument(path, a.Value)
	case j >= 0:
		return l.add(lists[j], a)
	case name == "proxy":
		if err := checkProxy(a.Value); err != nil {
			return err
		}
		l.once(name, a)
		l.Proxy = a.Value
	case name == "config":
		if err := checkFile(a.Value); err != nil {
			return err
		}
		l.once(name, a)
		l.File = a.Value
	case a.Value == "" && name == "img":
		return fmt.Errorf("it names no image")
	case a.Value == "":
		// An empty wyr.arg= passes nothing on. A script with an unset variable may write one.
	case name == "arg":
		l.Args = append(l.Args, a.Value)
	default:
		l.once(name, a)
		l.Image = a.Value
	}
	return nil
}

// add adds the entries of one argument to a list. If one of them is wrong, none is added.
func (l *arguments) add(to list, a cmdline.Arg) error {
	entries := []string{a.Value}
	if to.comma {
		entries = strings.Split(a.Value, ",")
	}
	entries = slices.DeleteFunc(entries, func(e string) bool { return e == "" })
	for _, e := range entries {
		if err := to.check(e); err != nil {
			return err
		}
	}
	values := to.of(&l.Config)
	for _, e := range entries {
		if to.twice || !slices.Contains(*values, e) {
			*values = append(*values, e)
		}
	}
	l.given[to.name] = a.Value
	return nil
}

// once records the value of a single-valued argument, and warns if it replaces another value.
func (l *arguments) once(name string, a cmdline.Arg) {
	if before, ok := l.given[name]; ok && before != a.Value {
		l.warnings = append(l.warnings,
			fmt.Sprintf("%s is given more than once: %q takes the place of %q", a.Key, a.Value, before))
	}
	l.given[name] = a.Value
}

// over returns c with the options of the command line in place of its own.
func (l arguments) over(c Config) Config {
	for _, o := range options {
		if _, ok := l.given[o.name]; ok {
			o.set(&c, o.get(l.Config))
		}
	}
	for _, e := range lists {
		if _, ok := l.given[e.name]; ok {
			*e.of(&c) = *e.of(&l.Config)
		}
	}
	if _, ok := l.given["proxy"]; ok {
		c.Proxy = l.Proxy
	}
	return c
}

// Arguments returns c as arguments. Load makes c of them again.
func (c Config) Arguments() []cmdline.Arg {
	var args []cmdline.Arg
	add := func(name, value string) {
		args = append(args, cmdline.Arg{Key: "wyr." + name, Value: value, HasValue: true})
	}
	if c.Image != "" {
		add("img", c.Image)
	}
	if c.File != "" {
		add("config", c.File)
	}
	for _, a := range c.Args {
		add("arg", a)
	}
	for _, l := range lists {
		for _, v := range *l.of(&c) {
			add(l.name, v)
		}
	}
	if c.Proxy != "" {
		add("proxy", c.Proxy)
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

// unknown returns the error for an unknown argument. It names a similar one that may have been meant.
func unknown(name string) error {
	best, least := "", 3 // at most two wrong letters, such as "image" for "img"
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

// distance returns how many letters must be inserted, deleted or replaced to make b of a (Levenshtein distance).
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
