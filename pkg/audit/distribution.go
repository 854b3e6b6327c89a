package audit

import (
	"slices"
	"strings"
)

// family is a family of distributions, which share package managers and the names of packages and units.
type family string

const (
	debian  family = "debian"
	ubuntu  family = "ubuntu"
	fedora  family = "fedora"
	rhel    family = "rhel"
	arch    family = "arch"
	suse    family = "suse"
	alpine  family = "alpine"
	unknown family = ""
)

// familyOf finds out the family by a text that os-release(5) describes.
func familyOf(osRelease string) family {
	values := assignments(osRelease)
	known := []struct {
		id string
		is family
	}{
		{"ubuntu", ubuntu}, {"debian", debian}, {"centos", rhel}, {"rhel", rhel}, {"fedora", fedora}, {"arch", arch},
		{"archarm", arch}, {"alpine", alpine}, {"postmarketos", alpine}, {"opensuse", suse}, {"suse", suse},
	}
	ids := append([]string{values["ID"]}, strings.Fields(values["ID_LIKE"])...)
	for _, id := range ids {
		for _, k := range known {
			if id == k.id || strings.HasPrefix(id, k.id+"-") {
				return k.is
			}
		}
	}
	return unknown
}

// apt, dnf report which package manager the family has.
func (f family) apt() bool { return f == debian || f == ubuntu }
func (f family) dnf() bool { return f == fedora || f == rhel }

// install returns the line of a Containerfile that installs packages.
func (f family) install(packages ...string) string {
	slices.Sort(packages)
	list := strings.Join(slices.Compact(packages), " ")
	switch {
	case f.apt():
		return "RUN apt-get update \\\n && apt-get install -y --no-install-recommends " + list +
			" \\\n && apt-get clean \\\n && rm -rf /var/lib/apt/lists/*"
	case f.dnf():
		return "RUN dnf install -y --setopt=install_weak_deps=False " + list +
			" \\\n && dnf clean all \\\n && rm -rf /var/cache/*dnf*"
	case f == arch:
		return "RUN pacman -Sy --noconfirm --needed " + list +
			" \\\n && rm -rf /var/cache/pacman/pkg/* /var/lib/pacman/sync/*"
	case f == suse:
		return "RUN zypper --non-interactive install --no-recommends " + list + " \\\n && zypper clean --all"
	case f == alpine:
		return "RUN apk add --no-cache " + list
	}
	return "# Install " + list + "."
}

// assignments reads NAME=VALUE lines, as in os-release(5) and in the files of /etc/default and /etc/selinux. A later
// line wins.
func assignments(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		values[strings.TrimSpace(name)] = strings.Trim(strings.TrimSpace(value), `"'`)
	}
	return values
}

// fields returns the words of each line that is no comment. A comment begins with # at the beginning of a word.
func fields(text string) [][]string {
	var all [][]string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		for i, w := range words {
			if strings.HasPrefix(w, "#") {
				words = words[:i]
				break
			}
		}
		if len(words) > 0 {
			all = append(all, words)
		}
	}
	return all
}
