package imagetest

import (
	"archive/tar"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Case is an image that tests one thing.
type Case struct {
	Name   string
	Layers []Layer

	// Refused is a part of the error if merging the layers must fail. NotInitrd is a part of the error if only the
	// conversion into an initramfs must fail. Both are empty if the image must be accepted.
	Refused, NotInitrd string
	// Umoci says why the result of umoci 0.4.7 differs; empty if it is the same.
	Umoci string
	// NoDir says why an ordinary directory cannot hold the result; empty if it can.
	NoDir string
	// Slow marks a case that takes seconds.
	Slow bool
}

// Cases returns the corpus.
func Cases() []Case {
	return slices.Concat(whiteouts(), replacements(), links(), names(), dialects(), contents(), storage())
}

func whiteouts() []Case {
	lower := Files(Dir("d"), File("d/a", "a"), File("d/b", "b"), Dir("d/sub").Mode(0o711), File("d/sub/c", "c"),
		File("f", "f"))
	return []Case{
		{Name: "whiteout of a file", Layers: []Layer{lower, Files(Whiteout("f"))}},
		{Name: "whiteout of a directory", Layers: []Layer{lower, Files(Whiteout("d"))}},
		{Name: "whiteout of a symlink",
			Layers: []Layer{Files(File("t", "t"), Symlink("s", "t")), Files(Whiteout("s"))}},
		{Name: "whiteout of a symlink to a directory",
			Layers: []Layer{Files(Dir("t"), File("t/f", ""), Symlink("s", "t")), Files(Whiteout("s"))}},
		{Name: "whiteout below a symlinked directory",
			Layers: []Layer{Files(Dir("t"), File("t/f", ""), File("t/g", ""), Symlink("s", "t")),
				Files(Whiteout("s/f"))}},
		{Name: "whiteout of a hard link's first name",
			Layers: []Layer{Files(File("a", "x"), Link("b", "a")), Files(Whiteout("a"))}},
		{Name: "whiteout of a hard link's second name",
			Layers: []Layer{Files(File("a", "x"), Link("b", "a")), Files(Whiteout("b"))}},
		{Name: "whiteout of a device",
			Layers: []Layer{Files(Char("c", 1, 3), FIFO("p")), Files(Whiteout("c"), Whiteout("p"))}},
		{Name: "whiteout of what is not there",
			Layers: []Layer{lower, Files(Whiteout("nothing"), Whiteout("no/thing"), Whiteout("f/x"))}},
		{Name: "whiteout with content and a mode", Layers: []Layer{lower, Files(File(".wh.f", "zzz").Mode(0o4755))}},
		{Name: "whiteout before the same name again",
			Layers: []Layer{lower, Files(Whiteout("f"), File("f", "new").Mode(0o600))}},
		{Name: "whiteout after the same name",
			Layers: []Layer{lower, Files(File("f", "new").Mode(0o600), Whiteout("f"))}},
		{Name: "whiteout before the same directory again",
			Layers: []Layer{lower, Files(Whiteout("d"), Dir("d").Mode(0o700), File("d/n", "n"))}},
		{Name: "whiteout after the same directory",
			Layers: []Layer{lower, Files(Dir("d").Mode(0o700), File("d/n", "n"), Whiteout("d"))},
			Umoci:  "changes the directory's time by deleting in it what lower layers had there"},
		{Name: "whiteout after a file in the directory", Layers: []Layer{
			Files(Dir("d").Mode(0o700).Owner(5, 6), File("d/a", "a")), Files(File("d/n", "n"), Whiteout("d"))},
			Umoci: "keeps mode and owner of the lower directory, though its whiteout hides that directory and only " +
				"the new file's parent is left"},
		{Name: "whiteout in a lower layer, again above",
			Layers: []Layer{lower, Files(Whiteout("f")), Files(File("f", "third"))}},
		{Name: "whiteout twice", Layers: []Layer{lower, Files(Whiteout("f"), Whiteout("f")), Files(Whiteout("f"))}},
		{Name: "whiteout of a directory and of a file in it",
			Layers: []Layer{lower, Files(Whiteout("d"), Whiteout("d/a"))}},
		{Name: "opaque before new siblings",
			Layers: []Layer{lower, Files(Dir("d"), Opaque("d"), File("d/n", "n"), File("d/a", "again"))}},
		{Name: "opaque after new siblings",
			Layers: []Layer{lower, Files(Dir("d"), File("d/n", "n"), File("d/a", "again"), Opaque("d"))}},
		{Name: "opaque between siblings, deep",
			Layers: []Layer{lower, Files(File("d/sub/n", "n"), Opaque("d"), File("d/m", "m"))},
			Umoci:  "keeps the lower d/sub's metadata, though opaque d hides it"},
		{Name: "opaque without an entry for the directory", Layers: []Layer{lower, Files(Opaque("d"))}},
		{Name: "opaque root", Layers: []Layer{lower, Files(Opaque("."), File("only", "x"))}},
		{Name: "opaque of a missing directory", Layers: []Layer{lower, Files(Opaque("missing"), Opaque("f"))}},
		{Name: "opaque directory in place of a symlink", Layers: []Layer{
			Files(Dir("usr"), Dir("usr/lib"), File("usr/lib/x", "x"), Symlink("lib", "usr/lib")),
			Files(Dir("lib"), Opaque("lib"), File("lib/y", "y"))}},
		{Name: "opaque below a symlinked directory", Layers: []Layer{
			Files(Dir("usr"), Dir("usr/lib"), File("usr/lib/x", "x"), Symlink("lib", "usr/lib")),
			Files(Opaque("lib"), File("lib/y", "y"))}},
		{Name: "opaque keeps a lower layer's hard link elsewhere", Layers: []Layer{
			Files(Dir("d"), File("d/a", "x"), Link("k", "d/a")), Files(Opaque("d"))}},
		{Name: "AUFS metadata",
			Layers: []Layer{lower,
				Files(File(".wh..wh.aufs", ""), Dir(".wh..wh.plnk"), File(".wh..wh.plnk/1.2", "x"),
					Dir(".wh..wh.orph"))},
			Umoci: "unpacks AUFS's own files; docker and containerd drop them"},
		{Name: "whiteout of no name", Layers: []Layer{lower, Files(File(".wh.", ""))}, Refused: "whiteout of no name"},
		{Name: "whiteout of dot dot", Layers: []Layer{lower, Files(File("d/.wh...", ""))},
			Refused: "whiteout of no name"},
	}
}

// replacements are images in which an entry replaces one of another type.
func replacements() []Case {
	file, dir, link, fifo := File("x", "x"), Dir("x"), Symlink("x", "t"), FIFO("x")
	full := Files(Dir("t"), File("t/in", "t"), dir, File("x/in", "x"))
	return []Case{
		{Name: "file over a directory", Layers: []Layer{full, Files(file)}},
		{Name: "directory over a file", Layers: []Layer{Files(file), Files(dir, File("x/in", "x"))}},
		{Name: "symlink over a directory", Layers: []Layer{full, Files(link)}},
		{Name: "directory over a symlink",
			Layers: []Layer{Files(Dir("t"), File("t/in", "t"), link), Files(dir, File("x/in", "new"))}},
		{Name: "file over a symlink", Layers: []Layer{Files(File("t", "t"), link), Files(file)}},
		{Name: "symlink over a file", Layers: []Layer{Files(File("t", "t"), file), Files(link)}},
		{Name: "symlink over a symlink", Layers: []Layer{Files(link), Files(Symlink("x", "elsewhere"))}},
		{Name: "device over a file and back",
			Layers: []Layer{Files(file), Files(Char("x", 5, 1)), Files(File("x", "again"))}},
		{Name: "FIFO over a directory", Layers: []Layer{full, Files(fifo)}},
		{Name: "device over a device",
			Layers: []Layer{Files(Char("x", 1, 3)), Files(Block("x", 8, 1).Mode(0o660).Owner(0, 6))}},
		{Name: "directory over a directory changes it",
			Layers: []Layer{full, Files(Dir("x").Mode(0o1777).Owner(1, 2).At(Epoch.Add(time.Hour)))}},
		{Name: "file below a lower layer's file", Layers: []Layer{Files(file), Files(File("x/in", ""))},
			Refused: "not a directory"},
		{Name: "file below a device", Layers: []Layer{Files(Char("x", 1, 3)), Files(File("x/in", ""))},
			Refused: "not a directory"},
		{Name: "file in place of the root", Layers: []Layer{Files(Raw(header("./", '0', 0)))},
			Refused: "root directory"},
	}
}

func links() []Case {
	many := []Entry{Dir("d"), File("d/first", "shared")}
	for i := range 1<<16 + 10 {
		many = append(many, Link(fmt.Sprintf("d/l%d", i), "d/first"))
	}
	chain := []Entry{File("l0", "end of the chain").Mode(0o750).Owner(3, 4)}
	for i := range 50 {
		chain = append(chain, Link(fmt.Sprintf("l%d", i+1), fmt.Sprintf("l%d", i)))
	}
	backwards := slices.Clone(chain)
	slices.Reverse(backwards)
	pair := Files(File("a", "old").Mode(0o4755), Link("b", "a"))
	return []Case{
		{Name: "hard link", Layers: []Layer{pair}},
		{Name: "hard link to a lower layer's file", Layers: []Layer{Files(File("a", "x")), Files(Link("b", "a"))}},
		{Name: "hard link, first name overwritten above", Layers: []Layer{pair, Files(File("a", "new"))}},
		{Name: "hard link, second name overwritten above", Layers: []Layer{pair, Files(File("b", "new"))}},
		{Name: "hard link, overwritten in the same layer",
			Layers: []Layer{Files(File("a", "1"), Link("b", "a"), File("a", "2"), Link("c", "a"))}},
		{Name: "hard link, first name deleted above",
			Layers: []Layer{pair, Files(Whiteout("a")), Files(Link("c", "b"))}},
		{Name: "hard link's header does not count",
			Layers: []Layer{Files(File("a", "x").Mode(0o600),
				Link("b", "a").Mode(0o777).Owner(9, 9).At(Epoch.Add(time.Hour)))}},
		{Name: "hard link over a file", Layers: []Layer{Files(File("a", "a"), File("b", "b")), Files(Link("b", "a"))}},
		{Name: "hard link over a directory",
			Layers: []Layer{Files(File("a", "a"), Dir("b"), File("b/in", "")), Files(Link("b", "a"))}},
		{Name: "hard link to a symlink", Layers: []Layer{Files(File("t", "t"), Symlink("s", "t"), Link("l", "s"))}},
		{Name: "hard link through a symlinked directory",
			Layers: []Layer{Files(Dir("t"), File("t/f", "f"), Symlink("s", "t")), Files(Link("l", "s/f"))}},
		{Name: "hard link to a FIFO and a device",
			Layers: []Layer{Files(FIFO("p"), Link("q", "p"), Char("c", 1, 7), Link("e", "c"))}},
		{Name: "hard link with absolute and dotted target",
			Layers: []Layer{Files(Dir("d"), File("d/a", "a"), Link("b", "/d/a"), Link("c", "./d/../d/a"))}},
		{Name: "hard link, chain", Layers: []Layer{Files(chain...)}},
		{Name: "hard link before its target", Layers: []Layer{Files(Link("b", "a"), File("a", "a"))},
			Umoci: "fails: it links at once"},
		{Name: "hard link, chain backwards", Layers: []Layer{Files(backwards...)},
			Umoci: "fails: it links at once"},
		{Name: "hard link before its target, its name used again",
			Layers: []Layer{Files(Link("b", "a"), File("b", "b"), File("a", "a"))},
			Umoci:  "fails: it links at once"},
		{Name: "hard link to an older version",
			Layers: []Layer{Files(File("a", "old")), Files(Link("b", "a"), File("a", "new"))}},
		{Name: "hard links across three layers",
			Layers: []Layer{Files(File("a", "x")), Files(Link("b", "a")), Files(Link("c", "b"), File("a", "y"))}},
		{Name: "hard link, whiteout of its target after it",
			Layers: []Layer{Files(File("a", "x")), Files(Link("b", "a"), Whiteout("a"))}},
		{Name: "hard link to itself, present", Layers: []Layer{Files(File("a", "x")), Files(Link("a", "a"))},
			Umoci: "fails: it removes the name before it links to it"},
		{Name: "empty files that are hard links", Layers: []Layer{Files(File("a", ""), Link("b", "a"), File("c", ""))}},
		{Name: "hard links, more than 65536", Layers: []Layer{Files(many...)}, NoDir: "ext4 takes 65000 links",
			Slow: true},
		{Name: "hard link to nothing", Layers: []Layer{Files(Link("b", "a"))}, Refused: "does not exist"},
		{Name: "hard link to itself", Layers: []Layer{Files(Link("b", "b"))}, Refused: "hard link to itself"},
		{Name: "hard links in a circle", Layers: []Layer{Files(Link("a", "b"), Link("b", "c"), Link("c", "a"))},
			Refused: "hard link to itself"},
		{Name: "hard link to a directory", Layers: []Layer{Files(Dir("d"), Link("b", "d"))}, Refused: "a directory"},
		{Name: "hard link in place of the root", Layers: []Layer{Files(File("a", ""), Link("./", "a"))},
			Refused: "root directory"},
	}
}

func names() []Case {
	long := func(n int) string { return strings.Repeat("n", n) }
	deep := func(n int) string { return strings.Repeat("d/", n/2) + "f" }
	usrmerge := Files(Dir("usr"), Dir("usr/lib").Mode(0o711), File("usr/lib/old", "old"), Symlink("lib", "usr/lib"),
		Symlink("abs", "/usr/lib"),
		Symlink("up", "../../usr/lib"), Symlink("two", "lib"), Symlink("usr/back", "../lib"))
	return []Case{
		{Name: "names with ./",
			Layers: []Layer{Files(Dir("./"), Dir("./d/"), File("./d/f", "f"), File("././d/./g", "g"))}},
		{Name: "trailing slashes", Layers: []Layer{Files(Dir("d//"), Dir("d/e/"), File("d/e/f", "f"))}},
		{Name: "absolute names", Layers: []Layer{Files(Dir("/d"), File("/d/f", "f"), Link("//d/l", "/d/f"))}},
		{Name: "dot dot",
			Layers: []Layer{Files(Dir("d"), File("d/../f", "f"), File("../../g", "g"), File("d/../../../h", "h"))}},
		{Name: "the root's own entry",
			Layers: []Layer{Files(Dir(".").Mode(0o711).Owner(7, 8).At(Epoch.Add(time.Minute)), File("f", ""))}},
		{Name: "the root's own entry in an upper layer",
			Layers: []Layer{Files(Dir("."), File("f", "")), Files(Dir("./").Mode(0o1755))}},
		{Name: "no entry for the root", Layers: []Layer{Files(File("f", ""))}},
		{Name: "missing parents", Layers: []Layer{Files(File("a/b/c/f", "f"), Symlink("x/y/l", "f"), Dir("p/q"))}},
		{Name: "missing parents, described later",
			Layers: []Layer{Files(File("a/b/f", "f"), Dir("a/b").Mode(0o700), Dir("a").Mode(0o701))}},
		{Name: "parent from a lower layer",
			Layers: []Layer{Files(Dir("a").Mode(0o700).Owner(1, 1)), Files(File("a/f", "f"))}},
		{Name: "below a symlinked directory",
			Layers: []Layer{usrmerge,
				Files(File("lib/x", "x"), File("abs/y", "y"), File("up/z", "z"), File("two/w", "w"),
					File("usr/back/v", "v"))}},
		{Name: "below a symlinked directory, replaced", Layers: []Layer{usrmerge, Files(File("lib/old", "new"))}},
		{Name: "below a symlinked directory, new parents", Layers: []Layer{usrmerge, Files(File("lib/a/b/c", "c"))},
			Umoci: "changes the time of usr/lib by making a directory in it"},
		{Name: "below a symlink to nothing", Layers: []Layer{Files(Symlink("s", "not/yet")), Files(File("s/f", "f"))}},
		{Name: "below a symlink that leaves the root",
			Layers: []Layer{Files(Symlink("out", "../../../../../etc")), Files(File("out/passwd", "mine"))}},
		{Name: "directory over a symlinked parent keeps the target",
			Layers: []Layer{usrmerge, Files(Dir("lib"), File("lib/x", "x"))}},
		{Name: "symlinked parent in the same layer",
			Layers: []Layer{Files(Dir("t"), Symlink("s", "t"), File("s/f", "f"))}},
		{Name: "symlinks in a circle", Layers: []Layer{Files(Symlink("a", "b"), Symlink("b", "a"))}},
		{Name: "below symlinks in a circle",
			Layers:  []Layer{Files(Symlink("a", "b"), Symlink("b", "a")), Files(File("a/f", ""))},
			Refused: "in a circle"},
		{Name: "duplicate entries",
			Layers: []Layer{Files(File("f", "first"), File("f", "second").Mode(0o600),
				File("f", "third").Owner(1, 2))}},
		{Name: "duplicate entries of other types",
			Layers: []Layer{Files(File("f", "1"), Symlink("f", "2"), Dir("f"), File("f/in", ""), Char("f", 1, 5))}},
		{Name: "duplicate directory entries",
			Layers: []Layer{Files(Dir("d"), File("d/f", "f"), Dir("d").Mode(0o500).Owner(4, 4))}},
		{Name: "non-UTF-8 names",
			Layers: []Layer{Files(File("caf\xe9", "x").Format(tar.FormatGNU),
				Symlink("\xff\xfe", "\x80\x81").Format(tar.FormatGNU), Dir("d\xc3").Format(tar.FormatGNU),
				File("d\xc3/\xa9", "y").Format(tar.FormatGNU))}},
		{Name: "non-UTF-8 names in PAX",
			Layers: []Layer{Files(Raw(append(append(extended('x', "hdrcharset=BINARY", "path=caf\xe9"),
				header("x", '0', 1)...), padded("b")...)))}},
		{Name: "names with blanks and controls",
			Layers: []Layer{Files(File("a b", ""), File("tab\there", ""), File("line\nfeed", ""),
				File("back\\slash", ""), File("*", ""), File(" ", ""), File("\"q\"", ""))}},
		{Name: "names of several scripts",
			Layers: []Layer{Files(File("żółw", "1"), File("日本", "2"), Dir("🐧"), File("🐧/ß", "3"))}},
		{Name: "names like whiteouts that are none",
			Layers: []Layer{Files(File("x.wh.y", ""), File(".wh", ""), File("wh.", ""))}},
		{Name: "names beginning with dots and dashes",
			Layers: []Layer{Files(File("...", ""), File("..x", ""), File("-rf", ""), Dir(".hidden"))}},
		{Name: "ustar name with a prefix",
			Layers: []Layer{Files(File(long(90)+"/"+long(90), "x").Format(tar.FormatUSTAR))}},
		{Name: "name over 100 bytes, GNU",
			Layers: []Layer{Files(File(long(150), "x").Format(tar.FormatGNU),
				Symlink("s", long(150)).Format(tar.FormatGNU))}},
		{Name: "name over 100 bytes, PAX",
			Layers: []Layer{Files(File(long(150), "x").Format(tar.FormatPAX),
				Symlink("s", long(150)).Format(tar.FormatPAX))}},
		{Name: "name of 255 bytes", Layers: []Layer{Files(File(long(255), "x"))}},
		{Name: "path over 255 bytes",
			Layers: []Layer{Files(File(long(200)+"/"+long(200)+"/"+long(200), "x"),
				Link(long(200)+"/l", long(200)+"/"+long(200)+"/"+long(200)))}},
		{Name: "path of 4095 bytes", Layers: []Layer{Files(File(deep(4094), "x"))},
			NoDir: "a path of its own length cannot be opened below another directory"},
		{Name: "path over 4096 bytes", Layers: []Layer{Files(File(deep(4200), "x"))}, NotInitrd: "Linux takes 4095",
			NoDir: "no system call takes such a path"},
		{Name: "name of 256 bytes", Layers: []Layer{Files(File(long(256), "x"))}, NotInitrd: "Linux takes 255",
			NoDir: "no file system takes such a name"},
		{Name: "path deeper than any limit", Layers: []Layer{Files(File(deep(20000), "x"))}, Refused: "deeper than"},
		{Name: "link target of 4095 bytes", Layers: []Layer{Files(Symlink("s", long(4095)))},
			NoDir: "ext4 takes 4095 bytes only with its own block size"},
		{Name: "link target over 4096 bytes", Layers: []Layer{Files(Symlink("s", long(5000)))},
			NotInitrd: "Linux takes 4095", NoDir: "no file system takes such a target"},
		{Name: "below a link target over 4096 bytes", Layers: []Layer{Files(Symlink("s", long(5000)), File("s/f", ""))},
			Refused: "in a circle"},
		{Name: "empty link target", Layers: []Layer{Files(Raw(header("s", '2', 0)))},
			Refused: "symbolic link to nothing"},
		{Name: "a file called TRAILER!!!", Layers: []Layer{Files(File("TRAILER!!!", "x"))},
			NotInitrd: "ends an initramfs"},
		{Name: "a file called TRAILER!!! below", Layers: []Layer{Files(Dir("d"), File("d/TRAILER!!!", "x"))}},
	}
}

func dialects() []Case {
	return []Case{
		{Name: "entries without type bits",
			Layers: []Layer{Files(File("f", "f").Mode(0o100644), Dir("d").Mode(0o40755),
				File("s", "").Mode(0o104755))}},
		{Name: "version 7 tar", Layers: []Layer{Files(V7("d/", ""), V7("d/f", "old"), V7("g", ""))}},
		{Name: "contiguous file", Layers: []Layer{Files(Raw(append(header("f", '7', 3), padded("abc")...)))},
			Umoci: "fails: it does not know the type"},
		{Name: "PAX global header", Layers: []Layer{Files(Raw(extended('g', "comment=abc")), File("f", "f"))},
			Umoci: "fails: it does not know the type"},
		{Name: "volume label", Layers: []Layer{Files(Raw(header("label", 'V', 0)), File("f", "f"))},
			Umoci: "fails: it does not know the type"},
		{Name: "unknown type", Layers: []Layer{Files(Raw(header("f", 'Z', 0)))}, Refused: "unknown tar type"},
		{Name: "setuid, setgid, sticky",
			Layers: []Layer{Files(File("u", "x").Mode(0o4755).Owner(5, 6), File("g", "x").Mode(0o2755).Owner(5, 6),
				Dir("t").Mode(0o1777), Dir("sg").Mode(0o2775).Owner(0, 50), File("z", "").Mode(0),
				Dir("w").Mode(0o7777))}},
		{Name: "owners",
			Layers: []Layer{Files(File("a", "").Owner(65534, 65534), File("b", "").Owner(70000, 4000000000),
				Symlink("s", "a").Owner(1000, 1001), Dir("d").Owner(1<<31, 2))}},
		{Name: "owner minus one", Layers: []Layer{Files(File("a", "").Owner(1<<32-1, 0))},
			Refused: "Linux cannot hold"},
		{Name: "owner over 32 bits", Layers: []Layer{Files(File("a", "").Owner(1<<40, 0))},
			Refused: "Linux cannot hold"},
		{Name: "device nodes",
			Layers: []Layer{Files(Char("null", 1, 3).Mode(0o666), Block("sda", 8, 0).Mode(0o660).Owner(0, 6),
				Char("big", 4095, 1<<20-1).Format(tar.FormatPAX), FIFO("p"))}},
		{Name: "device number out of range", Layers: []Layer{Files(Char("x", 4096, 0))}, Refused: "Linux cannot hold"},
		{Name: "times",
			Layers: []Layer{Files(File("zero", "").At(time.Unix(0, 0)),
				File("late", "").At(time.Unix(1<<32-1, 0).UTC()), Dir("d").At(time.Unix(1, 0)),
				Symlink("s", "x").At(time.Unix(2, 0)), FIFO("p").At(time.Unix(3, 0)))}},
		{Name: "times out of range and fractions", Layers: []Layer{Files(
			File("before", "").At(time.Unix(-5, 0)).Format(tar.FormatPAX),
			File("fraction", "").At(time.Unix(1600000000, 123456789)).Format(tar.FormatPAX),
			File("after", "").At(time.Unix(1<<32+5, 0)).Format(tar.FormatPAX))}},
		{Name: "extended attributes", Layers: []Layer{Files(
			File("ping", "x").Mode(0o755).Xattr("security.capability",
				"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
			File("two", "").Xattr("user.a", "1").Xattr("user.b", "binary\xff"), Dir("d").Xattr("user.d", "dir"),
			Dir(".").Xattr("user.root", "r"))}},
		{Name: "extended attributes replaced above",
			Layers: []Layer{Files(File("f", "").Xattr("user.a", "1"), Dir("d").Xattr("user.a", "1")),
				Files(File("f", "").Xattr("user.b", "2"), Dir("d"))}},
		{Name: "sparse file, GNU", Layers: []Layer{Files(GNUSparse("s", "data", 1<<20, 3<<20))},
			Umoci: "fails: it does not know the type"},
		{Name: "sparse file, PAX 0.1", Layers: []Layer{Files(PAXSparse01("s", "data", 1<<20, 3<<20))}},
		{Name: "sparse file, PAX 1.0",
			Layers: []Layer{Files(PAXSparse("s", "data", 1<<20, 3<<20), File("after", "x"))}},
		{Name: "hostile size", Layers: []Layer{Files(Raw(header("f", '0', 1<<32)))}, Refused: "unexpected EOF"},
	}
}

func contents() []Case {
	var many []Entry
	for i := range 100 {
		many = append(many, Dir(fmt.Sprintf("d%02d", i)))
		for j := range 999 {
			many = append(many, File(fmt.Sprintf("d%02d/f%03d", i, j), fmt.Sprint(i*j)))
		}
	}
	big := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	return []Case{
		{Name: "files of every small size", Layers: []Layer{sizes()}},
		{Name: "a large file between small ones",
			Layers: []Layer{Files(File("a", "a"), File("big", big), File("z", "z")), Files(File("a", "above"))}},
		{Name: "a file of 2 GiB - 1", Layers: []Layer{Files(PAXSparse("f", "end", 1<<31-4, 1<<31-1))}, Slow: true,
			NoDir: "would take 2 GiB to compare"},
		{Name: "a file of 2 GiB", Layers: []Layer{Files(PAXSparse("f", "end", 1<<31-4, 1<<31))}, NotInitrd: "2 GiB",
			Slow: true, NoDir: "would take 2 GiB to compare"},
		{Name: "a file of 4 GiB - 1", Layers: []Layer{Files(PAXSparse("f", "end", 1<<32-4, 1<<32-1))},
			NotInitrd: "2 GiB", Slow: true, NoDir: "would take 4 GiB to compare"},
		{Name: "a file of 4 GiB", Layers: []Layer{Files(PAXSparse("f", "end", 1<<32-4, 1<<32))}, NotInitrd: "2 GiB",
			Slow: true, NoDir: "would take 4 GiB to compare"},
		{Name: "a file of 5 GiB", Layers: []Layer{Files(PAXSparse("f", "end", 1<<32-4, 5<<30))}, NotInitrd: "2 GiB",
			Slow: true, NoDir: "would take 5 GiB to compare"},
		{Name: "a file over 4 GiB, deleted above",
			Layers: []Layer{Files(PAXSparse("f", "end", 1<<32-4, 5<<30), File("g", "g")), Files(Whiteout("f"))},
			Slow:   true, NoDir: "would take 5 GiB to unpack"},
		{Name: "100000 entries", Layers: []Layer{Files(many...)}, Slow: true},
	}
}

func sizes() Layer {
	var l Layer
	for n := range 40 {
		l.Entries = append(l.Entries, File(fmt.Sprintf("f%02d", n), strings.Repeat("x", n)),
			File(fmt.Sprintf("g%02d", n), strings.Repeat("y", 492+n)))
	}
	return l
}

// storage are images with the same two layers in every form in which a registry may store them.
func storage() []Case {
	lower := []Entry{Dir("d"), File("d/a", "a"), File("d/b", strings.Repeat("compress me ", 5000))}
	upper := []Entry{Whiteout("d/a"), File("d/c", "c")}
	cases := []Case{
		{Name: "no layers"},
		{Name: "a layer without entries", Layers: []Layer{Files(), Files(File("f", "f")), Files()}},
		{Name: "a layer of no bytes", Layers: []Layer{{Tar: []byte{}, Compression: Plain}, Files(File("f", "f"))}},
		{Name: "a gzip layer of no bytes", Layers: []Layer{{Tar: []byte{}}, Files(File("f", "f"))}},
		{Name: "no trailer", Layers: []Layer{{Entries: []Entry{File("f", "f")}, NoTrailer: true}}},
		{Name: "one layer of each form", Layers: []Layer{
			{Entries: []Entry{File("f", "gzip")}}, {Entries: []Entry{File("g", "zstd")}, Compression: Zstd},
			{Entries: []Entry{File("h", "plain")}, Compression: Plain},
			{Entries: []Entry{File("i", "members")}, Compression: MultiGzip},
			{Entries: []Entry{File("j", "frames")}, Compression: MultiZstd}}},
		{Name: "garbage after the archive's end",
			Layers: []Layer{{Tar: append(mustArchive(File("f", "f")), "garbage"...)}}},
		{Name: "garbage instead of an archive", Layers: []Layer{{Tar: []byte(strings.Repeat("garbage ", 200))}},
			Refused: "no intact tar archive"},
		{Name: "archive cut in a file",
			Layers:  []Layer{{Tar: mustArchive(File("f", strings.Repeat("x", 5000)))[:2000]}},
			Refused: "unexpected EOF"},
		{Name: "archive cut in a header", Layers: []Layer{{Tar: mustArchive(File("f", ""))[:300]}},
			Refused: "no intact tar archive"},
		{Name: "a header with a wrong checksum", Layers: []Layer{{Tar: corrupt(mustArchive(File("f", "f")), 3)}},
			Refused: "no intact tar archive"},
		{Name: "bzip2", Layers: []Layer{{Tar: []byte("BZh91AY&SY"), Compression: Plain}}, Refused: "bzip2"},
		{Name: "xz", Layers: []Layer{{Tar: []byte("\xfd7zXZ\x00\x00"), Compression: Plain}},
			Refused: "compressed with xz"},
	}
	for _, c := range []Compression{Gzip, MultiGzip, Zstd, MultiZstd, Plain} {
		cases = append(cases,
			Case{Name: c.String(), Layers: []Layer{{Entries: lower, Compression: c}, {Entries: upper, Compression: c}}},
			Case{Name: c.String() + " under a wrong media type", Layers: []Layer{
				{Entries: lower, Compression: c, MediaType: wrong(c)},
				{Entries: upper, Compression: c, MediaType: wrong(c)}}})
	}
	return cases
}

// wrong returns a wrong media type that registries do send for layers stored as c.
func wrong(c Compression) types.MediaType {
	if c == Gzip || c == MultiGzip {
		return types.OCILayerZStd
	}
	return types.OCILayer
}

func mustArchive(entries ...Entry) []byte {
	b, err := Files(entries...).Archive()
	if err != nil {
		panic(err) // the entries are constants of this file
	}
	return b
}

func corrupt(b []byte, at int) []byte { b[at] ^= 1; return b }
