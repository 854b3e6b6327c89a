package tools

import (
	"encoding/json"
	"flag"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, `write the columns "uses" and "used by" of docs/architecture.md`)

const (
	architecture = "../docs/architecture.md"
	module       = "gitlab.com/wyrcan/wyrcan/"

	packagesBegin  = `<!-- packages: "uses" is written by go test ./tools -run Architecture -update -->` + "\n"
	packagesEnd    = "<!-- end of packages -->\n"
	librariesBegin = `<!-- libraries: "used by" is written by go test ./tools -run Architecture -update -->` + "\n"
	librariesEnd   = "<!-- end of libraries -->\n"
)

// TestArchitecture compares the two tables of docs/architecture.md with what the packages import.
func TestArchitecture(t *testing.T) {
	b, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	packages, libraries := imports(t)

	rooms := newTable(t, text, packagesBegin, packagesEnd)
	rooms.compare(t, packages, "stands in no row: add one, below what uses it")
	libs := newTable(t, text, librariesBegin, librariesEnd)
	users := make(map[string][]string)
	for _, lib := range slices.Sorted(maps.Keys(libraries)) {
		row := libs.owner(lib)
		if row == "" {
			t.Errorf("%s is used by %s and stands in no row of the libraries", lib, strings.Join(libraries[lib], ", "))
			continue
		}
		for _, p := range libraries[lib] {
			if !slices.Contains(users[row], p) {
				users[row] = append(users[row], p)
			}
		}
	}
	for _, names := range users {
		slices.Sort(names)
	}
	libs.compare(t, users, "stands in no row")

	// No arrow runs back up.
	place := make(map[string]int)
	for i, name := range rooms.names() {
		place[name] = i
	}
	for _, name := range rooms.names() {
		for _, used := range packages[name] {
			if i, ok := place[used]; ok && i <= place[name] {
				t.Errorf("%s uses %s, which stands above it", name, used)
			}
		}
	}
	if *update && !t.Failed() {
		text = libs.put(rooms.put(text))
		if err := os.WriteFile(architecture, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// imports returns the packages that each package of the tree uses, and by which packages each package of another module
// is used, but for those of golang.org/x. Names are without this module's, and without github.com.
func imports(t *testing.T) (packages, libraries map[string][]string) {
	t.Helper()
	packages, libraries = make(map[string][]string), make(map[string][]string)
	// Some files are for one architecture alone.
	for _, arch := range []string{"amd64", "arm64"} {
		list := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles", "./pkg/...", "./cmds/...", "./tools/...")
		list.Dir = ".."
		list.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOARCH="+arch)
		list.Stderr = os.Stderr
		out, err := list.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for d := json.NewDecoder(strings.NewReader(string(out))); ; {
			var p struct {
				ImportPath       string
				Imports, GoFiles []string
			}
			if err := d.Decode(&p); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimPrefix(p.ImportPath, module)
			if strings.HasPrefix(name, "tools") && len(p.GoFiles) == 0 {
				continue // this package
			}
			if !strings.HasPrefix(name, "tools") {
				packages[name] = append(packages[name], ours(p.Imports)...)
			}
			for _, i := range p.Imports {
				host, _, _ := strings.Cut(i, "/")
				if strings.Contains(host, ".") && host != "golang.org" && !strings.HasPrefix(i, module) {
					i = strings.TrimPrefix(i, "github.com/")
					libraries[i] = append(libraries[i], name)
				}
			}
		}
	}
	for _, m := range []map[string][]string{packages, libraries} {
		for k, v := range m {
			slices.Sort(v)
			m[k] = slices.Compact(v)
		}
	}
	return packages, libraries
}

// ours returns the imports that are of this module.
func ours(imports []string) []string {
	var out []string
	for _, i := range imports {
		if name, ok := strings.CutPrefix(i, module); ok {
			out = append(out, name)
		}
	}
	return out
}

// table is a Markdown table whose first column has a name in backquotes. One of the others is compared with the source.
type table struct {
	begin, end string
	rows       [][]string // the cells
	column     int        // that is compared
}

func newTable(t *testing.T, text, begin, end string) *table {
	t.Helper()
	_, rest, ok1 := strings.Cut(text, begin)
	body, _, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has not the lines %q and %q, between which a table stands", architecture, begin, end)
	}
	tb := &table{begin: begin, end: end}
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 3 {
			t.Fatalf("%s: %q has not three cells", architecture, line)
		}
		for i, c := range cells {
			cells[i] = strings.TrimSpace(c)
		}
		tb.rows = append(tb.rows, cells)
	}
	if len(tb.rows) < 3 {
		t.Fatalf("%s: the table below %q is empty", architecture, begin)
	}
	tb.column = max(slices.Index(tb.rows[0], "uses"), slices.Index(tb.rows[0], "used by"))
	return tb
}

// names returns the first cells, below the heading.
func (tb *table) names() []string {
	var out []string
	for _, cells := range tb.rows[2:] {
		out = append(out, strings.Trim(cells[0], "`"))
	}
	return out
}

// owner returns the row of a library: the longest name that is the library's, or begins it.
func (tb *table) owner(library string) string {
	best := ""
	for _, n := range tb.names() {
		if (library == n || strings.HasPrefix(library, n+"/")) && len(n) > len(best) {
			best = n
		}
	}
	return best
}

// compare reports names that only one side has, and rows whose column differs from want. With -update it sets the
// column.
func (tb *table) compare(t *testing.T, want map[string][]string, missing string) {
	t.Helper()
	names := tb.names()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !slices.Contains(names, name) {
			t.Errorf("%s: %s %s", architecture, name, missing)
		}
	}
	for i, name := range names {
		used, ok := want[name]
		if !ok || slices.Index(names, name) != i {
			t.Errorf("%s: the row %s stands twice, or nothing in the source has or uses it", architecture, name)
			continue
		}
		cell := strings.ReplaceAll(strings.Join(used, ", "), "pkg/", "")
		if *update {
			tb.rows[2+i][tb.column] = cell
		} else if have := tb.rows[2+i][tb.column]; have != cell {
			t.Errorf("%s: %s: the row says %q, the source %q; -update writes it", architecture, name, have, cell)
		}
	}
}

// put returns text with the table as it is now.
func (tb *table) put(text string) string {
	var b strings.Builder
	for _, cells := range tb.rows {
		b.WriteString(strings.ReplaceAll("| "+strings.Join(cells, " | ")+" |\n", "  ", " "))
	}
	head, rest, _ := strings.Cut(text, tb.begin)
	_, tail, _ := strings.Cut(rest, tb.end)
	return head + tb.begin + "\n" + b.String() + "\n" + tb.end + tail
}
