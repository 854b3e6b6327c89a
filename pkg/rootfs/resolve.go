package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

const maxLinks = 40 // as fs/namei.c's MAXSYMLINKS

var (
	errLoop   = errors.New("too many levels of symbolic links")
	errNotDir = errors.New("not a directory")
)

// resolver finds paths in a tree. It remembers where links and directories lead, because every path of an archive may
// lead through 40 links with 2000 names in each.
type resolver struct {
	root  *dentry
	links map[*dentry]found // where symbolic links lead
	dirs  map[string]found  // where directories are, by their paths from the root

	now  uint64 // counts the changes of the tree
	lost uint64 // the last change that removed something that a remembered way leads through

	ctx   context.Context
	steps int64 // names looked up
	most  int64 // the bound on steps; 0 is none
	stop  error // why nothing is looked up any more: the bound was reached, or the context is done
}

// found is where a path led, and at which change of the tree that was found.
type found struct {
	d     *dentry
	links int // that were followed
	err   error
	at    uint64
}

// holds reports whether the path would still lead there. A new name can only change where paths to nothing lead.
func (r *resolver) holds(f found) bool {
	if f.err != nil {
		return f.at == r.now
	}
	return f.at >= r.lost
}

// reset forgets what is remembered.
func (r *resolver) reset() {
	r.links, r.dirs = map[*dentry]found{}, map[string]found{}
}

// changed notes a change of the tree.
func (r *resolver) changed() { r.now++ }

// gone notes that a name was taken out of the tree.
func (r *resolver) gone(d *dentry) {
	if r.now++; d.way {
		r.lost = r.now
	}
}

// step counts n names that are looked up. Once it has returned an error, it always does.
func (r *resolver) step(n int64) error {
	const often = 1 << 12
	before := r.steps
	r.steps += n
	switch {
	case r.stop != nil || r.ctx == nil:
	case r.most > 0 && r.steps > r.most:
		r.stop = fmt.Errorf("is %w: to find it and all before it takes more than %d names of directories and links",
			errTooMuch, r.most)
	case before/often != r.steps/often:
		r.stop = r.ctx.Err()
	}
	return r.stop
}

// missing makes a directory that is not there.
type missing func(parent *dentry, name string) (*dentry, error)

// find finds the dentry for a path from the root. A symbolic link in the middle is followed within the tree, as in a
// chroot. One at the end is followed if follow is set.
func (r *resolver) find(path string, follow bool) (*dentry, error) {
	f := r.walk(r.root, path, follow, 0, nil)
	return f.d, f.err
}

// dir finds a path and follows links. mk, if not nil, makes directories that are not there. Most entries of an
// archive are in the same directory as the entry before them.
func (r *resolver) dir(path string, mk missing) (*dentry, error) {
	if f, ok := r.dirs[path]; ok && r.holds(f) && (f.err == nil || mk == nil) {
		return f.d, f.err
	}
	f := r.walk(r.root, path, true, 0, mk)
	if f.at = r.now; r.stop == nil {
		if len(r.dirs) == 1<<14 {
			r.dirs = map[string]found{}
		}
		r.dirs[path] = f
	}
	return f.d, f.err
}

// walk finds a path from a directory. depth is how many links are being followed.
func (r *resolver) walk(at *dentry, path string, follow bool, depth int, mk missing) found {
	links := 0
	for path != "" {
		name, rest, _ := strings.Cut(path, "/")
		path = rest
		if err := r.step(1 + int64(len(name)>>6)); err != nil {
			return found{err: err}
		}
		switch name {
		case "", ".":
			continue
		case "..":
			at = at.parent
			continue
		}
		if !at.ino.dir() {
			return found{err: errNotDir, links: links}
		}
		kid := at.kids[name]
		if kid == nil {
			if mk == nil {
				return found{err: fs.ErrNotExist, links: links}
			}
			var err error
			if kid, err = mk(at, name); err != nil {
				return found{err: err, links: links}
			}
		}
		kid.way = true
		down := path != "" // more follows, so this must be a directory
		if kid.ino.symlink() && (down || follow) {
			to := r.follow(kid, at, depth+1, mk)
			if links += to.links; links > maxLinks {
				return found{err: errLoop, links: links}
			}
			if to.err != nil {
				return found{err: to.err, links: links}
			}
			down = down || strings.HasSuffix(kid.ino.target, "/")
			kid = to.d
		}
		if down && !kid.ino.dir() {
			return found{err: errNotDir, links: links}
		}
		at = kid
	}
	return found{d: at, links: links}
}

// follow finds where a symbolic link in a directory leads. That does not depend on the path that led to the link.
func (r *resolver) follow(link, in *dentry, depth int, mk missing) found {
	if f, ok := r.links[link]; ok && r.holds(f) && (f.err == nil || mk == nil) {
		return f
	}
	target := link.ino.target
	if depth > maxLinks || len(target) >= unix.PathMax {
		return found{err: errLoop, links: maxLinks + 1}
	}
	if strings.HasPrefix(target, "/") {
		in = r.root
	}
	f := r.walk(in, target, true, depth, mk)
	f.links++
	// If there are too many links, that may be because of those before this one.
	if f.at = r.now; r.stop == nil && f.err != errLoop {
		r.links[link] = f
	}
	return f
}
