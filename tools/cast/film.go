package main

import (
	"slices"
	"time"
)

const (
	pause = time.Second / 2        // the longest time in which nothing happens
	blink = 100 * time.Millisecond // what comes within this time is seen at once
	hold  = 6 * time.Second        // how long the last screen stays before it all begins again
)

// A version is a line of the screen as it was for a time.
type version struct {
	line       int
	cells      []cell
	begin, end time.Duration // end is 0 for a line that stays
}

// A shot is which line was at the top, from a time on.
type shot struct {
	at  time.Duration
	top int
}

// A picture is all that the terminal showed.
type picture struct {
	versions []version
	shots    []shot
	length   time.Duration
}

// film plays the events to a terminal, and returns what could be seen.
func film(events []event) picture {
	var (
		s    screen
		p    = picture{shots: []shot{{}}}
		open = make(map[int]int) // the version of each line that is shown
		now  time.Duration
		last time.Duration // the time of the event before
	)
	for i, e := range events {
		now += min(pause, e.at-last)
		last = e.at
		s.write(e.bytes)
		if i+1 < len(events) && events[i+1].at-e.at < blink && now-p.length < blink {
			continue
		}
		p.length = now
		p.look(&s, open, now)
	}
	p.look(&s, open, now)
	p.length = now + hold
	return p
}

// look compares the screen with what is open.
func (p *picture) look(s *screen, open map[int]int, now time.Duration) {
	for i, l := range s.lines {
		l = trim(l)
		v, shown := open[i]
		switch {
		case shown && slices.Equal(p.versions[v].cells, l):
			continue
		case shown:
			p.versions[v].end = now
			delete(open, i)
		}
		if len(l) > 0 {
			open[i] = len(p.versions)
			p.versions = append(p.versions, version{line: i, cells: slices.Clone(l), begin: now})
		}
	}
	for i, v := range open { // lines that were erased
		if i >= len(s.lines) {
			p.versions[v].end = now
			delete(open, i)
		}
	}
	if s.home != p.shots[len(p.shots)-1].top {
		p.shots = append(p.shots, shot{now, s.home})
	}
}

// trim returns a line without the blanks at its end.
func trim(l []cell) []cell {
	for len(l) > 0 && l[len(l)-1].r == ' ' {
		l = l[:len(l)-1]
	}
	return l
}
