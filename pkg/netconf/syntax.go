package netconf

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxLine is how long a line with its continuations may be: systemd's LONG_LINE_MAX.
const maxLine = 1 << 20

// Dirs are the directories that systemd-networkd reads, below the root: a file hides those of the same name further back.
var Dirs = []string{"etc/systemd/network", "run/systemd/network", "usr/local/lib/systemd/network", "usr/lib/systemd/network"}

// Read reads the sections of a file by the rules of systemd.syntax(7): comments begin with # or ; at the start of a line, a
// backslash at its end is a space and the next line, an assignment's spaces around the equals sign do not count. Lines
// that are none of this are returned as warnings. The error is that of the reader.
func Read(r io.Reader, name string, kind Kind) (File, []Warning, error) {
	f := File{Name: name, Kind: kind}
	var warnings []Warning
	warn := func(line, reason string) {
		w := Warning{File: f.fileName(), Reason: fmt.Sprintf("%q: %s, ignored", line, reason)}
		if n := len(f.Sections); n > 0 {
			w.Section = f.Sections[n-1].Name
		}
		warnings = append(warnings, w)
	}
	lost := false // in a section whose heading could not be read
	take := func(line string) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "["):
			name, ok := strings.CutSuffix(line[1:], "]")
			lost = !ok || strings.TrimSpace(name) == ""
			if lost {
				warn(line, "not a section heading")
				return
			}
			f.Sections = append(f.Sections, Section{Name: name})
		case lost:
		default:
			k, v, ok := strings.Cut(line, "=")
			k = strings.TrimSpace(k)
			switch {
			case !ok:
				warn(line, "neither a section nor KEY=VALUE")
			case k == "":
				warn(line, "no key before the equals sign")
			case len(f.Sections) == 0:
				warn(line, "stands before the first section")
			default:
				s := &f.Sections[len(f.Sections)-1]
				s.Entries = append(s.Entries, Entry{k, strings.TrimSpace(v)})
			}
		}
	}
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	var joined strings.Builder // of a line that goes on
	first := true
	for in.Scan() {
		line := in.Text()
		if first {
			line = strings.TrimPrefix(line, "\ufeff")
			first = false
		}
		if c := strings.TrimLeft(line, " \t"); c != "" && (c[0] == '#' || c[0] == ';') {
			continue // also amid a line that goes on
		}
		if body, more := strings.CutSuffix(line, `\`); more && !strings.HasSuffix(body, `\`) {
			joined.WriteString(body + " ")
			if joined.Len() > maxLine {
				return f, warnings, bufio.ErrTooLong
			}
			continue
		}
		take(joined.String() + line)
		joined.Reset()
	}
	take(joined.String())
	return f, warnings, in.Err()
}

// ReadDirs reads all .link, .netdev and .network files of the directories with their drop-ins (NAME.KIND.d/*.conf), sorted by
// name. What cannot be read is a warning.
func ReadDirs(root fs.FS, dirs []string) ([]File, []Warning) {
	var files []File
	var warnings []Warning
	read := func(p string, name string, kind Kind) (File, bool) {
		warn := func(err error) {
			var inPath *fs.PathError
			if errors.As(err, &inPath) {
				err = inPath.Err // the path is said already
			}
			warnings = append(warnings, Warning{File: p, Reason: fmt.Sprintf("cannot be read: %v", err)})
		}
		in, err := root.Open(p)
		if err != nil {
			warn(err)
			return File{}, false
		}
		defer in.Close()
		f, w, err := Read(in, name, kind)
		warnings = append(warnings, w...)
		if err != nil {
			warn(err)
			return File{}, false
		}
		return f, true
	}
	for _, found := range filesIn(root, dirs, "", func(n string) bool {
		k := Kind(strings.TrimPrefix(path.Ext(n), "."))
		return k == Link || k == NetDev || k == Network
	}) {
		ext := path.Ext(found)
		name := strings.TrimSuffix(path.Base(found), ext)
		f, ok := read(found, name, Kind(ext[1:]))
		if !ok {
			continue
		}
		for _, drop := range filesIn(root, dirs, path.Base(found)+".d", func(n string) bool { return path.Ext(n) == ".conf" }) {
			if d, ok := read(drop, name, f.Kind); ok {
				f.Sections = append(f.Sections, d.Sections...)
			}
		}
		files = append(files, f)
	}
	return files, warnings
}

// filesIn returns the paths of the files called sub/NAME below the directories whose name is wanted, sorted by their last element,
// of several with the same one the first.
func filesIn(root fs.FS, dirs []string, sub string, wanted func(string) bool) []string {
	var out []string
	seen := map[string]bool{}
	for _, d := range dirs {
		entries, err := fs.ReadDir(root, path.Join(d, sub))
		if err != nil {
			continue // most of the directories are not there
		}
		for _, e := range entries {
			if !e.IsDir() && wanted(e.Name()) && !seen[e.Name()] && !strings.HasPrefix(e.Name(), ".") {
				seen[e.Name()] = true
				out = append(out, path.Join(d, sub, e.Name()))
			}
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(path.Base(a), path.Base(b)) })
	return out
}
