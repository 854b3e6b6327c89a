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

// watcher reads a machine's console. It looks for the words that mean success, for how long each stage took, and for
// signs that the container's kernel runs.
type watcher struct {
	until  string // the words; "" makes watch read to the end
	begin  time.Time
	stages []stage
	first  time.Duration // since begin, when wyrboot printed its first line
	last   time.Duration // when it printed its last line
	words  time.Duration // when the words came

	jumped bool    // wyrboot has said that it starts the container's kernel, and nothing after that
	uptime float64 // of the machine at that moment, in seconds
	alive  bool    // the container's kernel, or something that it started, has printed something
}

type stage struct {
	name string
	took time.Duration
}

// watch copies the console to out until the words come, and reports whether they came.
func (w *watcher) watch(console io.Reader, out io.Writer) bool {
	var line []byte // the console's last line so far: a prompt is a line that does not end
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
			line = line[len(line)-1<<12:] // no text that is looked for is as long
		}
		if err != nil {
			w.follow(line, false)
			return false
		}
	}
}

// see looks at a line, or at one that has not ended yet, and reports whether it has the words.
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
	// The kernel prints its command line, which may hold the words too.
	if w.until != "" && bytes.Contains(line, []byte(w.until)) && !bytes.Contains(line, []byte("ommand line: ")) {
		w.words = now
		return true
	}
	return false
}

// wyrboot begins the lines that Wyrcan's own program prints.
const wyrboot = "wyrboot: "

// follow looks at a line, a whole one or the console's last, to find out whether the container's kernel has started:
// wyrboot says that it starts that kernel, and then something else prints a line. If the start failed, wyrboot would
// say so.
func (w *watcher) follow(line []byte, whole bool) {
	if w.alive {
		return
	}
	text := regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])`).ReplaceAllString(string(line), "")
	for piece := range strings.SplitSeq(text, "\r") { // a progress line is overwritten
		w.judge(strings.TrimSpace(piece), whole)
	}
}

func (w *watcher) judge(text string, whole bool) {
	// A kernel's lines begin with the time since its start, CONFIG_PRINTK_TIME.
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
		// A message about a link or a driver, which comes at any time.
	case strings.HasPrefix(text, wyrboot), !whole && strings.HasPrefix(wyrboot, text):
		w.jumped = false
	case strings.HasPrefix(text, "QEMU"), strings.HasPrefix(text, "(qemu)"): // QEMU's monitor, and its last message
	case strings.HasPrefix(text, "reboot: "): // kernel/reboot.c; wyrboot says so before it reboots
		w.alive = true
	case kernel != nil && uptime > w.uptime-1 && uptime < w.uptime+10: // may be Wyrcan's kernel, shutting down
	default:
		w.alive = true
	}
}

// table returns the times of all stages, "" if wyrboot has printed nothing.
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
