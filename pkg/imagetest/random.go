package imagetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

// Random returns random layers with so few different names that they collide often. Some of the results are invalid and
// must be refused.
func Random(r *rand.Rand) []Layer {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	name := func() string {
		p := pick("a", "b", "c", "d")
		for range r.IntN(3) {
			p += "/" + pick("a", "b", "c")
		}
		return p
	}
	decorated := func() string {
		return pick("", "", "", "", "./", "/", "../", "a/../") + name() + pick("", "", "", "/.")
	}
	layers := make([]Layer, 1+r.IntN(4))
	for i := range layers {
		l := &layers[i]
		l.Compression = Compression(r.IntN(5))
		for range r.IntN(8) {
			var e Entry
			switch r.IntN(16) {
			case 0, 1, 2:
				e = File(decorated(), pick("", "1", "two", "three"))
			case 3, 4, 5, 6:
				e = Dir(decorated())
			case 7, 8:
				e = Symlink(name(), pick("", "", "/", "../", "../../")+name())
			case 9, 10, 11:
				e = Link(decorated(), decorated())
			case 12:
				e = FIFO(name())
			case 13, 14:
				e = Whiteout(name())
			case 15:
				e = Opaque(pick(".", name(), name()))
			}
			e = e.Mode(int64(r.IntN(0o10000))).Owner(r.IntN(3), r.IntN(3)).At(time.Unix(r.Int64N(1<<31), 0))
			if r.IntN(5) == 0 && (e.Header.Typeflag == '0' || e.Header.Typeflag == '5') {
				e = e.Xattr("user.x", pick("1", "2"))
			}
			l.Entries = append(l.Entries, e)
		}
	}
	return layers
}

// Describe lists the entries of layers, for the message of a failed test.
func Describe(layers []Layer) string {
	var b bytes.Buffer
	for i, l := range layers {
		fmt.Fprintf(&b, "layer %d\n", i)
		for _, e := range l.Entries {
			h := e.Header
			fmt.Fprintf(&b, "  %c %q -> %q mode %o owner %d:%d\n", h.Typeflag, h.Name, h.Linkname, h.Mode, h.Uid, h.Gid)
		}
	}
	return b.String()
}
