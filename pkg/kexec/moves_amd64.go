package kexec

import "errors"

// A kernel, its initrd and an image that lie in pages of this process need no copies in which the running kernel keeps
// them until the jump. They are moved to their places between the two kernels, by code of ours: see purgatory_amd64.go.
//
// A place may have a frame in which something lies that belongs to another place. So the order of the moves counts. A
// frame comes to one place only, and each frame of a place gets its content from one frame only. So the frames that
// wait for each other are in chains and in rings: a chain is moved from its free end on, and a ring is opened by a
// frame that is nobody's.

// frameSize is the size of a page frame, and of the pages of amd64.
const frameSize = 4 << 10

// Numbers that no frame has: an address has 52 bits at most.
const (
	hole  = 1 << 52 // in content.from: there is no frame, and zeros are to come
	spare = 1 << 51 // in moves: the frame that is nobody's
)

// content is what comes to a place: the frames in which it lies now. All frames are numbered by their address.
type content struct {
	to   uint64   // the first frame of the place
	from []uint64 // the frame for each frame of the place, or hole
}

// move is a copy of frames, one after the other from the first one on.
type move struct {
	from, to uint64
	frames   uint32 // at most maxFrames
	zeros    bool   // there is no from: the frames become zeros
}

// maxFrames is how many frames a move has at most: its number has 12 bits in a list.
const maxFrames = 1<<12 - 1

// States of a frame of a place.
const (
	open   = iota // it can be written to
	needed        // something lies in it that has to be moved before
	queued        // it can be written to, and is in a queue
	done          // it has its content
)

type planner struct {
	contents []content
	base     []int  // the number of the first frame of each content, if the frames of all places are counted
	state    []byte // of each of these frames
	queue    []int  // those of them that have become free
	moves    []move
}

// plan returns the moves that bring contents to their places, which do not overlap. It takes time in proportion to the
// number of frames.
//
// What becomes free is written to in the order in which it became so, as frames that are beside each other often become
// free one after the other: then they are one move.
func plan(contents []content) ([]move, error) {
	p := planner{contents: contents}
	n := 0
	for _, c := range contents {
		p.base = append(p.base, n)
		n += len(c.from)
	}
	p.state = make([]byte, n)
	if err := p.find(); err != nil {
		return nil, err
	}
	for i := range p.state {
		if p.state[i] == open {
			p.move(i)
		}
	}
	for len(p.queue) > 0 {
		queue := p.queue
		p.queue = nil
		for _, i := range queue {
			p.move(i)
		}
	}
	for i := range p.state {
		if p.state[i] == needed {
			p.turn(i)
		}
	}
	return p.moves, nil
}

// find finds the frames that cannot be written to at once.
func (p *planner) find() error {
	for c := range p.contents {
		for k, from := range p.contents[c].from {
			i, own := p.index(from), p.base[c]+k
			switch {
			case i < 0:
			case i == own:
				p.state[own] = done
			case p.state[i] != open:
				return errors.New("a page of this program was to come to two places")
			default:
				p.state[i] = needed
			}
		}
	}
	return nil
}

// index returns the number of a frame among those of all places, -1 if it is in none.
func (p *planner) index(frame uint64) int {
	for c := range p.contents {
		if k := frame - p.contents[c].to; k < uint64(len(p.contents[c].from)) {
			return p.base[c] + int(k)
		}
	}
	return -1
}

// frame returns a frame of a place by its number, and the frame that its content is in.
func (p *planner) frame(i int) (to, from uint64) {
	c := len(p.base) - 1
	for p.base[c] > i {
		c--
	}
	k := i - p.base[c]
	return p.contents[c].to + uint64(k), p.contents[c].from[k]
}

// move brings a frame of a place its content. Where that was, something else can come then.
func (p *planner) move(i int) {
	to, from := p.frame(i)
	p.emit(from, to)
	p.state[i] = done
	if next := p.index(from); next >= 0 && p.state[next] == needed {
		p.state[next] = queued
		p.queue = append(p.queue, next)
	}
}

// turn moves a ring of frames.
func (p *planner) turn(i int) {
	first, _ := p.frame(i)
	p.emit(first, spare)
	for {
		to, from := p.frame(i)
		p.state[i] = done
		if from == first {
			p.emit(spare, to)
			return
		}
		p.emit(from, to)
		i = p.index(from)
	}
}

// emit appends a move of one frame. Frames that follow each other, at both places, are one move: it copies them in
// this order.
func (p *planner) emit(from, to uint64) {
	if n := len(p.moves); n > 0 {
		last := &p.moves[n-1]
		follows := last.to+uint64(last.frames) == to && last.zeros == (from == hole) &&
			(last.zeros || last.from+uint64(last.frames) == from)
		if follows && last.frames < maxFrames {
			last.frames++
			return
		}
	}
	p.moves = append(p.moves, move{from, to, 1, from == hole})
}
