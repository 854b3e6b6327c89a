// Package registries says where an image is pulled from: it reads containers-registries.conf(5), version 2, and turns a
// reference into the places to ask, mirrors first.
//
// It follows containers/image, which podman and skopeo use: which entry fits a reference, what a mirror's name is
// rewritten to, and which of two files counts. It does not search registries for names without a host, and knows no
// aliases: Wyrcan takes a name without a host to be one at docker.io. It asks no registry itself.
package registries

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// File and Dir are where containers-registries.conf(5) has its files. Those of Dir whose names end in ".conf" count
// after File, in the order of their names.
const (
	File = "etc/containers/registries.conf"
	Dir  = "etc/containers/registries.conf.d"
)

const (
	maxFile    = 1 << 20 // bytes of one file
	maxFiles   = 256     // in Dir
	maxEntries = 1000    // of one file
	maxMirrors = 16      // of one registry
)

// Config says how registries are reached. The zero value has every registry asked itself.
type Config struct {
	registries []registry // each prefix once
}

// registry is an entry of the configuration, in the terms of containers-registries.conf(5).
type registry struct {
	prefix     string
	location   string
	insecure   bool
	blocked    bool
	digestOnly bool // mirror-by-digest-only
	mirrors    []mirror
	file       string // where it stands
}

type mirror struct {
	location string
	insecure bool
	pull     string // pull-from-mirror
}

// Place is where an image may be had.
type Place struct {
	Ref      string // the image's reference there
	Insecure bool   // plain HTTP, or a certificate that nobody verifies, is allowed
	Mirror   bool   // it is not the origin
}

// Blocked is the error for an image that the configuration forbids to pull.
type Blocked struct {
	Ref, Prefix, File string
}

func (b *Blocked) Error() string {
	return fmt.Sprintf("%s is not to be pulled: %s blocks %s", b.Ref, b.File, b.Prefix)
}

// Read reads the configuration below a root directory. Files that are missing are none. The error names the file.
func Read(root fs.FS) (Config, error) {
	names := []string{File}
	entries, err := fs.ReadDir(root, Dir)
	if err == nil && len(entries) > maxFiles {
		return Config{}, fmt.Errorf("/%s: more than %d files", Dir, maxFiles)
	}
	for _, e := range entries { // sorted by name
		if strings.HasSuffix(e.Name(), ".conf") && !e.IsDir() {
			names = append(names, path.Join(Dir, e.Name()))
		}
	}
	var c Config
	for _, name := range names {
		text, err := read(root, name)
		if err != nil {
			return Config{}, err
		}
		list, err := parse(text)
		if err != nil {
			return Config{}, fmt.Errorf("/%s: %w", name, err)
		}
		for _, r := range list {
			r.file = "/" + name
			c.set(r)
		}
	}
	return c, nil
}

func read(root fs.FS, name string) (string, error) {
	b, err := smallfile.Read(root, name, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("/%s: %w", name, err)
	}
	return string(b), nil
}

// set adds an entry. It replaces the whole of one with the same prefix.
func (c *Config) set(r registry) {
	for i := range c.registries {
		if c.registries[i].prefix == r.prefix {
			c.registries[i] = r
			return
		}
	}
	c.registries = append(c.registries, r)
}

// parse reads one file.
func parse(text string) ([]registry, error) {
	file, err := parseTOML(text)
	if err != nil {
		return nil, err
	}
	if v1, ok := file.find("registries").(*table); ok && len(v1.values) > 0 {
		return nil, errors.New("[registries.…] is version 1 of the form; " +
			"write [[registry]] entries, as containers-registries.conf(5) has them")
	}
	var entries tables
	if err := file.fill(map[string]any{"registry": &entries}); err != nil {
		return nil, err
	}
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("more than %d [[registry]] entries", maxEntries)
	}
	var list []registry
	for _, e := range entries {
		r, err := parseRegistry(e)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, agree(list)
}

// parseRegistry reads a [[registry]].
func parseRegistry(t *table) (registry, error) {
	var r registry
	var prefix, at string
	var mirrors tables
	err := t.fill(map[string]any{
		"prefix": &prefix, "location": &at, "insecure": &r.insecure, "blocked": &r.blocked,
		"mirror-by-digest-only": &r.digestOnly, "mirror": &mirrors,
	})
	if err != nil {
		return r, err
	}
	if r.location, err = location(at); err != nil {
		return r, err
	}
	if r.prefix, err = location(prefix); err != nil {
		return r, err
	}
	switch {
	case r.prefix == "" && r.location == "":
		return r, errors.New("a [[registry]] has neither a prefix nor a location")
	case r.prefix == "":
		r.prefix = r.location
	case r.location == "" && !wildcard(r.prefix):
		r.location = r.prefix
	}
	switch {
	case strings.Contains(r.location, "*"):
		return r, fmt.Errorf("the location %q has a star: only a prefix may have one", r.location)
	case strings.Contains(r.prefix, "*") && !wildcard(r.prefix):
		return r, fmt.Errorf("the prefix %q is not valid: a star stands at the beginning, as in *.example.com", r.prefix)
	case len(mirrors) > maxMirrors:
		return r, fmt.Errorf("%s has more than %d mirrors", r.prefix, maxMirrors)
	}
	for _, t := range mirrors {
		m, err := parseMirror(t, &r)
		if err != nil {
			return r, err
		}
		r.mirrors = append(r.mirrors, m)
	}
	return r, nil
}

// parseMirror reads a [[registry.mirror]] of r.
func parseMirror(t *table, r *registry) (m mirror, err error) {
	var at string
	err = t.fill(map[string]any{"location": &at, "insecure": &m.insecure, "pull-from-mirror": &m.pull})
	if err != nil {
		return m, err
	}
	if m.location, err = location(at); err != nil {
		return m, err
	}
	switch {
	case m.location == "" || strings.Contains(m.location, "*"):
		return m, fmt.Errorf("a mirror of %s has no location", r.prefix)
	case !slices.Contains([]string{"", "all", "digest-only", "tag-only"}, m.pull):
		return m, fmt.Errorf("pull-from-mirror = %q of %s: want all, digest-only or tag-only", m.pull, m.location)
	case r.digestOnly && m.pull != "":
		return m, fmt.Errorf("%s has mirror-by-digest-only, so its mirror %s cannot have pull-from-mirror",
			r.prefix, m.location)
	}
	return m, nil
}

// agree refuses what containers/image refuses: two entries for one location of which only one is insecure, or blocked.
func agree(list []registry) error {
	seen := map[string]registry{}
	for _, r := range list {
		s, again := seen[r.location]
		seen[r.location] = r
		switch {
		case !again || r.location == "":
		case r.insecure != s.insecure:
			return fmt.Errorf("%s has two entries, and only one says that it is insecure", r.location)
		case r.blocked != s.blocked:
			return fmt.Errorf("%s has two entries, and only one says that it is blocked", r.location)
		}
	}
	return nil
}

// location checks a host with a path, and takes slashes from its end.
func location(s string) (string, error) {
	s = strings.TrimRight(s, "/")
	if strings.Contains(s, "://") {
		return "", fmt.Errorf("the location %q has a scheme: write the host and path alone, and insecure = true for http", s)
	}
	if !printable.Visible(s) {
		return "", fmt.Errorf("the location %q has characters that no name of an image has", s)
	}
	return s, nil
}

func wildcard(prefix string) bool {
	return strings.HasPrefix(prefix, "*.") && !strings.Contains(prefix[1:], "*")
}

// AddMirrors puts mirrors before those that the configuration has for the registry host: those of wyr.mirror=, say.
// Each is a host, with a path if the images are below one there.
func (c *Config) AddMirrors(host string, mirrors ...string) error {
	host, err := location(host)
	if err != nil {
		return err
	}
	if host == "" {
		return fmt.Errorf("a mirror must be one of a registry")
	}
	r := registry{prefix: host, location: host}
	if i := slices.IndexFunc(c.registries, func(r registry) bool { return r.prefix == host }); i >= 0 {
		r = c.registries[i]
	}
	var added []mirror
	for _, m := range mirrors {
		at, err := location(m)
		if err != nil {
			return err
		}
		if at == "" || strings.Contains(at, "*") {
			return fmt.Errorf("%q is no name of a mirror", m)
		}
		added = append(added, mirror{location: at})
	}
	if len(added)+len(r.mirrors) > maxMirrors {
		return fmt.Errorf("%s has more than %d mirrors", host, maxMirrors)
	}
	r.mirrors = append(added, r.mirrors...)
	c.registries = slices.Clone(c.registries)
	c.set(r)
	return nil
}

// Places returns where the image may be had, in the order in which to ask. ref is complete: it names the host, and
// docker.io by that name, and a tag or a digest. Where the configuration forbids the image, the error is a *Blocked.
func (c Config) Places(ref string) ([]Place, error) {
	var best *registry
	for i := range c.registries {
		r := &c.registries[i]
		if fits(ref, r.prefix) >= 0 && (best == nil || len(r.prefix) > len(best.prefix)) {
			best = r
		}
	}
	if best == nil {
		return []Place{{Ref: ref}}, nil
	}
	if best.blocked {
		return nil, &Blocked{ref, best.prefix, best.file}
	}
	var places []Place
	_, _, digested := strings.Cut(ref, "@")
	for _, m := range best.mirrors {
		if !digested && (best.digestOnly || m.pull == "digest-only") || digested && m.pull == "tag-only" {
			continue
		}
		places = append(places, Place{Ref: best.rewrite(ref, m.location), Insecure: m.insecure, Mirror: true})
	}
	return append(places, Place{Ref: best.rewrite(ref, best.location), Insecure: best.insecure}), nil
}

// rewrite puts a location in the place of the prefix. A prefix with a star and without a location leaves the name as it
// is.
func (r *registry) rewrite(ref, to string) string {
	if to == "" {
		return ref
	}
	return to + ref[fits(ref, r.prefix):]
}

// fits returns how much of the reference the prefix covers, -1 if it does not fit. A prefix ends where a part of the
// name does. As in containers/image, that may be before a port: "example.com" is a prefix of "example.com:5000/image".
func fits(ref, prefix string) int {
	end := len(prefix)
	if rest, star := strings.CutPrefix(prefix, "*"); star { // "*.example.com" covers the host's subdomains
		at := strings.Index(ref, rest)
		if at < 0 || strings.Contains(ref[:at], "/") {
			return -1
		}
		end = at + len(rest)
	} else if !strings.HasPrefix(ref, prefix) {
		return -1
	}
	if end == len(ref) || strings.IndexByte(":/@", ref[end]) >= 0 {
		return end
	}
	return -1
}
