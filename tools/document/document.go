// Package document reads the documents of this tree, for the tests that run what stands in them.
package document

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Texts returns the text of each document below top, by its path from there.
func Texts(top string) (map[string]string, error) {
	texts := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md", "examples/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(top, f)
			if err != nil {
				return nil, err
			}
			texts[name] = string(b)
		}
	}
	if len(texts) < 8 {
		return nil, fmt.Errorf("only %d documents were found", len(texts))
	}
	return texts, nil
}

// A Block is lines that stand together in a document as they are to be typed: indented, or between fences. A blank line
// ends a block.
type Block struct {
	Path   string // of the document
	Line   int    // of the first line
	Before string // the last line of text before it
	Text   string // without the indentation, with a line end after each line
}

// First returns the first line.
func (b Block) First() string {
	line, _, _ := strings.Cut(b.Text, "\n")
	return line
}

// String says where the block is.
func (b Block) String() string { return fmt.Sprintf("%s:%d", b.Path, b.Line) }

// Blocks returns the blocks of a document.
func Blocks(path, text string) []Block {
	var list []Block
	var lines []string
	before, start, fenced, after := "", 0, false, true
	end := func() {
		if len(lines) > 0 {
			list = append(list, Block{Path: path, Line: start, Before: before, Text: undent(lines)})
		}
		lines = nil
	}
	for i, line := range strings.Split(text, "\n") {
		code := fenced || strings.HasPrefix(line, "    ") && (len(lines) > 0 || after)
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			end()
			fenced = !fenced
		case strings.TrimSpace(line) == "":
			end()
			after = true
			continue
		case code:
			if len(lines) == 0 {
				start = i + 1
			}
			lines = append(lines, line)
			continue
		default:
			end()
			before = line
		}
		after = false
	}
	end()
	return list
}

// undent removes the indentation that all lines have.
func undent(lines []string) string {
	least := len(lines[0])
	for _, l := range lines {
		least = min(least, len(l)-len(strings.TrimLeft(l, " ")))
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l[least:] + "\n")
	}
	return b.String()
}

// All returns the blocks of all documents but those of except, in the order of their paths.
func All(top string, except ...string) ([]Block, error) {
	texts, err := Texts(top)
	if err != nil {
		return nil, err
	}
	var paths []string
	for p := range texts {
		if !slices.Contains(except, p) {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	var list []Block
	for _, p := range paths {
		list = append(list, Blocks(p, texts[p])...)
	}
	return list, nil
}

// Lines returns the lines of a block, those that end in a backslash joined with the next one.
func (b Block) Lines() []string {
	text := strings.ReplaceAll(b.Text, "\\\n", " ")
	return strings.Split(strings.TrimRight(text, "\n"), "\n")
}
