package examples

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instruction is one instruction of a Containerfile.
type instruction struct {
	name string // in capitals
	text string // the rest, with continued lines joined
	line int
}

// instructions are all that Containerfiles may have: docs.docker.com/reference/dockerfile.
var instructions = []string{
	"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "ONBUILD", "RUN", "SHELL",
	"STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}

// parse reads a Containerfile. It is stricter than builders: an instruction is in capitals, and nothing is continued
// behind the end. A comment between continued lines is left out, as builders do.
func parse(text string) ([]instruction, error) {
	var all []instruction
	var open *instruction
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "#") || trimmed == "" {
			if trimmed == "" && open != nil {
				return nil, fmt.Errorf("line %d is empty and continues line %d", i+1, open.line)
			}
			continue
		}
		part, continued := strings.CutSuffix(strings.TrimRight(line, " "), `\`)
		if open == nil {
			name, rest, _ := strings.Cut(part, " ")
			if !slices.Contains(instructions, name) {
				return nil, fmt.Errorf("line %d begins with %q, which is no instruction", i+1, name)
			}
			all = append(all, instruction{name, rest, i + 1})
			open = &all[len(all)-1]
		} else {
			open.text += part
		}
		if strings.Contains(part, "<<") && !strings.Contains(part, "<<<") {
			return nil, fmt.Errorf("line %d has a here-document, which older builders do not know", i+1)
		}
		if !continued {
			open.text = strings.TrimSpace(open.text)
			open = nil
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d continues behind the end", open.line)
	}
	return all, nil
}

// recipes returns the Containerfiles of all examples, by the name of the example.
func recipes(t *testing.T) map[string][]instruction {
	t.Helper()
	files, err := filepath.Glob("*/Containerfile")
	if err != nil || len(files) < 7 {
		t.Fatalf("%q, %v", files, err)
	}
	all := map[string][]instruction{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := parse(string(b))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Dir(file)] = steps
	}
	return all
}

// TestContainerfiles holds what can be known without a build: each is complete, copies only what is there, installs
// without leaving anything behind, and contains no secret.
func TestContainerfiles(t *testing.T) {
	for name, steps := range recipes(t) {
		for _, problem := range append(complete(steps), problems(steps, ".")...) {
			t.Errorf("%s/Containerfile: %s", name, problem)
		}
		text, err := os.ReadFile(name + "/Containerfile")
		if err != nil {
			t.Fatal(err)
		}
		// The build that the comment names has the directory of all examples as its context.
		if head, _, _ := strings.Cut(string(text), "\nARG"); !strings.Contains(head, "-f examples/"+name+"/Containerfile "+
			"examples") {
			t.Errorf("%s/Containerfile does not begin with how it is built: %q", name, head)
		}
	}
}

// complete returns what is wrong with the stages of a Containerfile.
func complete(steps []instruction) (all []string) {
	args, from := map[string]bool{}, false
	variable := regexp.MustCompile(`\$\{?([A-Za-z_]+)`)
	for _, s := range steps {
		switch s.name {
		case "ARG":
			name, value, _ := strings.Cut(s.text, "=")
			args[name] = true
			// A registry's name has a dot or a port before the first slash.
			if host, _, ok := strings.Cut(value, "/"); ok && strings.ContainsAny(host, ".:") && host != "registry.example" {
				all = append(all, fmt.Sprintf("line %d: ARG %s names a registry", s.line, name))
			}
		case "FROM":
			from = true
			words := strings.Fields(s.text)
			for _, m := range variable.FindAllStringSubmatch(words[0], -1) {
				if !args[m[1]] {
					all = append(all, fmt.Sprintf("line %d: FROM uses %s, and no ARG before it does", s.line, m[1]))
				}
			}
			if len(words) != 1 && !(len(words) == 3 && words[1] == "AS") {
				all = append(all, fmt.Sprintf("line %d: FROM %s", s.line, s.text))
			}
		default:
			if !from {
				all = append(all, fmt.Sprintf("line %d: %s before FROM", s.line, s.name))
			}
		}
	}
	if !from {
		all = append(all, "no FROM")
	}
	return all
}

// secret matches what must not be in an image that others can pull.
var secret = regexp.MustCompile(`PRIVATE KEY|chpasswd|(?i:password|passwd|secret|token) *=`)

// problems returns what is wrong with single instructions. context is the directory of the build.
func problems(steps []instruction, context string) (all []string) {
	say := func(s instruction, format string, args ...any) {
		all = append(all, fmt.Sprintf("line %d: ", s.line)+fmt.Sprintf(format, args...))
	}
	last := 0 // the stage that becomes the image
	for i, s := range steps {
		if s.name == "FROM" {
			last = i
		}
	}
	for i, s := range steps {
		if m := secret.FindString(s.text); m != "" {
			say(s, "it has a secret, or the place for one: %q", m)
		}
		switch s.name {
		case "COPY":
			for _, source := range sources(s) {
				if found, err := filepath.Glob(filepath.Join(context, source)); err != nil || len(found) == 0 {
					say(s, "%s is not in the context", source)
				}
			}
		case "RUN":
			for _, text := range leftovers(s.text) {
				if i > last {
					say(s, "%s", text)
				}
			}
		case "ADD":
			say(s, "ADD fetches and unpacks; use COPY")
		}
	}
	return all
}

// sources returns what a COPY takes from the context.
func sources(s instruction) []string {
	words := strings.Fields(s.text)
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		if strings.HasPrefix(words[0], "--from=") {
			return nil
		}
		words = words[1:]
	}
	return words[:max(0, len(words)-1)]
}

// leftovers returns what a command that installs packages leaves in its layer, or asks a person.
func leftovers(command string) (all []string) {
	for _, m := range []struct {
		install string
		needs   []string
	}{
		{"apt-get install", []string{"apt-get update", "install -y --no-install-recommends", "rm -rf /var/lib/apt/lists/*"}},
		{"dnf install", []string{"install -y --setopt=install_weak_deps=False", "dnf clean all"}},
		{"pacman -S", []string{"--noconfirm", "rm -rf /var/cache/pacman/pkg/* /var/lib/pacman/sync/*"}},
		{"apk add", []string{"--no-cache"}},
		{"zypper install", []string{"--non-interactive", "zypper clean --all"}},
	} {
		if !strings.Contains(command, m.install) {
			continue
		}
		for _, needed := range m.needs {
			if !strings.Contains(command, needed) {
				all = append(all, fmt.Sprintf("%s without %s", m.install, needed))
			}
		}
	}
	return all
}

// The checks find what they are for.
func TestProblems(t *testing.T) {
	for text, want := range map[string]string{
		"ARG BASE\nFROM ${BASE}\nRUN true\n":                          "",
		"FROM ${BASE}\n":                                              "no ARG before it",
		"ARG BASE=quay.example.com/x/y\nFROM ${BASE}\n":               "names a registry",
		"RUN true\nFROM a\n":                                          "before FROM",
		"RUN true\n":                                                  "no FROM",
		"FROM a\nCOPY nothing/ /\n":                                   "nothing/ is not in the context",
		"FROM a\nCOPY common/root/ /\nCOPY --from=x /nothing /\n":     "",
		"FROM a\nRUN echo root:x | chpasswd\n":                        "secret",
		"FROM a\nENV REGISTRY_TOKEN=x\n":                              "secret",
		"FROM a AS b\nRUN apt-get install x\nFROM scratch\n":          "",
		"FROM a\nRUN apt-get update && apt-get install -y x\n":        "apt-get install without",
		"FROM a\nRUN dnf install -y --setopt=install_weak_deps=False": "without dnf clean all",
		"FROM a\nRUN pacman -Syu --noconfirm x && pacman -Scc":        "without rm -rf",
		"FROM a\nRUN apk add x\n":                                     "without --no-cache",
		"FROM a\nADD https://registry.example/x /\n":                  "use COPY",
	} {
		steps, err := parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got := strings.Join(append(complete(steps), problems(steps, ".")...), "\n")
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: problems %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"FROM a\nRUN a \\\n":          "behind the end",
		"FROM a\nRUN a \\\n\n && b\n": "is empty",
		"from a\n":                    "no instruction",
		"FROM a\nRUN cat <<E\nE\n":    "here-document",
		"FROM a\n && b\n":             "no instruction",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	steps, err := parse("# x\nFROM a\nRUN a \\\n # y\n && b \\\n && c\n")
	if err != nil || len(steps) != 2 || steps[1] != (instruction{"RUN", "a  && b  && c", 3}) {
		t.Errorf("%+v, %v", steps, err)
	}
}
