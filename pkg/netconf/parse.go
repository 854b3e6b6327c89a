package netconf

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Config is the meaning of all configuration files. Each list is sorted by file name: the first entry that matches a
// device applies to it.
type Config struct {
	Links    []*LinkConfig
	NetDevs  []*NetDevConfig
	Networks []*NetworkConfig
}

// Warning says which part of a file was ignored, and why. The rest of the file still applies.
type Warning struct {
	File, Section, Key, Value string
	Reason                    string
}

// String returns one line with the file, the section, the key and the value, if there are any, and the reason.
func (w Warning) String() string {
	var b strings.Builder
	b.WriteString(w.File)
	if w.Section != "" {
		b.WriteString(": [" + w.Section + "]")
	}
	if w.Key != "" {
		fmt.Fprintf(&b, " %s=%s", w.Key, w.Value)
	}
	return b.String() + ": " + w.Reason
}

// section is the part of a table that describes one [Name] of a kind of file, whose meaning is a T.
type section[T any] struct {
	name string
	keys []key[T]
	// A section that may repeat has all three: open starts one, check returns the reason why a complete one is not
	// valid (or ""), and drop removes it. Headings of any other name add to one section.
	open, drop func(*T)
	check      func(*T) string
}

// key is a row of the table of supported keys: its name, its line in docs/networking.md, and the function that stores
// its value.
type key[T any] struct {
	name string
	doc  string
	set  func(*T, string) error // the error says why the value is refused; nil: the key is accepted without effect
}

// Parse returns the meaning of the files. It leaves out what is wrong and returns a warning for each such part, in
// order.
func Parse(files []File) (Config, []Warning) {
	files = slices.Clone(files)
	sort.SliceStable(files, func(i, j int) bool {
		a, b := files[i], files[j]
		return a.Name < b.Name || a.Name == b.Name && a.Kind < b.Kind
	})
	var c Config
	var warnings []Warning
	warn := func(w Warning) { warnings = append(warnings, w) }
	for _, f := range files {
		if len(f.Sections) == 0 {
			continue // an empty file only masks a file of the same name in another directory
		}
		switch f.Kind {
		case Link:
			l := linkDefaults(f.Name)
			apply(f, l, linkTable(), warn)
			if l.Match.Empty() {
				warn(Warning{File: f.fileName(), Section: "Match",
					Reason: "no condition, so the file is ignored; OriginalName=* matches every link"})
				continue
			}
			c.Links = append(c.Links, l)
		case NetDev:
			if n := parseNetDev(f, warn); n != nil {
				c.NetDevs = append(c.NetDevs, n)
			}
		case Network:
			n := networkDefaults(f.Name)
			apply(f, n, networkTable(), warn)
			n.finish()
			if n.Match.Empty() {
				warn(Warning{File: f.fileName(), Section: "Match",
					Reason: "no condition, so the file is ignored; Name=* matches every link"})
				continue
			}
			c.Networks = append(c.Networks, n)
		default:
			warn(Warning{File: f.fileName(), Reason: fmt.Sprintf("unknown kind of file %q", f.Kind)})
		}
	}
	return c, warnings
}

func (f File) fileName() string { return f.Name + "." + string(f.Kind) }

// apply stores the settings of f in to, by the table. It reports whether the file is usable: it is not if it has an
// unsupported key without which the rest of the file would mean something else.
func apply[T any](f File, to *T, table []section[T], warn func(Warning)) bool {
	refused := false
	for _, s := range f.Sections {
		w := Warning{File: f.fileName(), Section: s.Name}
		i := slices.IndexFunc(table, func(t section[T]) bool { return t.name == s.Name })
		if i < 0 {
			switch {
			case strings.HasPrefix(s.Name, "X-"): // systemd.syntax(7): for others to read
			case known(f.Kind, s.Name, ""):
				w.Reason = "section is known to systemd but not supported here, ignored"
				warn(w)
			default:
				w.Reason = "unknown section, ignored"
				warn(w)
			}
			continue
		}
		t := table[i]
		if t.open != nil {
			t.open(to)
		}
		invalid := false
		for _, e := range s.Entries {
			w.Key, w.Value = e.Key, e.Value
			switch warning, err := set(to, t, e, f.Kind); {
			case errors.Is(err, errUnsupported) && t.open == nil:
				refused = true
				w.Reason = err.Error() + ", the file is ignored"
				warn(w)
			case err != nil && t.open != nil:
				// A route without one of its lines may lead somewhere else, so systemd ignores the whole section.
				invalid = true
				w.Reason = err.Error() + ", the section is ignored"
				warn(w)
			case err != nil:
				w.Reason = err.Error() + ", ignored"
				warn(w)
			case warning != "":
				w.Reason = warning
				warn(w)
			}
		}
		switch {
		case invalid:
			t.drop(to)
		case t.check != nil:
			if reason := t.check(to); reason != "" {
				t.drop(to)
				warn(Warning{File: f.fileName(), Section: s.Name, Reason: reason + ", the section is ignored"})
			}
		}
	}
	return !refused
}

// set stores the value of one line. It returns an error for a wrong value, and a warning for a key that is unknown or
// not supported.
func set[T any](to *T, t section[T], e Entry, kind Kind) (warning string, err error) {
	i := slices.IndexFunc(t.keys, func(k key[T]) bool { return k.name == e.Key })
	switch {
	case i >= 0 && t.keys[i].set == nil:
		return "", nil
	case i >= 0:
		return "", t.keys[i].set(to, e.Value)
	case strings.HasPrefix(e.Key, "X-"):
		return "", nil
	case known(kind, t.name, e.Key):
		return "key is known to systemd but not supported here, ignored", nil
	}
	return "unknown key, ignored", nil
}
