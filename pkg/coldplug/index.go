package coldplug

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// prefixLen is the length of the prefix by which aliases are indexed. It covers
// "pci:v00008086", so a PCI device is compared only with aliases of its vendor.
const prefixLen = 13

// alias is one line of modules.alias. If several modules match a device, the one with
// the earlier line loads first: depmod writes the lines in the order of modules.order,
// in which the kernel would try built-in drivers.
type alias struct {
	pattern, module string
	line            int
}

// index is the content of the files that depmod(8) wrote about the modules of one kernel.
type index struct {
	lines   int                 // of modules.alias so far
	aliases map[string][]alias  // by the literal beginning of the pattern, prefixLen bytes at most
	builtin map[string][]alias  // the same for built-in drivers
	inside  map[string]bool     // names of built-in modules
	deps    map[string][]string // names of all modules that a module needs, by its name
	soft    map[string][]softdep
}

// softdep is a module to load before or after another, by name or alias.
type softdep struct {
	name string
	when when
}

type when bool

const (
	before when = false
	after  when = true
)

func newIndex() *index {
	return &index{
		aliases: make(map[string][]alias),
		builtin: make(map[string][]alias),
		inside:  make(map[string]bool),
		deps:    make(map[string][]string),
		soft:    make(map[string][]softdep),
	}
}

// readIndex reads the index files of a kernel release below root. modules.dep and
// modules.alias must exist.
func readIndex(root, release string) (*index, error) {
	dir := filepath.Join(root, "lib/modules", release)
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Join(root, "usr/lib/modules", release) // where kmodule looks as well
	}
	x := newIndex()
	for _, part := range []struct {
		name     string
		required bool
		add      func(line string)
	}{
		{"modules.dep", true, x.addDep},
		{"modules.alias", true, x.addAlias},
		{"modules.softdep", false, x.addSoftdep},
		{"modules.builtin", false, x.addBuiltin},
	} {
		b, err := os.ReadFile(filepath.Join(dir, part.name))
		if errors.Is(err, fs.ErrNotExist) && !part.required {
			continue
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(bytes.NewReader(b))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			part.add(lines.Text())
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "modules.builtin.modinfo"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range strings.Split(string(b), "\x00") {
		key, pattern, _ := strings.Cut(entry, "=")
		if module, ok := strings.CutSuffix(key, ".alias"); ok {
			put(x.builtin, alias{pattern: pattern, module: module})
		}
	}
	return x, nil
}

func put(to map[string][]alias, a alias) {
	key := literal(a.pattern)
	key = key[:min(len(key), prefixLen)]
	to[key] = append(to[key], a)
}

// addDep adds a line "kernel/a/b-c.ko: kernel/d.ko kernel/e.ko".
func (x *index) addDep(line string) {
	file, rest, ok := strings.Cut(line, ":")
	if !ok {
		return
	}
	deps := []string{}
	for _, dep := range strings.Fields(rest) {
		deps = append(deps, moduleName(dep))
	}
	x.deps[moduleName(file)] = deps
}

// addAlias adds a line "alias PATTERN MODULE". A pattern may contain spaces, a module
// name does not.
func (x *index) addAlias(line string) {
	rest, ok := strings.CutPrefix(line, "alias ")
	if i := strings.LastIndexByte(rest, ' '); ok && i > 0 {
		x.lines++
		put(x.aliases, alias{rest[:i], rest[i+1:], x.lines})
	}
}

// addSoftdep adds a line "softdep MODULE pre: NAME… post: NAME…". Old modules have
// names of crypto algorithms before the first of these words: kmod ignores them.
func (x *index) addSoftdep(line string) {
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "softdep" {
		return
	}
	module := underscored(words[1])
	var when when
	var begun bool
	for _, word := range words[2:] {
		switch {
		case word == "pre:":
			when, begun = before, true
		case word == "post:":
			when, begun = after, true
		case begun:
			x.soft[module] = append(x.soft[module], softdep{word, when})
		}
	}
}

// addBuiltin adds a line "kernel/a/b.ko".
func (x *index) addBuiltin(line string) { x.inside[moduleName(line)] = true }

// lookup returns the modules that match any of the modaliases, each once, in the order
// in which to load them.
func (x *index) lookup(modaliases ...string) []string {
	var found []alias
	for _, m := range modaliases {
		found = append(found, find(x.aliases, m)...)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].line < found[j].line })
	var modules []string
	for _, a := range found {
		if !slices.Contains(modules, a.module) {
			modules = append(modules, a.module)
		}
	}
	return modules
}

// find returns the aliases that a modalias matches.
func find(in map[string][]alias, modalias string) []alias {
	var found []alias
	name := underscored(modalias)
	for n := 0; n <= min(len(name), prefixLen); n++ {
		for _, a := range in[name[:n]] {
			if match(a.pattern, modalias) {
				found = append(found, a)
			}
		}
	}
	return found
}

// resolve returns the module with that name, or the modules with that alias.
func (x *index) resolve(name string) []string {
	if _, ok := x.deps[underscored(name)]; ok {
		return []string{underscored(name)}
	}
	return x.lookup(name)
}

// builtIn reports whether the kernel has the module, or a module with that alias, built in.
func (x *index) builtIn(name string) bool {
	return x.inside[underscored(name)] || len(find(x.builtin, name)) > 0
}

// plan returns a module and its soft dependencies in the order in which to load
// them. It includes the soft dependencies of those modules and of all modules that
// they need.
func (x *index) plan(module string) []string {
	var plan []string
	seen := make(map[string]bool)
	var add func(module string)
	add = func(module string) {
		if seen[module] {
			return
		}
		seen[module] = true
		needs := append(slices.Clone(x.deps[module]), module)
		for _, when := range []when{before, after} {
			if when == after {
				plan = append(plan, module)
			}
			for _, m := range needs {
				for _, dep := range x.soft[m] {
					if dep.when != when {
						continue
					}
					for _, name := range x.resolve(dep.name) {
						add(name)
					}
				}
			}
		}
	}
	add(module)
	return plan
}

// moduleName returns the name of the module in a file, as the kernel writes it.
func moduleName(file string) string {
	base, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return underscored(base)
}

func underscored(s string) string { return strings.ReplaceAll(s, "-", "_") }
