package main

import (
	"bufio"
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/engines"
)

// The scripts ask this program what a word may become, so they know nothing of its commands.
var (
	//go:embed completion/wyrcan.bash
	bashScript string
	//go:embed completion/wyrcan.zsh
	zshScript string
	//go:embed completion/wyrcan.fish
	fishScript string
)

// shells returns the shells that have a script.
func shells() map[string]string {
	return map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}
}

// completion is "wyrcan completion".
func (c *cmd) completion(_ context.Context, args []string) error {
	f := c.flags("completion", "bash|zsh|fish",
		`Print a script that has a shell complete the commands, options and images of this
tool. make install puts the scripts where the shells look for them. Without that:

  bash   source <(wyrcan completion bash)
  zsh    source <(wyrcan completion zsh)
  fish   wyrcan completion fish | source
`)
	rest, err := f.parse(args, 1, false)
	if err != nil {
		return err
	}
	script, ok := shells()[rest[0]]
	if !ok {
		return usage("completion: there is none for %q: want bash, zsh or fish", rest[0])
	}
	_, err = io.WriteString(c.stdout, script)
	return err
}

// A candidate is what a word may become.
type candidate struct{ word, about string }

// choices is what a shell offers for a word.
type choices struct {
	files bool // the names of files as well, as the shell completes them
	list  []candidate
}

func (c *choices) add(word, about string) { c.list = append(c.list, candidate{word, about}) }

// complete writes what the last of words, the arguments typed so far, may become: files or none in the first line, then
// a word and what it is in each line. After a word that ends in : = or / more is to be typed.
func (c *cmd) complete(ctx context.Context, words []string) error {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	found := c.choose(ctx, words)
	w := bufio.NewWriter(c.stdout)
	fmt.Fprintln(w, map[bool]string{true: "files", false: "none"}[found.files])
	for _, x := range found.list {
		// A name with these characters cannot be passed on by lines.
		if strings.HasPrefix(x.word, last) && !strings.ContainsFunc(x.word, unicode.IsControl) {
			fmt.Fprintf(w, "%s\t%s\n", x.word, x.about)
		}
	}
	return w.Flush()
}

func (c *cmd) choose(ctx context.Context, words []string) (found choices) {
	pages := c.manual(ctx).Commands
	if len(words) == 1 || words[0] == "help" {
		for _, p := range pages {
			found.add(p.Name, p.Summary)
		}
		if len(words) == 1 {
			found.add("help", "tell about a command")
			found.add("version", "tell which wyrcan this is")
		}
		return found
	}
	i := slices.IndexFunc(pages, func(p commandText) bool { return p.Name == words[0] })
	if i < 0 {
		return found
	}
	p, last := pages[i], words[len(words)-1]
	place, open := p.place(words[1 : len(words)-1])
	switch name, value, given := strings.Cut(last, "="); {
	case open != nil:
		return open.choose(ctx, last)
	case strings.HasPrefix(last, "-") && given:
		if o := p.option(name); o != nil {
			found = o.choose(ctx, value)
			found.files = false // the shell would complete the whole word
			for i := range found.list {
				found.list[i].word = name + "=" + found.list[i].word
			}
		}
	case strings.HasPrefix(last, "-"):
		dashes := "-"
		if strings.HasPrefix(last, "--") {
			dashes = "--"
		}
		for _, o := range p.Options {
			found.add(dashes+o.Name, o.About)
		}
	default:
		return argument(ctx, p.argument(place), last)
	}
	return found
}

// option returns the option that a word names, nil if there is none.
func (p commandText) option(word string) *option {
	name := strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-")
	for i, o := range p.Options {
		if o.Name == name {
			return &p.Options[i]
		}
	}
	return nil
}

// place returns how many arguments there are in words, and the option whose value comes next; nil if none does.
func (p commandText) place(words []string) (n int, open *option) {
	for _, w := range words {
		switch {
		case open != nil:
			open = nil
		case !strings.HasPrefix(w, "-"):
			n++
		case !strings.Contains(w, "="):
			if o := p.option(w); o != nil && o.values {
				open = o
			}
		}
	}
	return n, open
}

// argument returns what the synopsis calls the argument at a place, "" if there is none.
func (p commandText) argument(place int) string {
	words := slices.DeleteFunc(strings.Fields(p.Synopsis), func(w string) bool { return w == "[OPTION...]" })
	if place >= len(words) {
		return ""
	}
	return strings.Trim(words[place], "[]")
}

// choose returns what the value of the option may become.
func (o option) choose(ctx context.Context, typed string) (found choices) {
	if strings.Contains(o.About, "IMAGE") && o.Argument == "/PATH" {
		return argument(ctx, "IMAGE", typed)
	}
	return argument(ctx, o.Argument, typed)
}

// argument returns what an argument may become that a help calls kind.
func argument(ctx context.Context, kind, typed string) (found choices) {
	switch {
	case kind == "IMAGE":
		return images(ctx, typed)
	case kind == "ARCHITECTURE":
		found.add("amd64", "")
		found.add("arm64", "")
	case kind == "FORM":
		for _, root := range config.Roots {
			found.add(root, "")
		}
	case strings.Contains(kind, "FILE"), strings.Contains(kind, "DIR"):
		found.files = true
	case kind == "bash|zsh|fish", kind == "yes|no":
		for _, name := range strings.Split(kind, "|") {
			found.add(name, "")
		}
	}
	return found
}

// images returns what the name of an image may become.
func images(ctx context.Context, typed string) (found choices) {
	prefix, rest, given := strings.Cut(typed, ":")
	switch {
	case !given:
		found.files = true
		for _, f := range forms() {
			found.add(f.prefix+":", f.about)
		}
		found.add("docker://", "an image at a registry")
	case engines.Has(typed):
		for _, name := range engines.Names(ctx, prefix) {
			found.add(prefix+":"+name, "")
			found.add(prefix+":"+strings.TrimPrefix(name, "localhost/"), "")
		}
		found.list = slices.Compact(found.list)
	case slices.ContainsFunc(forms(), func(f form) bool { return f.prefix == prefix }):
		for _, path := range paths(rest) {
			found.add(prefix+":"+path, "")
		}
	}
	return found
}

// paths returns the names of files that begin with typed. Those of directories end in a slash.
func paths(typed string) []string {
	const most = 1000
	dir, base := filepath.Split(typed)
	d, err := os.Open(cmp.Or(dir, "."))
	if err != nil {
		return nil
	}
	defer d.Close()
	entries, _ := d.ReadDir(most)
	var list []string
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || base == "" && strings.HasPrefix(name, ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(d.Name(), name)); err == nil && info.IsDir() {
			name += "/"
		}
		list = append(list, dir+name)
	}
	slices.Sort(list)
	return list
}
