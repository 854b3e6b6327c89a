package netconf

import (
	"errors"
	"net"
	"strings"
)

// matchKeys are the keys of a [Match] section that matches devices. nameKey is the key for the device's name: Name or
// OriginalName.
func matchKeys[T any](match func(*T) *Match, nameKey string) []key[T] {
	name, doc := func(t *T) *Patterns { return &match(t).Name },
		"globs of names, alternative names included; `!` before the first negates all"
	if nameKey == "OriginalName" {
		name, doc = func(t *T) *Patterns { return &match(t).OriginalName }, "globs of names as the kernel gives them"
	}
	macs := func(field func(*Match) *[]net.HardwareAddr) func(*T, string) error {
		return list(func(t *T) *[]net.HardwareAddr { return field(match(t)) }, parseMAC)
	}
	keys := append([]key[T]{
		{nameKey, doc, patterns(name)},
		{"MACAddress", "hardware addresses", macs(func(m *Match) *[]net.HardwareAddr { return &m.MAC })},
		{"PermanentMACAddress", "permanent hardware addresses",
			macs(func(m *Match) *[]net.HardwareAddr { return &m.PermMAC })},
		{"Type", "globs of types: ether, infiniband, vlan, bond, bridge, wlan, …",
			patterns(func(t *T) *Patterns { return &match(t).Type })},
		{"Kind", "globs of kinds of virtual devices", patterns(func(t *T) *Patterns { return &match(t).Kind })},
		{"Driver", "globs of drivers", patterns(func(t *T) *Patterns { return &match(t).Driver })},
		{"Path", "globs of hardware paths: `pci-0000:02:00.0`",
			patterns(func(t *T) *Patterns { return &match(t).Path })},
		unjudged(match, "Property"),
	}, hostKeys(match)...)
	if nameKey == "Name" {
		keys = append(keys, unjudged(match, "WLANInterfaceType"), unjudged(match, "SSID"), unjudged(match, "BSSID"))
	}
	return keys
}

// unjudged returns the row of a condition about something that the boot environment does not know. A file with such
// a condition matches nothing: treating the condition as met could configure the wrong link.
func unjudged[T any](match func(*T) *Match, name string) key[T] {
	return key[T]{name, "cannot be judged here: such a file matches nothing", func(t *T, _ string) error {
		match(t).Unknown = name
		return errors.New("a condition that cannot be judged here, so the file matches nothing")
	}}
}

// hostKeys are the keys for conditions about the machine.
func hostKeys[T any](match func(*T) *Match) []key[T] {
	return []key[T]{
		{"Host", "glob of the host name", condition(func(t *T) *Condition { return &match(t).Hostname })},
		{"Virtualization", "a boolean or `vm`; products are not told apart",
			condition(func(t *T) *Condition { return &match(t).Virtualization })},
		{"KernelCommandLine", "an argument of the kernel",
			condition(func(t *T) *Condition { return &match(t).KernelCmdline })},
		{"KernelVersion", "comparisons or globs", func(t *T, s string) error {
			ws, err := words(s)
			if err != nil {
				return err
			}
			for i := 0; i < len(ws); i++ {
				var c Condition
				w := ws[i]
				switch w { // a space may stand between an operator and its version
				case "<", "<=", "=", "==", "!=", ">=", ">":
					if i+1 == len(ws) {
						return errors.New("an operator without a version")
					}
					i++
					w += ws[i]
				}
				if err := condition(func(*T) *Condition { return &c })(t, w); err != nil {
					return err
				}
				if strings.HasPrefix(w, "!=") {
					c = Condition{Word: w}
				}
				match(t).KernelVersion = append(match(t).KernelVersion, c)
			}
			return nil
		}},
		{"Architecture", "`x86-64`, `arm64`, …", condition(func(t *T) *Condition { return &match(t).Architecture })},
		unjudged(match, "Credential"), unjudged(match, "Firmware"),
	}
}
