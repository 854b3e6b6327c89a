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
	"strings"
)

// prefixLen is by how many bytes aliases are sorted into buckets: enough for
// "pci:v00008086", which leaves a PCI device only its own vendor's to try.
const prefixLen = 13

// alias is one line of modules.alias. Where several modules serve a device, the one
// with the earlier line goes first: depmod writes them in the order of modules.order,
// in which the kernel would try them if they were built in.
type alias struct {
	pattern, module string
	line            int
}

// index is what depmod(8) wrote about one kernel's modules.
type index struct {
	lines   int                 // of modules.alias so far
	aliases map[string][]alias  // by the literal beginning of the pattern, prefixLen bytes at most
	builtin map[string][]alias  // the same of what the kernel has inside
	inside  map[string]bool     // names of what the kernel has inside
	deps    map[string][]string // names of all that a module needs, by its name
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

// readIndex reads the indexes of the kernel release below root. modules.dep and
// modules.alias must be there.
func readIndex(root, release string) (*index, error) {
	dir := filepath.Join(root, "lib/modules", release)
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Join(root, "usr/lib/modules", release) // where kmodule looks next
	}
	x := &index{
		aliases: make(map[string][]alias),
		builtin: make(map[string][]alias),
		inside:  make(map[string]bool),
		deps:    make(map[string][]string),
		soft:    make(map[string][]softdep),
	}
	for _, part := range []struct {
		name     string
		required bool
		take     func(line string)
	}{
		{"modules.dep", true, x.takeDep},
		{"modules.alias", true, x.takeAlias},
		{"modules.softdep", false, x.takeSoftdep},
		{"modules.builtin", false, x.takeBuiltin},
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
			part.take(lines.Text())
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

// takeDep takes "kernel/a/b-c.ko: kernel/d.ko kernel/e.ko".
func (x *index) takeDep(line string) {
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

// takeAlias takes "alias PATTERN MODULE". A pattern may hold blanks, a module not.
func (x *index) takeAlias(line string) {
	rest, ok := strings.CutPrefix(line, "alias ")
	if i := strings.LastIndexByte(rest, ' '); ok && i > 0 {
		x.lines++
		put(x.aliases, alias{rest[:i], rest[i+1:], x.lines})
	}
}

// takeSoftdep takes "softdep MODULE pre: NAME… post: NAME…". A name before
// either word is what old modules wrote for crypto algorithms: kmod ignores it.
func (x *index) takeSoftdep(line string) {
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

// takeBuiltin takes "kernel/a/b.ko".
func (x *index) takeBuiltin(line string) { x.inside[moduleName(line)] = true }

// lookup returns the modules that serve any of the modaliases, each once, in the order
// in which they are to be loaded.
func (x *index) lookup(modaliases ...string) []string {
	var found []alias
	for _, m := range modaliases {
		found = append(found, find(x.aliases, m)...)
	}
	slices.SortFunc(found, func(a, b alias) int { return a.line - b.line })
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

// resolve returns the module of that name, or those that have it as an alias.
func (x *index) resolve(name string) []string {
	if _, ok := x.deps[underscored(name)]; ok {
		return []string{underscored(name)}
	}
	return x.lookup(name)
}

// builtIn says whether the kernel has the module or alias inside.
func (x *index) builtIn(name string) bool {
	return x.inside[underscored(name)] || len(find(x.builtin, name)) > 0
}

// plan returns a module among its soft dependencies, in the order in which to
// load them: its own, theirs, and those of all modules that each needs.
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

// moduleName gives the name of a module file, as the kernel writes it.
func moduleName(file string) string {
	base, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return underscored(base)
}

func underscored(s string) string { return strings.ReplaceAll(s, "-", "_") }
