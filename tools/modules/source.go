package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/modinfo"
)

// source is a kernel's module directory.
type source struct {
	dir     string
	byName  map[string]*module
	ordered []*module       // by path
	builtin map[string]bool // names of built-in modules
}

func openSource(dir string) (*source, error) {
	s := &source{dir: dir, byName: make(map[string]*module), builtin: make(map[string]bool)}
	err := filepath.WalkDir(filepath.Join(dir, "kernel"), func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := modinfo.Name(file)
		if name == "" || d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		m := &module{name: name, path: rel[:strings.LastIndex(rel, ".ko")] + ".ko", file: file}
		s.byName[name] = m
		s.ordered = append(s.ordered, m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(s.ordered) == 0 {
		return nil, fmt.Errorf("no kernel modules in %s", dir)
	}

	b, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		s.builtin[modinfo.Name(lines.Text())] = true
	}
	return s, nil
}

// choose returns the modules at the given paths with all their hard and soft
// dependencies, sorted by path.
func (s *source) choose(paths []string) ([]*module, error) {
	chosen := make(map[*module]bool)
	var add func(m *module) error
	add = func(m *module) error {
		if chosen[m] {
			return nil
		}
		chosen[m] = true
		info, err := m.load()
		if err != nil {
			return err
		}
		for _, name := range info.Depends {
			name = strings.ReplaceAll(name, "-", "_")
			dep := s.byName[name]
			if dep == nil && s.builtin[name] {
				continue
			}
			if dep == nil {
				return fmt.Errorf("module %s depends on %s, which is not in %s", m.name, name, s.dir)
			}
			if err := add(dep); err != nil {
				return err
			}
		}
		for _, name := range info.Softdeps {
			deps, err := s.resolve(name)
			if err != nil {
				return err
			}
			for _, dep := range deps {
				if err := add(dep); err != nil {
					return err
				}
			}
		}
		return nil
	}

	for _, m := range s.ordered {
		if slices.ContainsFunc(paths, func(p string) bool {
			return strings.TrimSuffix(m.path, ".ko") == p || strings.HasPrefix(m.path, p+"/")
		}) {
			if err := add(m); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(s.ordered), func(m *module) bool { return !chosen[m] }), nil
}

// resolve returns the modules for the name of a soft dependency: the module with
// that name, or all modules with that alias. It is no error if there are none,
// because the dependency is soft.
func (s *source) resolve(name string) ([]*module, error) {
	name = strings.ReplaceAll(name, "-", "_")
	if m := s.byName[name]; m != nil {
		return []*module{m}, nil
	}
	if s.builtin[name] {
		return nil, nil
	}
	var found []*module
	for _, m := range s.ordered {
		info, err := m.load()
		if err != nil {
			return nil, err
		}
		for _, alias := range info.Aliases {
			ok, err := path.Match(strings.ReplaceAll(alias, "-", "_"), name)
			if err == nil && ok {
				found = append(found, m)
				break
			}
		}
	}
	return found, nil
}

// installIndexes copies the files that depmod(8) reads beside the modules: the
// order of the modules, which decides between two drivers for one device, and the
// lists of built-in modules.
func (s *source) installIndexes(dir string) error {
	for _, name := range []string{"modules.order", "modules.builtin", "modules.builtin.modinfo"} {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	return nil
}

// dropUnread removes the indexes that nothing in the initramfs reads: kmod's
// binary forms, the symbols, and the order, which only depmod needs.
func dropUnread(dir string) error {
	binary, err := filepath.Glob(filepath.Join(dir, "modules.*.bin"))
	if err != nil {
		return err
	}
	for _, name := range []string{"modules.symbols", "modules.devname", "modules.order"} {
		binary = append(binary, filepath.Join(dir, name))
	}
	for _, file := range binary {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
