package netconf

import (
	"net"
	"slices"
	"strings"
)

// Device is what a [Match] section looks at.
type Device struct {
	Name       string
	AltNames   []string
	KernelName string // before any renaming
	MAC        net.HardwareAddr
	PermMAC    net.HardwareAddr // nil: the device has none
	Type       string           // DEVTYPE, else the ARPHRD name: ether, vlan, bond, bridge, wlan, loopback, …
	Kind       string           // IFLA_INFO_KIND: "" for hardware
	Driver     string
	Path       string // ID_PATH: pci-0000:02:00.0
}

// Host is the machine, for the conditions that are about it.
type Host struct {
	Hostname       string
	Architecture   string   // systemd's word: x86-64, arm64
	KernelVersion  string   // uname -r
	KernelCmdline  []string // the arguments
	Virtualization string   // vm, none, or a product's name such as kvm; "" is unknown
}

// Patterns is a list of globs of which one must fit; negated, none may.
type Patterns struct {
	Negate bool
	List   []string
}

// Match is the [Match] section. Conditions that are not set hold for every device.
type Match struct {
	Name         Patterns
	OriginalName Patterns
	Type         Patterns
	Kind         Patterns
	Driver       Patterns
	Path         Patterns
	MAC          []net.HardwareAddr
	PermMAC      []net.HardwareAddr

	Hostname       Condition
	Architecture   Condition
	KernelVersion  []Condition
	KernelCmdline  Condition
	Virtualization Condition

	// Unknown names a condition that cannot be judged here: such a file never matches.
	Unknown string
}

// Condition is a word to be compared, perhaps negated with an exclamation mark.
type Condition struct {
	Negate bool
	Word   string
}

func (c Condition) check(is bool) bool { return c.Word == "" || is != c.Negate }

// matches reports whether s fits, with systemd's rule that an exclamation mark before the first word negates the whole list.
func (p Patterns) matches(names ...string) bool {
	if len(p.List) == 0 {
		return true
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		if slices.ContainsFunc(p.List, func(glob string) bool { return fnmatch(glob, name) }) {
			return !p.Negate
		}
	}
	return p.Negate
}

// Empty reports whether the section has no condition: systemd-networkd ignores a .network file with such a [Match].
func (m Match) Empty() bool {
	return len(m.Name.List)+len(m.OriginalName.List)+len(m.Type.List)+len(m.Kind.List)+len(m.Driver.List)+len(m.Path.List)+
		len(m.MAC)+len(m.PermMAC)+len(m.KernelVersion) == 0 &&
		m.Hostname.Word+m.Architecture.Word+m.KernelCmdline.Word+m.Virtualization.Word+m.Unknown == ""
}

// Fits reports whether the device of this host satisfies all conditions.
func (m Match) Fits(d Device, h Host) bool {
	if m.Unknown != "" || !m.FitsHost(h) {
		return false
	}
	inList := func(list []net.HardwareAddr, mac net.HardwareAddr) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(a net.HardwareAddr) bool { return slices.Equal(a, mac) })
	}
	return m.Name.matches(append([]string{d.Name}, d.AltNames...)...) &&
		m.OriginalName.matches(d.KernelName) &&
		m.Type.matches(d.Type) &&
		m.Kind.matches(d.Kind) &&
		m.Driver.matches(d.Driver) &&
		m.Path.matches(d.Path) &&
		inList(m.MAC, d.MAC) && inList(m.PermMAC, d.PermMAC)
}

// FitsHost reports whether the conditions that are about the machine hold.
func (m Match) FitsHost(h Host) bool {
	if m.Unknown != "" {
		return false
	}
	for _, c := range m.KernelVersion {
		if !c.check(versionFits(c.Word, h.KernelVersion)) {
			return false
		}
	}
	return m.Hostname.check(fnmatch(m.Hostname.Word, h.Hostname)) &&
		m.Architecture.check(m.Architecture.Word == h.Architecture || m.Architecture.Word == "native") &&
		m.KernelCmdline.check(argumentGiven(m.KernelCmdline.Word, h.KernelCmdline)) &&
		m.Virtualization.check(virtualizationFits(m.Virtualization.Word, h.Virtualization))
}

// argumentGiven is ConditionKernelCommandLine of systemd.unit(5): a word alone also fits the word with a value.
func argumentGiven(word string, args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		if a == word {
			return true
		}
		key, _, found := strings.Cut(a, "=")
		return found && key == word && !strings.Contains(word, "=")
	})
}

func virtualizationFits(word, is string) bool {
	if is == "" {
		is = "none"
	}
	if b, err := parseBool(word); err == nil {
		return b == (is != "none")
	}
	return word == is || word == "vm" && is != "none"
}

// versionFits compares a kernel release with a glob or with an operator and a version.
func versionFits(word, release string) bool {
	for _, op := range []string{"<=", ">=", "!=", "==", "<", ">", "="} {
		version, found := strings.CutPrefix(word, op)
		if !found {
			continue
		}
		c := compareVersions(release, strings.TrimSpace(version))
		switch op {
		case "<=":
			return c <= 0
		case ">=":
			return c >= 0
		case "<":
			return c < 0
		case ">":
			return c > 0
		case "!=":
			return c != 0
		default:
			return c == 0
		}
	}
	return fnmatch(word, release)
}

// compareVersions orders two versions number by number, as far as both go; the shorter one is the lower.
func compareVersions(a, b string) int {
	fields := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '-' || r == '+' || r == '~' })
	}
	as, bs := fields(a), fields(b)
	for i := range min(len(as), len(bs)) {
		x, y := as[i], bs[i]
		if isDigits(x) && isDigits(y) {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return len(as) - len(bs)
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// fnmatch is fnmatch(3) without flags: * and ? fit a slash too, [!a-z] is a set's complement, a backslash takes what follows literally.
func fnmatch(glob, s string) bool {
	starGlob, starS := "", "" // where to go on when what follows the last star did not fit
	starred := false
	for s != "" {
		if strings.HasPrefix(glob, "*") {
			glob = glob[1:]
			starGlob, starS, starred = glob, s, true
			continue
		}
		if rest, fits := one(glob, s[0]); fits {
			glob, s = rest, s[1:]
			continue
		}
		if !starred {
			return false
		}
		starS = starS[1:]
		glob, s = starGlob, starS
	}
	return strings.Trim(glob, "*") == ""
}

// one tells whether the first element of glob, which is not a star, fits c, and returns what follows that element.
func one(glob string, c byte) (rest string, fits bool) {
	if glob == "" {
		return "", false
	}
	switch glob[0] {
	case '?':
		return glob[1:], true
	case '[':
		if rest, in, ok := bracket(glob, c); ok {
			return rest, in
		}
	case '\\':
		if len(glob) > 1 {
			glob = glob[1:]
		}
	}
	return glob[1:], glob[0] == c
}

// bracket reads a set at the start of glob and tells whether c is in it. ok is false if the set has no end.
func bracket(glob string, c byte) (rest string, in, ok bool) {
	i := 1
	negate := i < len(glob) && (glob[i] == '!' || glob[i] == '^')
	if negate {
		i++
	}
	for first := true; ; first = false {
		if i >= len(glob) {
			return "", false, false
		}
		if glob[i] == ']' && !first {
			return glob[i+1:], in != negate, true
		}
		lo := glob[i]
		hi := lo
		if i+2 < len(glob) && glob[i+1] == '-' && glob[i+2] != ']' {
			hi = glob[i+2]
			i += 2
		}
		i++
		if lo <= c && c <= hi {
			in = true
		}
	}
}
