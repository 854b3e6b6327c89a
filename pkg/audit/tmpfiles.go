package audit

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// tmpfileDirs are where the configuration of systemd-tmpfiles is. A file hides those of the same name in later
// directories: tmpfiles.d(5).
var tmpfileDirs = []string{"/etc/tmpfiles.d", "/run/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d"}

// tmpfile is a line that makes something.
type tmpfile struct{ kind, path, argument string }

// tmpfilesAt returns the lines for a path, in the order of the names of their files.
func (v *View) tmpfilesAt(at string) []tmpfile {
	files := map[string]string{}
	for _, dir := range tmpfileDirs {
		for _, name := range v.names(dir) {
			if strings.HasSuffix(name, ".conf") && files[name] == "" {
				files[name] = dir + "/" + name
			}
		}
	}
	var all []tmpfile
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, t := range parseTmpfiles(v.text(files[name])) {
			if t.path == at {
				all = append(all, t)
			}
		}
	}
	return all
}

// parseTmpfiles returns the lines of a file of tmpfiles.d(5): Type Path Mode User Group Age Argument.
func parseTmpfiles(text string) []tmpfile {
	var all []tmpfile
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || strings.HasPrefix(words[0], "#") {
			continue
		}
		t := tmpfile{kind: words[0], path: path.Clean(strings.Trim(words[1], `"'`))}
		if len(words) > 6 && words[6] != "-" {
			t.argument = strings.Trim(words[6], `"'`)
		}
		all = append(all, t)
	}
	return all
}

// makes reports whether the line makes a file or a link.
func (t tmpfile) makes() bool { return t.kind != "" && strings.ContainsRune("LfFCw", rune(t.kind[0])) }

// replaces reports whether it does so where something is already.
func (t tmpfile) replaces() bool {
	return t.makes() && (t.kind[0] == 'F' || strings.Contains(t.kind, "+"))
}

// made reports whether systemd-tmpfiles makes a file at each boot: where something is, only a line that replaces it.
// The
// first line counts; systemd-tmpfiles calls the others duplicates.
func (v *View) made(at string) bool {
	if !v.systemd() {
		return false
	}
	lines := v.tmpfilesAt(at)
	i := slices.IndexFunc(lines, tmpfile.makes)
	return i >= 0 && (v.missing(at) || lines[i].replaces())
}
