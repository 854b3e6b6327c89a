// summary shows what tests say as "go test" does, and ends with a summary.
//
// Synopsis:
//
//	make GOTEST='go test -json' test 2>&1 | summary
//
// Description:
//
//	It reads the events of "go test -json" (go doc test2json) between lines of any other program. Other lines are
//	printed as they are. Of the tests it prints what "go test" prints without -v: one line for each package, and all
//	that a test has said that failed.
//
//	The summary has one line for each package, for each test that failed and for each target that make gave up, the
//	ten tests that took longest, and the ten whose machines took most of the host's processors. The time that a test
//	waited for its turn to start a machine does not count.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		log.Fatalf("summary: %v", err)
	}
}

// longest is how many tests the summary names.
const longest = 10

// An event is a line of "go test -json".
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// A test is one that has begun.
type test struct {
	name    string // of its package and its own
	parent  *test  // nil: it is no subtest
	said    strings.Builder
	waited  float64
	elapsed float64
	cost    float64 // of its machines, in seconds of the host's processors
	alone   bool    // it ran in its parent's time, as a subtest does that calls no t.Parallel
	group   bool    // it has subtests that did not
}

// counts reports whether the time of the test is one that nobody else has told already.
func (t *test) counts() bool { return !t.group && (!t.alone || t.parent.group) }

type summary struct {
	tests map[string]*test
	lines []string
	out   io.Writer
}

// begin matches the begin of an event. With make -j another program may have written half a line before it.
var begin = regexp.MustCompile(`\{"(Time|ImportPath|Action)":"`)

func run(in io.Reader, out io.Writer) error {
	s := &summary{tests: make(map[string]*test), out: out}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		var e event
		if at := begin.FindStringIndex(line); at != nil && json.Unmarshal([]byte(line[at[0]:]), &e) == nil &&
			e.Action != "" {
			if at[0] > 0 {
				s.print(line[:at[0]] + "\n")
			}
			s.event(e)
		} else if line != "" {
			s.print(line)
		}
		if err == io.EOF {
			s.end()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// worth matches the lines that the summary repeats.
var worth = regexp.MustCompile(`^(ok|FAIL)\s+\S|^ *--- FAIL:|^panic:|^make(\[\d+\])?: \*\*\*`)

func (s *summary) print(text string) {
	fmt.Fprint(s.out, text)
	for line := range strings.Lines(text) {
		if worth.MatchString(line) {
			s.lines = append(s.lines, strings.TrimRight(line, "\n"))
		}
	}
}

// waited matches what package integration/vm says when other machines had to end first.
var waited = regexp.MustCompile(`: waited ([0-9.]+) s for other machines`)

// cost matches what package integration/vm says when a machine has ended.
var cost = regexp.MustCompile(`; ([0-9.]+) seconds of this host's processors`)

func (s *summary) event(e event) {
	if e.Test == "" {
		if e.Output != "" && e.Output != "PASS\n" && e.Output != "FAIL\n" {
			s.print(e.Output)
		}
		return
	}
	t := s.test(e.Package, e.Test)
	switch e.Action {
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			t.said.WriteString(e.Output)
		}
		if m := waited.FindStringSubmatch(e.Output); m != nil {
			t.wait(m[1])
		}
		if m := cost.FindStringSubmatch(e.Output); m != nil {
			seconds, _ := strconv.ParseFloat(m[1], 64) // some other text that looks like it counts as nothing
			t.cost += seconds
		}
	case "pause":
		t.alone = false
		for up := t.parent; up != nil; up = up.parent {
			up.group = true
		}
	case "pass", "fail", "skip":
		t.elapsed = e.Elapsed
		if e.Action == "fail" {
			s.print(t.said.String())
		}
		t.said.Reset()
	}
}

// wait notes that the test waited, and with it each one in whose time it runs.
func (t *test) wait(text string) {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return // some other text that looks like it
	}
	for t.waited += seconds; t.alone; t.waited += seconds {
		t = t.parent
	}
}

// test returns the test of that name.
func (s *summary) test(pkg, name string) *test {
	key := pkg + " " + name
	t := s.tests[key]
	if t == nil {
		t = &test{name: key}
		s.tests[key] = t
		if i := strings.LastIndex(name, "/"); i >= 0 {
			t.parent, t.alone = s.test(pkg, name[:i]), true
		}
	}
	return t
}

// end prints the summary. A test that has begun and not ended was cut off with its package, and is printed as well.
func (s *summary) end() {
	var tests, machines []*test
	for _, t := range s.tests {
		if t.cost > 0 {
			machines = append(machines, t)
		}
		if t.said.Len() > 0 {
			s.print(t.said.String())
		}
		if t.counts() {
			tests = append(tests, t)
		}
	}
	fmt.Fprint(s.out, "\n== summary\n")
	if len(s.lines) == 0 {
		fmt.Fprintln(s.out, "no test has run")
	}
	for _, line := range s.lines {
		fmt.Fprintln(s.out, line)
	}
	slices.SortFunc(tests, func(a, b *test) int {
		return cmp.Or(cmp.Compare(b.elapsed-b.waited, a.elapsed-a.waited), cmp.Compare(a.name, b.name))
	})
	if len(tests) > 0 {
		fmt.Fprint(s.out, "\n== the tests that took longest\n")
	}
	for _, t := range tests[:min(longest, len(tests))] {
		fmt.Fprintf(s.out, "%6.1f s  %s\n", t.elapsed-t.waited, t.name)
	}
	s.costs(machines)
}

// costs prints which tests have the machines that cost most.
func (s *summary) costs(tests []*test) {
	if len(tests) == 0 {
		return
	}
	var all float64
	for _, t := range tests {
		all += t.cost
	}
	fmt.Fprintf(s.out, "\n== the machines of %d tests took %.0f s of processors, most those of these\n", len(tests), all)
	slices.SortFunc(tests, func(a, b *test) int {
		return cmp.Or(cmp.Compare(b.cost, a.cost), cmp.Compare(a.name, b.name))
	})
	for _, t := range tests[:min(longest, len(tests))] {
		fmt.Fprintf(s.out, "%6.1f s  %s\n", t.cost, t.name)
	}
}
