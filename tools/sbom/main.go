// Sbom writes what the files of a release are made of, as an SPDX document (version 2.3, JSON).
//
// Synopsis:
//
//	sbom -version VERSION -o FILE [OPTION]... FILE=GROUP[,GROUP]...
//
// Description:
//
//	The document names each FILE with its checksums, and the packages that the FILE contains. These come in groups: Go
//	modules that are linked into the programs, and packages of Debian. With each package come its version, where its
//	source is, and the text of its licence, because most licences ask for that text to be passed on. The same input
//	gives the same bytes.
//
// Options:
//
//	-version:  the version of Wyrcan
//	-commit:   the commit that it is built from
//	-arch:     the architecture that the programs are for, as GOARCH names it
//	-tags:     the build tags of the programs
//	-time:     the time of the document, in seconds since 1970
//	-o:        the file to write
//	-go:       GROUP=PATTERN[,PATTERN]... is a group of the modules of Go packages and of all that they import
//	-debian:   GROUP=FILE is a group of packages of Debian. FILE is written by tools/stanza, and lies at the top of the
//	           directory in which the packages were unpacked
package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

type cmd struct {
	version, commit, arch, tags, output string
	time                                int64
	groups                              map[string][]part // by name
	files                               []string          // FILE=GROUP,...
}

// A part is one package that a file contains, and the licences that it comes with.
type part struct {
	pkg   spdxPackage
	texts []string
}

func main() {
	c, err := command(os.Args)
	if err == nil {
		err = c.run()
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatalf("sbom: %v", err)
	}
}

// command reads the command line, and what its groups name.
func command(args []string) (*cmd, error) {
	c := &cmd{groups: make(map[string][]part)}
	var goGroups, debianGroups []string
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&c.version, "version", "", "the `version` of Wyrcan")
	f.StringVar(&c.commit, "commit", "", "the `commit` that it is built from")
	f.StringVar(&c.arch, "arch", runtime.GOARCH, "the `architecture`, as GOARCH names it")
	f.StringVar(&c.tags, "tags", "", "the build `tags`")
	f.StringVar(&c.output, "o", "", "the `file` to write")
	f.Int64Var(&c.time, "time", 0, "the time of the document, in `seconds` since 1970")
	f.Func("go", "`GROUP=PATTERN,...`: Go packages", appendTo(&goGroups))
	f.Func("debian", "`GROUP=FILE`: packages of Debian", appendTo(&debianGroups))
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if c.files = f.Args(); c.version == "" || c.output == "" || len(c.files) == 0 {
		return nil, errors.New("-version, -o and at least one FILE=GROUP are needed")
	}
	for _, g := range goGroups {
		name, patterns, _ := strings.Cut(g, "=")
		parts, err := c.modules(strings.Split(patterns, ","))
		if err != nil {
			return nil, err
		}
		c.groups[name] = append(c.groups[name], parts...)
	}
	for _, g := range debianGroups {
		name, list, _ := strings.Cut(g, "=")
		parts, err := debian(list)
		if err != nil {
			return nil, err
		}
		c.groups[name] = append(c.groups[name], parts...)
	}
	return c, nil
}

func appendTo(list *[]string) func(string) error {
	return func(value string) error {
		if name, content, ok := strings.Cut(value, "="); !ok || name == "" || content == "" {
			return fmt.Errorf("%q is no GROUP=CONTENT", value)
		}
		*list = append(*list, value)
		return nil
	}
}

func (c *cmd) run() error {
	d := newDocument(c)
	for _, file := range c.files {
		name, groups, _ := strings.Cut(file, "=")
		f, err := describe(name)
		if err != nil {
			return err
		}
		d.addFile(f)
		for g := range strings.SplitSeq(groups, ",") {
			parts, ok := c.groups[g]
			if !ok {
				return fmt.Errorf("%s: there is no group %q; there are %q", file, g, slices.Sorted(maps.Keys(c.groups)))
			}
			for _, p := range parts {
				d.addPart(f, p)
			}
		}
	}
	b, err := json.MarshalIndent(d.finish(), "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.output, append(b, '\n'), 0o644)
}

// describe returns the entry of a file. SPDX asks for SHA-1, and allows more.
func describe(name string) (spdxFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return spdxFile{}, err
	}
	defer f.Close()
	h1, h256 := sha1.New(), sha256.New()
	if _, err := io.Copy(io.MultiWriter(h1, h256), f); err != nil {
		return spdxFile{}, fmt.Errorf("%s: %w", name, err)
	}
	base := filepath.Base(name)
	return spdxFile{
		ID:        "SPDXRef-File-" + identifier(base),
		Name:      "./" + base,
		Types:     []string{"BINARY"},
		License:   noAssertion,
		Copyright: noAssertion,
		Checksums: []checksum{
			{"SHA1", fmt.Sprintf("%x", h1.Sum(nil))},
			{"SHA256", fmt.Sprintf("%x", h256.Sum(nil))},
		},
	}, nil
}

// created returns the time of the document as SPDX writes it.
func (c *cmd) created() string { return time.Unix(c.time, 0).UTC().Format(time.RFC3339) }
