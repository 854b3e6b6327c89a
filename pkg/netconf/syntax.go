package netconf

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// maxLine limits the length of a line with its continuations: systemd's LONG_LINE_MAX.
const maxLine = 1 << 20

// Dirs are the directories below the root that systemd-networkd reads. A file hides files of the same name in later
// directories.
var Dirs = []string{"etc/systemd/network", "run/systemd/network", "usr/local/lib/systemd/network",
	"usr/lib/systemd/network"}

// Read reads the sections of a file by the rules of systemd.syntax(7): a comment starts with # or ; at the start of
// a line, a backslash at the end of a line joins it to the next one with a space, and spaces around the equals sign of
// an assignment are ignored. Every other line becomes a warning. An error comes from the reader.
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
	skipping := false // in a section whose heading could not be read
	addLine := func(line string) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "["):
			name, ok := strings.CutSuffix(line[1:], "]")
			skipping = !ok || strings.TrimSpace(name) == ""
			if skipping {
				warn(line, "not a section heading")
				return
			}
			f.Sections = append(f.Sections, Section{Name: name})
		case skipping:
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
	var joined strings.Builder // a line with continuations, so far
	first := true
	for in.Scan() {
		line := in.Text()
		if first {
			line = strings.TrimPrefix(line, "\ufeff")
			first = false
		}
		if c := strings.TrimLeft(line, " \t"); c != "" && (c[0] == '#' || c[0] == ';') {
			continue // also between continued lines
		}
		if body, more := strings.CutSuffix(line, `\`); more && !strings.HasSuffix(body, `\`) {
			joined.WriteString(body + " ")
			if joined.Len() > maxLine {
				return f, warnings, bufio.ErrTooLong
			}
			continue
		}
		addLine(joined.String() + line)
		joined.Reset()
	}
	addLine(joined.String())
	return f, warnings, in.Err()
}

// ReadDirs reads all .link, .netdev and .network files of the directories with their drop-ins (NAME.KIND.d/*.conf),
// sorted by name. A file that cannot be read becomes a warning.
func ReadDirs(root fs.FS, dirs []string) ([]File, []Warning) {
	var files []File
	var warnings []Warning
	read := func(p string, name string, kind Kind) (File, bool) {
		warn := func(err error) {
			warnings = append(warnings, Warning{File: p, Reason: fmt.Sprintf("cannot be read: %v", smallfile.Cause(err))})
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
		for _, drop := range filesIn(root, dirs, path.Base(found)+".d",
			func(n string) bool { return path.Ext(n) == ".conf" }) {
			if d, ok := read(drop, name, f.Kind); ok {
				f.Sections = append(f.Sections, d.Sections...)
			}
		}
		files = append(files, f)
	}
	return files, warnings
}

// filesIn returns the paths of the wanted files in the directory sub of each of dirs, sorted by file name. Of files
// with the same name it returns the first.
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
	sort.Slice(out, func(i, j int) bool { return path.Base(out[i]) < path.Base(out[j]) })
	return out
}
