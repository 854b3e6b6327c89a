package netconf

import (
	"net"
	"slices"
	"strings"
)

// Device has the properties of a device that a [Match] section compares.
type Device struct {
	Name       string
	AltNames   []string
	KernelName string // before any renaming
	MAC        net.HardwareAddr
	PermMAC    net.HardwareAddr // nil: the device has none
	Type       string           // DEVTYPE, else the ARPHRD name: ether, vlan, bond, bridge, wlan, loopback, …
	Kind       string           // IFLA_INFO_KIND: "" for net.HardwareAddr
	Driver     string
	Path       string // ID_PATH: pci-0000:02:00.0
}

// Host has the properties of the machine that conditions compare.
type Host struct {
	Hostname       string
	Architecture   string   // systemd's word: x86-64, arm64
	KernelVersion  string   // uname -r
	KernelCmdline  []string // the arguments
	Virtualization string   // vm, none, or a product's name such as kvm; "" is unknown
}

// Patterns is a list of globs. At least one of them must match or, if the list is negated, none may.
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

	// Unknown names a condition that cannot be judged here. A file with such a condition never matches.
	Unknown string
}

// Condition is a word to compare. Negate is set if an exclamation mark stands before it.
type Condition struct {
	Negate bool
	Word   string
}

// holds reports whether the condition is met, given whether its word matches.
func (c Condition) holds(matches bool) bool { return c.Word == "" || matches != c.Negate }

// matches reports whether the list accepts one of the names. By systemd's rule an exclamation mark before the first
// word negates the whole list.
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
	return len(m.Name.List)+len(m.OriginalName.List)+len(m.Type.List)+len(m.Kind.List)+len(m.Driver.List)+
		len(m.Path.List)+
		len(m.MAC)+len(m.PermMAC)+len(m.KernelVersion) == 0 &&
		m.Hostname.Word+m.Architecture.Word+m.KernelCmdline.Word+m.Virtualization.Word+m.Unknown == ""
}

// Fits reports whether the device and the host meet all conditions.
func (m Match) Fits(d Device, h Host) bool {
	if m.Unknown != "" || !m.FitsHost(h) {
		return false
	}
	inList := func(list []net.HardwareAddr, mac net.HardwareAddr) bool {
		return len(list) == 0 ||
			slices.ContainsFunc(list, func(a net.HardwareAddr) bool { return slices.Equal(a, mac) })
	}
	return m.Name.matches(append([]string{d.Name}, d.AltNames...)...) &&
		m.OriginalName.matches(d.KernelName) &&
		m.Type.matches(d.Type) &&
		m.Kind.matches(d.Kind) &&
		m.Driver.matches(d.Driver) &&
		m.Path.matches(d.Path) &&
		inList(m.MAC, d.MAC) && inList(m.PermMAC, d.PermMAC)
}

// FitsHost reports whether the host meets the conditions about the machine.
func (m Match) FitsHost(h Host) bool {
	if m.Unknown != "" {
		return false
	}
	for _, c := range m.KernelVersion {
		if !c.holds(versionFits(c.Word, h.KernelVersion)) {
			return false
		}
	}
	return m.Hostname.holds(fnmatch(m.Hostname.Word, h.Hostname)) &&
		m.Architecture.holds(m.Architecture.Word == h.Architecture || m.Architecture.Word == "native") &&
		m.KernelCmdline.holds(argumentGiven(m.KernelCmdline.Word, h.KernelCmdline)) &&
		m.Virtualization.holds(virtualizationFits(m.Virtualization.Word, h.Virtualization))
}

// argumentGiven reports whether the arguments have the word, by the rule of ConditionKernelCommandLine= in
// systemd.unit(5): a word without a value also matches an argument WORD=VALUE.
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

// compareVersions compares two versions field by field. If one is the beginning of the other, the shorter one is lower.
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

// fnmatch reports whether s matches glob by the rules of fnmatch(3) without flags: * and ? also match a slash,
// [!a-z] matches what is not in the set, and a backslash quotes the next character.
func fnmatch(glob, s string) bool {
	starGlob, starS := "", "" // where to continue if the text after the last star does not match
	starred := false
	for s != "" {
		if strings.HasPrefix(glob, "*") {
			glob = glob[1:]
			starGlob, starS, starred = glob, s, true
			continue
		}
		if rest, ok := matchByte(glob, s[0]); ok {
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

// matchByte reports whether c matches the first element of glob, which is not a star, and returns the rest of glob.
func matchByte(glob string, c byte) (rest string, ok bool) {
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

// bracket reads the set at the start of glob, reports whether c is in it, and returns the rest of glob. ok is false if
// the set has no end.
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
