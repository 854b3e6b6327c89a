package audit

import (
	"slices"
	"strings"
)

// unitDirs are where units of systemd are, the first one counts: systemd.unit(5).
var unitDirs = []string{
	"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
}

// unitSet is which units of systemd an image has and starts.
type unitSet struct {
	v      *View
	wanted map[string]bool // by units that need not be started themselves
	// preset says that systemd enables units by its presets at each boot, because the image has no machine id at all:
	// machine-id(5), "First Boot Semantics".
	preset bool
}

func readUnits(v *View) unitSet {
	u := unitSet{v: v, wanted: map[string]bool{}}
	for _, dir := range unitDirs {
		for _, name := range v.names(dir) {
			if !strings.HasSuffix(name, ".wants") && !strings.HasSuffix(name, ".requires") {
				continue
			}
			for _, unit := range v.names(dir + "/" + name) {
				u.wanted[unit] = true
			}
		}
	}
	id := strings.TrimSpace(v.text("/etc/machine-id"))
	u.preset = v.missing("/etc/machine-id") || id == "uninitialized"
	return u
}

// masked reports whether a unit is masked: it is a link to /dev/null, or an empty file.
func (u unitSet) masked(unit string) bool {
	path := unitDirs[0] + "/" + unit
	if to, ok := u.v.target(path); ok {
		return to == "/dev/null"
	}
	n, err := u.v.Tree.Lstat(path)
	return err == nil && n.Regular() && n.Size == 0
}

// has reports whether there is a unit, or the template of an instance.
func (u unitSet) has(unit string) bool {
	if name, rest, ok := strings.Cut(unit, "@"); ok {
		if _, kind, ok := strings.Cut(rest, "."); ok {
			unit = name + "@." + kind
		}
	}
	return slices.ContainsFunc(unitDirs, func(dir string) bool { return u.v.exists(dir + "/" + unit) })
}

// enabled reports whether a unit is started because another one wants it. name may end in "@", for all instances.
func (u unitSet) enabled(name string) bool {
	if strings.HasSuffix(name, "@") {
		for unit := range u.wanted {
			if strings.HasPrefix(unit, name) && u.has(unit) && !u.masked(unit) {
				return true
			}
		}
		return false
	}
	return u.wanted[name] && u.has(name) && !u.masked(name)
}

// maxOwn is how many units of the image's maker are read.
const maxOwn = 256

// own reports whether a unit, or a part of one, that is in the directory for the machine's own units has one of these
// words: the image's maker may have solved in it what a rule looks for elsewhere.
func (u unitSet) own(words ...string) bool {
	count := 0
	look := func(path string) bool {
		n, err := u.v.Tree.Lstat(path)
		if err != nil || !n.Regular() || count == maxOwn {
			return false
		}
		count++
		text := u.v.content(n)
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	for _, name := range u.v.names(unitDirs[0]) {
		path := unitDirs[0] + "/" + name
		if look(path) {
			return true
		}
		if strings.HasSuffix(name, ".d") && slices.ContainsFunc(u.v.names(path), func(part string) bool {
			return look(path + "/" + part)
		}) {
			return true
		}
	}
	return false
}

// says reports whether the file of a unit, or a part of it, has one of these words.
func (u unitSet) says(unit string, words ...string) bool {
	for _, dir := range unitDirs {
		texts := []string{u.v.text(dir + "/" + unit)}
		for _, part := range u.v.names(dir + "/" + unit + ".d") {
			texts = append(texts, u.v.text(dir+"/"+unit+".d/"+part))
		}
		for _, text := range texts {
			if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) }) {
				return true
			}
		}
	}
	return false
}
