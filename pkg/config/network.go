package config

import (
	"fmt"
	"strconv"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// repeatable are the sections of which systemd takes several in one file. An argument tells them apart by a number
// that the file does not hold: Route2 is a further [Route]. No such section has a name that ends in a digit.
var repeatable = map[string]bool{
	"Address":           true,
	"BridgeVLAN":        true,
	"Neighbor":          true,
	"NextHop":           true,
	"Route":             true,
	"RoutingPolicyRule": true,
	"WireGuardPeer":     true,
}

// network collects entries into sections and files. Sections are told apart by their names as written.
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

// argument takes in wyr.net.PATH=VALUE.
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

// add appends an entry, if a file can hold it. The check is what stands between an argument or NVRAM and a path below
// /etc/systemd/network, and between a value and a line of its own.
func (n *network) add(kind netconf.Kind, name, written, key, value string) error {
	switch {
	case kind != netconf.Link && kind != netconf.NetDev && kind != netconf.Network:
		return fmt.Errorf("%q is no kind of file: %s, %s or %s", kind, netconf.Link, netconf.NetDev, netconf.Network)
	case !isWord(name, "-_"):
		return fmt.Errorf("%q is no file name: letters, digits, - and _", name)
	case len(name)+len(".")+len(kind) > 255:
		return fmt.Errorf("a file name of %d letters is too long", len(name))
	case !isWord(written, ""):
		return fmt.Errorf("%q is no section name: letters and digits", written)
	case !isWord(key, ""):
		return fmt.Errorf("%q is no key: letters and digits", key)
	case strings.ContainsAny(value, "\n\r\x00"):
		return fmt.Errorf("the value %q does not fit on a line", value)
	case strings.HasSuffix(value, `\`):
		return fmt.Errorf("the value %q ends in a backslash, which would take in the next line", value)
	}
	s := n.section(kind, name, written)
	s.entries = append(s.entries, netconf.Entry{Key: key, Value: value})
	return nil
}

// section returns the section of that name, a new one where there is none.
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

// files returns what was collected, with the sections named as in a file.
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

// numbered is the way back from files: the second [Route] becomes Route2. A section that is not repeatable and stands
// twice is one section to systemd too.
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

// isWord reports whether s is made of ASCII letters, digits and the extra characters, and is not empty.
func isWord(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(extra, c) >= 0) {
			return false
		}
	}
	return s != ""
}
