package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// debian returns the packages in a file of tools/stanza.
func debian(list string) ([]part, error) {
	b, err := os.ReadFile(list)
	if err != nil {
		return nil, fmt.Errorf("the list of packages that make has unpacked: %w", err)
	}
	var parts []part
	for paragraph := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n\n") {
		fields := make(map[string]string)
		for line := range strings.Lines(paragraph) {
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.TrimSpace(value)
		}
		p, err := debianPart(fields, filepath.Dir(list))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// debianPart returns the entry of a package whose files are below a directory. Its file copyright says what of it is
// under which licence.
func debianPart(fields map[string]string, root string) (part, error) {
	name, version, arch := fields["Package"], fields["Version"], fields["Architecture"]
	if name == "" || version == "" || arch == "" {
		return part{}, fmt.Errorf("a paragraph has no Package, Version or Architecture: %q", fields)
	}
	text, err := os.ReadFile(filepath.Join(root, "usr/share/doc", name, "copyright"))
	if err != nil {
		return part{}, fmt.Errorf("the licence of %s: %w", name, err)
	}
	p := part{
		texts: []string{strings.ToValidUTF8(string(text), "�")},
		pkg: spdxPackage{
			Name:             name,
			ID:               "SPDXRef-Debian-" + identifier(name+"-"+version+"-"+arch),
			Version:          version,
			DownloadLocation: noAssertion,
			SourceInfo:       sourceOf(fields),
			LicenseConcluded: noAssertion,
			Copyright:        noAssertion,
			References: []reference{{"PACKAGE-MANAGER", "purl", fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s",
				name, url.QueryEscape(version), arch)}},
		},
	}
	if sum := fields["SHA256"]; sum != "" {
		p.pkg.Checksums = []checksum{{"SHA256", sum}}
	}
	return p, nil
}

// sourceOf says where the source of a package is. What Debian signs is a package of its own, and Built-Using names the
// source of what was signed.
func sourceOf(fields map[string]string) string {
	var out []string
	for source := range strings.SplitSeq(fields["Source"]+","+fields["Built-Using"], ",") {
		name, version, ok := strings.Cut(strings.TrimSpace(source), " ")
		version = strings.Trim(version, "(= )")
		if ok {
			out = append(out, fmt.Sprintf("source package %s %s: https://snapshot.debian.org/package/%s/%s/",
				name, version, name, url.PathEscape(version)))
		}
	}
	return strings.Join(out, "; ")
}
