package imagetest

import (
	"fmt"
	"strings"
)

// header returns a ustar header block that is built by hand, for headers that the writer of archive/tar refuses to
// write.
func header(name string, kind byte, size int64) []byte {
	b := make([]byte, 512)
	copy(b[0:100], name)
	copy(b[100:], "0000644\x00")
	copy(b[108:], "0000000\x00")
	copy(b[116:], "0000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00", size))
	copy(b[136:], fmt.Sprintf("%011o\x00", Epoch.Unix()))
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	checksum(b)
	return b
}

// padded returns content, filled up to whole blocks with zero bytes.
func padded(content string) []byte {
	return append([]byte(content), make([]byte, -len(content)&511)...)
}

// extended returns a PAX header of kind 'x', for the next member, or 'g', for all, with these records: "key=value".
func extended(kind byte, records ...string) []byte {
	var sb strings.Builder
	for _, r := range records {
		n := len(r) + 3
		for len(fmt.Sprint(n))+len(r)+2 != n {
			n = len(fmt.Sprint(n)) + len(r) + 2
		}
		fmt.Fprintf(&sb, "%d %s\n", n, r)
	}
	return append(header("PaxHeader", kind, int64(sb.Len())), padded(sb.String())...)
}

// V7 returns a file, or a directory if the name ends in a slash, in the format of Unix version 7: it has NUL bytes
// instead of a magic number and a type.
func V7(name, content string) Entry {
	b := header(name, 0, int64(len(content)))
	clear(b[257:])
	checksum(b)
	return Raw(append(b, padded(content)...))
}

// GNUSparse returns a sparse file of size bytes in the old GNU format. All bytes are zero except part at offset.
func GNUSparse(name, part string, offset, size int64) Entry {
	b := header(name, 'S', int64(len(part)))
	copy(b[257:], "ustar  \x00")
	copy(b[386:], fmt.Sprintf("%011o\x00%011o\x00", offset, len(part)))
	copy(b[410:], fmt.Sprintf("%011o\x00%011o\x00", size, 0))
	copy(b[483:], gnuNumber(size))
	checksum(b)
	return Raw(append(b, padded(part)...))
}

// gnuNumber returns n in octal if it fits, else in GNU's base-256.
func gnuNumber(n int64) string {
	if n < 1<<33 {
		return fmt.Sprintf("%011o\x00", n)
	}
	b := make([]byte, 12)
	for i := 11; i > 0; i-- {
		b[i] = byte(n)
		n >>= 8
	}
	b[0] = 0x80
	return string(b)
}

// PAXSparse returns the same file in GNU's PAX format 1.0, in which the map comes before the data.
func PAXSparse(name, part string, offset, size int64) Entry {
	pax := extended('x', "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name="+name,
		fmt.Sprintf("GNU.sparse.realsize=%d", size))
	body := append(padded(fmt.Sprintf("2\n%d\n%d\n%d\n0\n", offset, len(part), size)), padded(part)...)
	size512 := int64(512 + len(part))
	return Raw(append(append(pax, header("GNUSparseFile.0/"+shorten(name), '0', size512)...), body...))
}

// PAXSparse01 returns the same file in GNU's PAX format 0.1, in which the map is a PAX record.
func PAXSparse01(name, part string, offset, size int64) Entry {
	pax := extended('x',
		fmt.Sprintf("GNU.sparse.size=%d", size), "GNU.sparse.numblocks=2", "GNU.sparse.name="+name,
		fmt.Sprintf("GNU.sparse.map=%d,%d,%d,0", offset, len(part), size))
	return Raw(append(append(pax, header("GNUSparseFile.0/"+shorten(name), '0', int64(len(part)))...), padded(part)...))
}

func shorten(name string) string { return name[:min(len(name), 60)] }
