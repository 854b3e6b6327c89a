package hostile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// An Image is a malicious image. Its digests are correct.
type Image struct {
	Name   string
	Boots  bool // the image is unusual, but valid
	Layers func(testing.TB) []imagetest.Layer
}

// bootable is the valid layer below the malicious one in each image.
var bootable = imagetest.Files(imagetest.Dir("boot"),
	imagetest.File("boot/wyrcan.kernel", string(imagetest.BzImage("6.1.0"))),
	imagetest.File("init", program()).Mode(0o755), imagetest.Dir("etc"), imagetest.Dir("data"))

// program returns an ELF file with the header of an amd64 program.
func program() string {
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Phentsize: 56,
		Shentsize: 64}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	binary.Write(&b, binary.LittleEndian, h) // writing to a Buffer does not fail
	return b.String()
}

// Images returns all malicious images.
func Images() []Image {
	var list []Image
	add := func(name string, boots bool, entries ...imagetest.Entry) {
		list = append(list, Image{name, boots, func(testing.TB) []imagetest.Layer {
			return []imagetest.Layer{bootable, {Compression: imagetest.Plain, Entries: entries}}
		}})
	}
	stream := func(name string, layer func(testing.TB) []byte) {
		list = append(list, Image{name, false, func(t testing.TB) []imagetest.Layer {
			return []imagetest.Layer{bootable, {Compression: imagetest.Plain, Tar: layer(t)}}
		}})
	}

	add("names that climb", false, imagetest.File("../../up", "x"), imagetest.File("etc/../../up", "x"),
		imagetest.File("/root", "x"),
		imagetest.File("./.././up", "x"), imagetest.Dir(".."), imagetest.Symlink("../up", "x"))
	add("behind a link that leads out", true, imagetest.Symlink("out", "/../../../../../tmp"),
		imagetest.File("out/hostile", "x"),
		imagetest.Symlink("etc/up", "../../.."), imagetest.File("etc/up/hostile", "x"))
	add("a hard link to the host", false, imagetest.Link("shadow", "../../../../etc/shadow"))
	add("a hard link to itself", false, imagetest.Link("self", "self"))
	add("hard links in a circle", false, imagetest.Link("a", "b"), imagetest.Link("b", "a"))
	add("whiteouts of nothing", false, imagetest.Whiteout("."), imagetest.Whiteout(".."), imagetest.Whiteout("etc/.."),
		imagetest.Whiteout(""))
	add("links in a circle", false, imagetest.Symlink("a", "b"), imagetest.Symlink("b", "a"),
		imagetest.File("a/x", "x"))
	add("a kernel that links to itself", false, imagetest.Symlink("boot/wyrcan.kernel", "wyrcan.kernel"))
	add("a kernel that is a pipe", false, imagetest.FIFO("boot/wyrcan.kernel"))
	add("a kernel that is a device", false, imagetest.Char("boot/wyrcan.kernel", 1, 5))
	add("a kernel that is a directory", false, imagetest.Whiteout("boot/wyrcan.kernel"),
		imagetest.Dir("boot/wyrcan.kernel/x"))
	add("an init that is a device", false, imagetest.Char("init", 1, 5))
	add("an init behind forty links", false, chain(45, "init")...)
	for name, kernel := range map[string][]byte{
		"itself":               sectionsAt(1024, 0),
		"nothing":              {},
		"two letters":          []byte("MZ"),
		"only zeros":           make([]byte, 1<<20),
		"all setup":            setups(imagetest.BzImage("6.1.0"), 255),
		"a banner that shouts": imagetest.BzImage("6.1\x1b[2J\n" + strings.Repeat("x", 300)),
	} {
		add("a kernel of "+name, false, imagetest.File("boot/wyrcan.kernel", string(kernel)))
	}
	add("a command line that shouts", false, imagetest.File("boot/wyrcan.cmdline", shout))
	add("a command line of a megabyte", false, imagetest.File("boot/wyrcan.cmdline", strings.Repeat("a=b ", 1<<18)))
	add("names that shout", true, imagetest.File("data/"+strings.ReplaceAll(shout, "\x00", ""), "x"),
		imagetest.File("data/a\xff\xfe", "x"))
	add("one name, many kinds", true, imagetest.File("data/x", "x"), imagetest.Dir("data/x"),
		imagetest.File("data/x/y", "x"),
		imagetest.Symlink("data/x", "/etc"), imagetest.FIFO("data/x"), imagetest.Char("data/x", 1, 3),
		imagetest.File("data/x", "y"))
	add("an attribute of half a megabyte", false,
		imagetest.File("data/x", "x").Xattr("user.x", strings.Repeat("x", 1<<19)))
	add("many files behind long links", false, behindLinks(20_000)...)
	add("deep", false, imagetest.File(strings.Repeat("d/", 2000)+"x", "x"))
	add("deep through links", false, deepLinks()...)

	stream("a size of exabytes", func(testing.TB) []byte { return header("data/x", 1<<62, '0') })
	stream("a size below zero", func(testing.TB) []byte { return header("data/x", -1, '0') })
	stream("a name of gigabytes", func(testing.TB) []byte { return header("././@LongLink", 8<<30, 'L') })
	stream("records of gigabytes", func(testing.TB) []byte { return header("x", 8<<30, 'x') })
	stream("no archive", func(testing.TB) []byte { return bytes.Repeat([]byte("not an archive "), 10_000) })
	stream("a bomb of gzip", func(t testing.TB) []byte { return gzipBomb(t, 2<<30) })
	stream("a bomb of zstd", func(t testing.TB) []byte { return zstdBomb(t, 2<<30) })
	list = append(list, Image{"five hundred layers", true, func(testing.TB) []imagetest.Layer {
		layers := []imagetest.Layer{bootable}
		for i := range 500 {
			layers = append(layers,
				imagetest.Files(imagetest.File(fmt.Sprintf("data/%d", i), "x"),
					imagetest.Whiteout(fmt.Sprintf("data/%d", i-1))))
		}
		return layers
	}})
	return list
}

// chain returns a chain of n symbolic links that begins at name.
func chain(n int, name string) []imagetest.Entry {
	list := []imagetest.Entry{imagetest.Symlink(name, "data/0"),
		imagetest.File(fmt.Sprintf("data/%d", n), "x").Mode(0o755)}
	for i := range n {
		list = append(list, imagetest.Symlink(fmt.Sprintf("data/%d", i), fmt.Sprint(i+1)))
	}
	return list
}

// behindLinks returns n files whose names go through forty links, each with meaningless padding.
func behindLinks(n int) []imagetest.Entry {
	const links = 39
	pad := strings.Repeat("./", 1500)
	list := []imagetest.Entry{imagetest.Dir(fmt.Sprintf("data/%d", links))}
	for i := range links {
		list = append(list, imagetest.Symlink(fmt.Sprintf("data/%d", i), pad+fmt.Sprint(i+1)))
	}
	for i := range n {
		list = append(list, imagetest.File(fmt.Sprintf("data/0/%d", i), ""))
	}
	return list
}

// deepLinks returns names with many parts. Each part is a link to its own directory.
func deepLinks() []imagetest.Entry {
	list := []imagetest.Entry{imagetest.Symlink("data/l", ".")}
	for i := range 5000 {
		list = append(list, imagetest.File("data/"+strings.Repeat("l/", 30)+fmt.Sprint(i), ""))
	}
	return list
}

// sectionsAt returns a PE file whose section .linux has this size and offset.
func sectionsAt(size, offset uint32) []byte {
	b := make([]byte, size)
	le := binary.LittleEndian
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x44:], 0x8664) // IMAGE_FILE_MACHINE_AMD64
	le.PutUint16(b[0x46:], 1)
	section := b[0x58:]
	copy(section, ".linux")
	le.PutUint32(section[8:], size)
	le.PutUint32(section[16:], size)
	le.PutUint32(section[20:], offset)
	return b
}

// setups changes the header of a kernel to claim n sectors of setup code.
func setups(kernel []byte, n byte) []byte {
	kernel[0x1f1] = n
	return kernel
}

// header returns the header of an archive member without its content. The size is in GNU tar's form for sizes that do
// not fit into octal digits.
func header(name string, size int64, kind byte) []byte {
	b := make([]byte, 512)
	copy(b, name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	binary.BigEndian.PutUint64(b[128:], uint64(size))
	if b[124] = 0x80; size < 0 {
		copy(b[124:], "\xff\xff\xff\xff")
	}
	copy(b[136:], "00000000000\x00        ")
	b[156] = kind
	copy(b[257:], "ustar  \x00")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// gzipBomb returns a gzip archive with one file of zeros.
func gzipBomb(t testing.TB, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	must(t, err)
	writeZeros(t, w, size)
	return out.Bytes()
}

// zstdBomb returns the same archive, compressed with zstd.
func zstdBomb(t testing.TB, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedFastest))
	must(t, err)
	writeZeros(t, w, size)
	return out.Bytes()
}

// writeZeros writes an archive of one file of zeros, and closes w.
func writeZeros(t testing.TB, w io.WriteCloser, size int64) {
	t.Helper()
	_, err := w.Write(header("data/zeros", size, '0'))
	must(t, err)
	zeros := make([]byte, 1<<20)
	for range size >> 20 {
		_, err := w.Write(zeros)
		must(t, err)
	}
	_, err = w.Write(make([]byte, 1024))
	must(t, err)
	must(t, w.Close())
}
