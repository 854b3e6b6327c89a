package vm

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// landmarks are the lines of a boot that tell where its time goes. The group is the name of the landmark.
var landmarks = regexp.MustCompile(`(Linux version)|(Run \S+) as init process|^wyrboot: (Wyrcan|stage \w+|image|starts kernel)|` +
	`^wyrcan: (kernel|starting)|^(wyrcan-demo|witness|report|server|large): `)

// A trace says when a machine reached the landmarks of its boot.
type trace struct {
	begin time.Time
	wrote int // bytes of the text before the line that is not complete yet
	last  string
	out   strings.Builder
}

// read looks for landmarks in the complete lines that text has more than at the last call.
func (r *trace) read(text []byte, now time.Time) {
	for {
		line, _, ok := bytes.Cut(text[r.wrote:], []byte("\n"))
		if !ok {
			return
		}
		r.wrote += len(line) + 1
		if m := landmarks.FindSubmatch(line); m != nil {
			r.mark(string(bytes.Join(m[1:], nil)), now)
		}
	}
}

// mark notes a landmark, once where the same one comes several times in a row.
func (r *trace) mark(name string, now time.Time) {
	if name != r.last {
		fmt.Fprintf(&r.out, ", %s %.1f", name, now.Sub(r.begin).Seconds())
	}
	r.last = name
}

// String returns the landmarks, each with the seconds since the start of QEMU.
func (r *trace) String() string { return strings.TrimPrefix(r.out.String(), ", ") }
