package imagetest

import (
	"archive/tar"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Odd returns random layers that a tool could have written, with what Random leaves out: names of all bytes and
// lengths, long links, devices, holes, owners and times up to their limits, and extended attributes of all namespaces.
// Names of the same directory collide now and then, and upper layers remove what lower ones have. No entry lies below a
// file of another kind, or below a link, so that all of them are valid.
func Odd(r *rand.Rand) []Layer {
	o := odd{Rand: r, dirs: []string{"."}}
	layers := make([]Layer, 1+r.IntN(4))
	for i := range layers {
		layers[i].Compression = Compression(r.IntN(5))
		for range 1 + r.IntN(40) {
			layers[i].Entries = append(layers[i].Entries, o.entry())
		}
		o.sealed = len(o.files)
	}
	return layers
}

// odd makes entries.
type odd struct {
	*rand.Rand
	dirs   []string // that are in the tree for ever
	files  []string // other names, which may be gone
	sealed int      // files of lower layers
	count  int
}

// entry returns the next entry.
func (o *odd) entry() Entry {
	path := o.path()
	if len(o.files) > 0 && o.IntN(6) == 0 {
		path = o.files[o.IntN(len(o.files))]
	}
	var e Entry
	switch o.IntN(16) {
	default:
		e = File(path, o.content())
	case 6, 7, 8:
		e = Dir(o.path())
		o.dirs = append(o.dirs, e.Header.Name)
		return o.decorated(e)
	case 9:
		e = Symlink(path, o.text(1+o.IntN(1<<o.IntN(12))))
	case 10:
		e = Char(path, o.Int64N(1<<o.IntN(13)), 1+o.Int64N(1<<o.IntN(20)))
	case 11:
		e = Block(path, o.Int64N(1<<o.IntN(13)), o.Int64N(1<<o.IntN(21)))
	case 12:
		e = FIFO(path)
	case 13:
		at := o.Int64N(4 << 20)
		e = PAXSparse(path, "data", at, at+4+o.Int64N(2<<20))
		o.files = append(o.files, path)
		return e
	case 14:
		if n := len(o.files); n > 0 && o.files[n-1] != path {
			return Link(path, o.files[n-1])
		}
		e = FIFO(path)
	case 15:
		if o.sealed > 0 {
			return Whiteout(o.files[o.IntN(o.sealed)])
		}
		e = File(path, "")
	}
	o.files = append(o.files, path)
	return o.decorated(e)
}

// path returns a new path in one of the directories.
func (o *odd) path() string {
	o.count++
	dir := o.dirs[o.IntN(len(o.dirs))]
	name := fmt.Sprint(o.count)
	switch o.IntN(8) {
	case 0:
		name += strings.Repeat("n", 255-len(name))
	case 1, 2:
		name = strings.ReplaceAll(o.text(1+o.IntN(40)), "/", "\n") + name
		if strings.HasPrefix(name, ".wh.") {
			name = "x" + name
		}
	}
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// text returns bytes that may be in a name or a link: all but zero.
func (o *odd) text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(1 + o.IntN(255))
	}
	return string(b)
}

// content returns a file's content: often empty, small, equal to another one, or about a block of some file system.
func (o *odd) content() string {
	n := o.IntN(1 << o.IntN(19))
	switch o.IntN(6) {
	case 0:
		return ""
	case 1:
		n = (1<<(9+o.IntN(10)) + o.IntN(3) - 1)
	case 2:
		return strings.Repeat(fmt.Sprint(o.IntN(3)), n)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(o.Uint32())
	}
	return string(b)
}

// decorated sets what every kind of file has.
func (o *odd) decorated(e Entry) Entry {
	e = e.Format(tar.FormatPAX).Mode(o.Int64N(0o10000)).Owner(o.owner(), o.owner())
	if o.IntN(3) == 0 {
		e = e.At(time.Unix(o.Int64N(1<<34)-1<<33, o.Int64N(1e9)))
	}
	if o.IntN(3) == 0 {
		for range o.IntN(1 << o.IntN(8)) {
			e = e.Xattr(o.attribute(e.Header.Typeflag == tar.TypeReg || e.Header.Typeflag == tar.TypeDir))
		}
	}
	return e
}

func (o *odd) owner() int {
	switch o.IntN(4) {
	case 0:
		return int(o.Int64N(math.MaxUint32))
	case 1:
		return 1<<16 - 1 + o.IntN(3)
	}
	return 0
}

// attribute returns the name and the value of an extended attribute. Linux has none of users on links and devices:
// xattr_permission in fs/xattr.c.
func (o *odd) attribute(user bool) (name, value string) {
	namespaces := []string{"trusted.", "security.", "user."}
	if !user {
		namespaces = namespaces[:2]
	}
	name = namespaces[o.IntN(len(namespaces))]
	rest := strings.ReplaceAll(o.text(1+o.IntN(20)), "=", "-") // the form of PAX has no = in a key
	if o.IntN(10) == 0 {
		rest += strings.Repeat("x", 255-len(name)-len(rest))
	}
	value = strings.Repeat("v", o.IntN(1<<o.IntN(11)))
	switch o.IntN(20) {
	case 0:
		value = ""
	case 1:
		value = strings.Repeat(fmt.Sprint(o.IntN(3)), 64<<10-o.IntN(3))
	case 2:
		value = o.text(12) + "\x00"
	}
	return name + rest, value
}
