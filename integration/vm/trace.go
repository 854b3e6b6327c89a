package vm

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// landmarks are the lines that tell where the time of a boot goes. A group is the name of the landmark.
var landmarks = regexp.MustCompile(`(Linux version)|Run (\S+) as init process|` +
	`^wyrboot: (Wyrcan|stage \w+|image|starts kernel)|^wyrcan: (kernel|starting)|` +
	`^(wyrcan-demo|witness|report|server|large): `)

// A trace says when a machine came to the landmarks of its boot.
type trace struct {
	begin time.Time
	read  int    // how much of the machine's text has been looked at
	last  string // the landmark before
	out   strings.Builder
}

// see looks for landmarks in the lines that are complete since the last call.
func (r *trace) see(text []byte) {
	for {
		line, _, ok := bytes.Cut(text[r.read:], []byte("\n"))
		if !ok {
			return
		}
		r.read += len(line) + 1
		if m := landmarks.FindSubmatch(line); m != nil {
			r.mark(string(bytes.Join(m[1:], nil)))
		}
	}
}

// mark notes a landmark. Where the same one comes several times in a row it counts once.
func (r *trace) mark(name string) {
	if name != r.last {
		fmt.Fprintf(&r.out, ", %s %.1f", name, time.Since(r.begin).Seconds())
	}
	r.last = name
}

// String returns the landmarks, each with the seconds since the start of QEMU.
func (r *trace) String() string { return strings.TrimPrefix(r.out.String(), ", ") }
