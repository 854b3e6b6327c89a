package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// A watcher reads a machine's console: for the words that mean success, for what took how long, and for what shows that
// Wyrcan's part is over.
type watcher struct {
	until  string // "" for none: watch then reads to the end
	begin  time.Time
	stages []stage
	first  time.Duration // when Wyrcan's own program spoke first, since begin
	last   time.Duration // when it spoke last
	words  time.Duration // when the words came

	jumped bool    // Wyrcan has said that it starts the container's kernel, and nothing after that
	uptime float64 // of the machine then, in seconds
	alive  bool    // the container's kernel, or what it has started, has shown something
}

type stage struct {
	name string
	took time.Duration
}

// watch copies the console to out until it has shown the words, and returns whether it has.
func (w *watcher) watch(console io.Reader, out io.Writer) bool {
	var line []byte // what the console's last line has so far: a prompt never ends one
	buf := make([]byte, 4096)
	for {
		n, err := console.Read(buf)
		out.Write(buf[:n])
		line = append(line, buf[:n]...)
		for {
			whole, rest, ended := bytes.Cut(line, []byte("\n"))
			if w.see(whole, ended) {
				return true
			}
			if !ended {
				break
			}
			w.follow(whole, true)
			line = rest
		}
		if len(line) > 1<<16 {
			line = line[len(line)-1<<12:] // no text of interest is as long
		}
		if err != nil {
			w.follow(line, false)
			return false
		}
	}
}

// see looks at a line, or at the beginning of one that has not ended, and returns whether it has the words.
func (w *watcher) see(line []byte, ended bool) bool {
	now := time.Since(w.begin)
	if ended && bytes.Contains(line, []byte(wyrboot)) {
		if w.first == 0 {
			w.first = now
		}
		w.last = now
		// The lines in which wyrboot says how long a stage took.
		f := regexp.MustCompile(`wyrboot: stage (\S+) ([0-9]+(?:\.[0-9]+)?) s`).FindSubmatch(line)
		if f != nil {
			if took, err := time.ParseDuration(string(f[2]) + "s"); err == nil {
				w.stages = append(w.stages, stage{string(f[1]), took})
			}
		}
	}
	// The command line, which the kernel prints, may hold the words too; those are not the container's.
	if w.until != "" && bytes.Contains(line, []byte(w.until)) && !bytes.Contains(line, []byte("ommand line: ")) {
		w.words = now
		return true
	}
	return false
}

// wyrboot begins the lines of Wyrcan's own program.
const wyrboot = "wyrboot: "

// follow looks at a line, whole or the console's last, for what tells whether the container's kernel was started:
// Wyrcan says that it starts it, and then something else speaks. Wyrcan would say, too, that it could not.
func (w *watcher) follow(line []byte, whole bool) {
	if w.alive {
		return
	}
	text := regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])`).ReplaceAllString(string(line), "")
	for piece := range strings.SplitSeq(text, "\r") { // a line of progress is written over
		w.judge(strings.TrimSpace(piece), whole)
	}
}

func (w *watcher) judge(text string, whole bool) {
	// What a kernel says has the time since its start, CONFIG_PRINTK_TIME.
	uptime, kernel := -1.0, regexp.MustCompile(`^\[ *([0-9]+\.[0-9]+)\] *`).FindStringSubmatch(text)
	if kernel != nil {
		text = text[len(kernel[0]):]
		uptime, _ = strconv.ParseFloat(kernel[1], 64) // digits
	}
	starts := regexp.MustCompile(`^wyrboot: starts kernel .* after ([0-9]+\.[0-9]+) s$`).FindStringSubmatch(text)
	switch {
	case starts != nil:
		w.jumped = true
		w.uptime, _ = strconv.ParseFloat(starts[1], 64)
	case !w.jumped || text == "":
	case strings.HasPrefix(text, wyrboot+"Wyrcan "):
		w.alive = true // the container is a Wyrcan itself, whose first line this is
	case regexp.MustCompile(`^wyrboot: (\S+ \(.*\): |driver )`).MatchString(text):
		// A link or a driver, of which news comes at any time.
	case strings.HasPrefix(text, wyrboot), !whole && strings.HasPrefix(wyrboot, text):
		w.jumped = false
	case strings.HasPrefix(text, "QEMU"), strings.HasPrefix(text, "(qemu)"): // its monitor, and its last word
	case strings.HasPrefix(text, "reboot: "): // kernel/reboot.c; Wyrcan does not end without a word of its own
		w.alive = true
	case kernel != nil && uptime > w.uptime-1 && uptime < w.uptime+10: // may still be Wyrcan's kernel, which shuts down
	default:
		w.alive = true
	}
}

// table returns the times of all stages, "" if Wyrcan never spoke.
func (w *watcher) table() string {
	if w.first == 0 {
		return ""
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, d time.Duration) { fmt.Fprintf(t, "%s\t%.3f s\t\n", name, d.Seconds()) }
	if len(w.stages) == 0 || w.stages[0].name != "kernel" {
		row("firmware and kernel", w.first)
	} else {
		row("firmware", w.first-w.stages[0].took)
	}
	for _, s := range w.stages {
		if s.name == "kernel" {
			s.name = "kernel to userspace"
		}
		row(s.name, s.took)
	}
	if w.words > 0 {
		row("container's first word", w.words-w.last)
		row("all", w.words)
	}
	t.Flush()
	return "\n" + b.String()
}
