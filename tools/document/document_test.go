package document

import (
	"reflect"
	"testing"
)

func TestBlocks(t *testing.T) {
	const text = `# Title
Some text
    that goes on, and is no block.

Say this:

    make \
      all

    make run

- in a list:

      listed

And this:
` + "```" + `sh
    fenced
` + "```" + `
`
	want := []Block{
		{"d.md", 7, "Say this:", "make \\\n  all\n"},
		{"d.md", 10, "Say this:", "make run\n"},
		{"d.md", 14, "- in a list:", "listed\n"},
		{"d.md", 18, "And this:", "fenced\n"},
	}
	got := Blocks("d.md", text)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Blocks = %+v, want %+v", got, want)
	}
	if lines := got[0].Lines(); len(lines) != 1 || lines[0] != "make    all" {
		t.Errorf("Lines = %q", lines)
	}
}
