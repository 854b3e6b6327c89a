package integration

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
)

// archive returns an initramfs of these records and of files, which only root can read or start, in their directories.
func archive(t *testing.T, files map[string]string, records ...cpio.Record) []byte {
	t.Helper()
	made := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for i := range len(name) {
			if dir := name[:i]; name[i] == '/' && !made[dir] {
				made[dir] = true
				records = append(records, cpio.Directory(dir, 0o755))
			}
		}
		records = append(records, cpio.StaticFile(name, files[name], 0o700))
	}
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	if err := cpio.WriteRecords(w, records); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// console returns the records of an initramfs whose init has a console.
func console() []cpio.Record {
	return []cpio.Record{cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1)}
}
