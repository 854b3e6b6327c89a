package netconf

import "strings"

// Kind is the type of a configuration file and the ending of its name: systemd.link(5), systemd.netdev(5),
// systemd.network(5).
type Kind string

// The kinds that systemd-networkd and systemd-udevd read.
const (
	Link    Kind = "link"
	NetDev  Kind = "netdev"
	Network Kind = "network"
)

// Entry is one KEY=VALUE line.
type Entry struct {
	Key, Value string
}

// Section is a [Name] heading and its lines in order. A key may occur more than once; each key decides what that means.
type Section struct {
	Name    string
	Entries []Entry
}

// File is a configuration file, split into sections and lines. Parse gives the keys their meaning. Sections may repeat.
type File struct {
	Name     string // without its ending: "10-lan" of 10-lan.network
	Kind     Kind
	Sections []Section
}

// String returns the file's text in the form of systemd.syntax(7).
func (f File) String() string {
	var b strings.Builder
	for i, s := range f.Sections {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("[" + s.Name + "]\n")
		for _, e := range s.Entries {
			b.WriteString(e.Key + "=" + e.Value + "\n")
		}
	}
	return b.String()
}
