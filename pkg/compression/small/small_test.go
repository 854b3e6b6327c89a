package small

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// pack returns what a program makes of a text.
func pack(t *testing.T, text, program string, options ...string) []byte {
	t.Helper()
	imagetest.NeedsPrograms(t, program)
	cmd := exec.Command(program, options...)
	cmd.Stdin = strings.NewReader(text)
	packed, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v", program, options, err)
	}
	return packed
}

func TestUnpack(t *testing.T) {
	text := strings.Repeat("a module ", 1000)
	for _, program := range [][]string{{"cat"}, {"gzip"}, {"xz", "--check=crc32"}, {"zstd"}} {
		packed := pack(t, text, program[0], program[1:]...)
		limit := int64(len(text))
		if b, err := Unpack(packed, limit); err != nil || string(b) != text {
			t.Errorf("Unpack of what %s makes = %d bytes, %v", program[0], len(b), err)
		}
		if _, err := Unpack(packed, limit-1); err == nil || !strings.Contains(err.Error(), "it has more than 8 KiB") {
			t.Errorf("Unpack of what %s makes, with too low a limit = %v", program[0], err)
		}
		if program[0] == "cat" {
			continue
		}
		if b, err := Unpack(packed[:len(packed)-5], limit); err == nil {
			t.Errorf("Unpack of the beginning of what %s makes = %d bytes", program[0], len(b))
		}
	}
	if _, err := Unpack([]byte("LZIP\x01"), 1); err == nil || !strings.HasPrefix(err.Error(), "it is compressed with lzip") {
		t.Errorf("Unpack of lzip = %v", err)
	}
}

// TestDictionary reads what xz itself makes, and does not get the memory for the dictionary of another file, which may
// ask for 4 GiB.
func TestDictionary(t *testing.T) {
	for _, row := range []struct {
		options []string
		fails   bool
	}{
		{[]string{"--check=crc32", "--lzma2=dict=1MiB"}, false},
		{[]string{"-9", "--check=sha256"}, false},
		{[]string{"--x86", "--lzma2=dict=32MiB", "--check=none"}, false},
		{[]string{"--lzma2=preset=0,dict=65MiB"}, true},
		{[]string{"--lzma2=preset=0,dict=1536MiB"}, true},
	} {
		packed := pack(t, "a module", "xz", append([]string{"--stdout", "--threads=1"}, row.options...)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b, err := Unpack(packed, 1<<10)
		runtime.ReadMemStats(&after)
		if row.fails != (err != nil) || err == nil && string(b) != "a module" {
			t.Errorf("xz %q: %q, %v", row.options, b, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 2*maxDict {
			t.Errorf("xz %q: it takes %d MiB of memory", row.options, used>>20)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	for _, text := range []string{"", "a module", "\x1f\x8b\x08", "\x28\xb5\x2f\xfd", "\xfd7zXZ\x00", "BZh91AY&SY"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		if got, err := Unpack(b, limit); err == nil && len(got) > limit {
			t.Errorf("Unpack = %d bytes", len(got))
		}
	})
}
