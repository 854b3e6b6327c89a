// cast runs commands on a terminal, as a person would, and writes what the terminal showed as an animated SVG.
//
// Synopsis:
//
//	cast -o FILE -title TEXT SCRIPT
//
// Description:
//
//	The SCRIPT has one step in each line; a line that begins with # is a comment:
//
//	$ COMMAND    runs COMMAND with sh on the terminal; what follows, up to the next $, is done while it runs
//	wait TEXT    waits until the terminal shows TEXT, after the step before
//	type TEXT    types TEXT, then Enter
//	press HEX    types the bytes HEX: press 01 78 is Ctrl-A, then x
//
//	What the file shows is what the commands wrote, in that order. Only time is changed: where the terminal stood
//	still for longer than half a second, the picture does so for half a second. The file needs no script, no font and
//	no other file. A browser that was told to reduce motion shows the last screen.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("cast: ")
	out := flag.String("o", "", "write to `FILE`")
	title := flag.String("title", "", "`TEXT` that says what the picture shows")
	flag.Parse()
	if *out == "" || flag.NArg() != 1 {
		log.Fatal("usage: cast -o FILE -title TEXT SCRIPT")
	}
	if err := run(flag.Arg(0), *out, *title); err != nil {
		log.Fatal(err)
	}
}

func run(script, out, title string) error {
	text, err := os.ReadFile(script)
	if err != nil {
		return err
	}
	scenes, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", script, err)
	}
	events, err := play(scenes)
	if err != nil {
		return err
	}
	frames := film(events)
	return os.WriteFile(out, draw(frames, title, said(scenes)), 0o644)
}

// A scene is a command, and what is done while it runs.
type scene struct {
	command string
	steps   []step
}

type step struct {
	wait string // text to wait for; "" if this step types
	keys string // what is typed
}

// parse reads a script.
func parse(text string) ([]scene, error) {
	var scenes []scene
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		s := step{}
		switch verb {
		case "$":
			scenes = append(scenes, scene{command: rest})
			continue
		case "wait":
			s.wait = rest
		case "type":
			s.keys = rest + "\r"
		case "press":
			for _, h := range strings.Fields(rest) {
				var b byte
				if _, err := fmt.Sscanf(h, "%02x", &b); err != nil {
					return nil, fmt.Errorf("line %d: %q is no byte", i+1, h)
				}
				s.keys += string(rune(b))
			}
		default:
			return nil, fmt.Errorf("line %d: %q is no step", i+1, verb)
		}
		if len(scenes) == 0 || s == (step{}) {
			return nil, fmt.Errorf("line %d: a step needs a command before it, and a text", i+1)
		}
		last := &scenes[len(scenes)-1]
		last.steps = append(last.steps, s)
	}
	if len(scenes) == 0 {
		return nil, fmt.Errorf("there is no command")
	}
	return scenes, nil
}

// said describes the picture for those who do not see it.
func said(scenes []scene) string {
	var list []string
	for _, s := range scenes {
		list = append(list, s.command)
	}
	return "A recording of a terminal, with pauses cut to half a second. The commands are: " +
		strings.Join(list, "; ") + "."
}
