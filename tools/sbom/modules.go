package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// A module is what "go list" prints of one.
type module struct {
	Path, Version, Sum, Dir string
	Main                    bool
	Replace                 *module
}

// modules returns the standard library, and the Go modules of packages and of all that they import. The busybox does
// not name its modules itself: it is compiled outside a module.
func (c *cmd) modules(patterns []string) ([]part, error) {
	args := append([]string{"list", "-deps", "-json=Module", "-tags", c.tags}, patterns...)
	list := exec.Command("go", args...)
	list.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOARCH="+c.arch)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	parts := []part{standardLibrary()}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ Module *module }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Module == nil || p.Module.Main {
			continue
		}
		m := *p.Module
		if m.Replace != nil {
			m = *m.Replace
		}
		parts = append(parts, m.part())
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.pkg.ID, b.pkg.ID) })
	parts = slices.CompactFunc(parts, func(a, b part) bool { return a.pkg.ID == b.pkg.ID })
	for i := range parts {
		if parts[i].texts, err = licenses(parts[i].texts[0]); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// part returns the entry of a module, still with its directory in the place of its licences.
func (m *module) part() part {
	return part{
		pkg: spdxPackage{
			Name:             m.Path,
			ID:               "SPDXRef-Go-" + identifier(m.Path+"-"+m.Version),
			Version:          m.Version,
			DownloadLocation: noAssertion,
			SourceInfo:       "go.sum: " + m.Sum,
			LicenseConcluded: noAssertion,
			Copyright:        noAssertion,
			References:       []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + m.Path + "@" + m.Version}},
		},
		texts: []string{m.Dir},
	}
}

// standardLibrary is the part that Go itself is of each program.
func standardLibrary() part {
	version := strings.TrimPrefix(runtime.Version(), "go")
	m := module{Path: "stdlib", Version: version, Dir: goroot()}
	p := m.part()
	p.pkg.SourceInfo = "the Go distribution " + runtime.Version()
	return p
}

// goroot returns the directory of the Go distribution. "go run" does not tell it to the program.
func goroot() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// licenseFile matches the names of the files with licences at the top of a module.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// licenses returns the texts of the licences in a directory.
func licenses(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the licence of a module: %w", err)
	}
	var texts []string
	for _, e := range entries {
		if !e.Type().IsRegular() || !licenseFile.MatchString(e.Name()) || filepath.Ext(e.Name()) == ".go" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, strings.ToValidUTF8(string(b), "�"))
	}
	return texts, nil
}
