package config

import (
	"fmt"
	"strconv"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// repeatable are the sections that a file of systemd may hold several times. In an argument a number distinguishes
// them, which is not written to the file: Route2 is another [Route]. None of these sections has a name that ends in a
// digit.
var repeatable = map[string]bool{
	"Address":           true,
	"BridgeVLAN":        true,
	"Neighbor":          true,
	"NextHop":           true,
	"Route":             true,
	"RoutingPolicyRule": true,
	"WireGuardPeer":     true,
}

// network collects entries into sections and files. A section is identified by its name as written, with its number.
type network []*file

type file struct {
	name     string
	kind     netconf.Kind
	sections []*section
}

type section struct {
	written string // with its number: "Route2"
	entries []netconf.Entry
}

// argument adds the argument wyr.net.PATH=VALUE.
func (n *network) argument(path, value string) error {
	kind, parts := netconf.Network, strings.Split(path, ".")
	if len(parts) == 4 {
		kind, parts = netconf.Kind(parts[0]), parts[1:]
	}
	if len(parts) != 3 {
		return fmt.Errorf("it is neither wyr.net.keep nor of the form wyr.net.[KIND.]FILE.SECTION.KEY=VALUE")
	}
	return n.add(kind, parts[0], parts[1], parts[2], value)
}

// add appends an entry, if a file can hold it. The checks make sure that an argument, or NVRAM, cannot write to a path
// outside /etc/systemd/network, and that a value cannot add a line of its own.
func (n *network) add(kind netconf.Kind, name, written, key, value string) error {
	switch {
	case kind != netconf.Link && kind != netconf.NetDev && kind != netconf.Network:
		return fmt.Errorf("%q is no kind of file: want %s, %s or %s", kind, netconf.Link, netconf.NetDev, netconf.Network)
	case !isWord(name, "-_"):
		return fmt.Errorf("%q is no file name: want letters, digits, - and _", name)
	case len(name)+len(".")+len(kind) > 255:
		return fmt.Errorf("a file name of %d letters is too long", len(name))
	case !isWord(written, ""):
		return fmt.Errorf("%q is no section name: want letters and digits", written)
	case !isWord(key, ""):
		return fmt.Errorf("%q is no key: want letters and digits", key)
	case strings.ContainsAny(value, "\n\r\x00"):
		return fmt.Errorf("the value %q does not fit on a line", value)
	case strings.HasSuffix(value, `\`):
		return fmt.Errorf("the value %q ends in a backslash, which would join it with the next line", value)
	}
	s := n.section(kind, name, written)
	s.entries = append(s.entries, netconf.Entry{Key: key, Value: value})
	return nil
}

// section returns the section of that name. It adds the section, and the file, if there is none.
func (n *network) section(kind netconf.Kind, name, written string) *section {
	var in *file
	for _, f := range *n {
		if f.kind == kind && f.name == name {
			in = f
		}
	}
	if in == nil {
		in = &file{name: name, kind: kind}
		*n = append(*n, in)
	}
	for _, s := range in.sections {
		if s.written == written {
			return s
		}
	}
	s := &section{written: written}
	in.sections = append(in.sections, s)
	return s
}

// files returns the collected files, with the section names as they are written to a file.
func (n network) files() []netconf.File {
	var files []netconf.File
	for _, f := range n {
		out := netconf.File{Name: f.name, Kind: f.kind}
		for _, s := range f.sections {
			name := s.written
			if base := strings.TrimRight(name, "0123456789"); repeatable[base] {
				name = base
			}
			out.Sections = append(out.Sections, netconf.Section{Name: name, Entries: s.entries})
		}
		files = append(files, out)
	}
	return files
}

// numbered is the inverse of files: the second [Route] becomes Route2. If a section that is not repeatable occurs
// twice, its entries are joined, as systemd does.
func numbered(files []netconf.File) network {
	var n network
	for _, f := range files {
		count := make(map[string]int)
		for _, s := range f.Sections {
			written := s.Name
			if count[s.Name]++; repeatable[s.Name] && count[s.Name] > 1 {
				written += strconv.Itoa(count[s.Name])
			}
			to := n.section(f.Kind, f.Name, written)
			to.entries = append(to.entries, s.Entries...)
		}
	}
	return n
}

// isWord reports whether s is not empty and consists of ASCII letters, digits and the characters in extra.
func isWord(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(extra, c) >= 0) {
			return false
		}
	}
	return s != ""
}
