package tools

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestCompress compresses a file that changes, and one that is as it was.
func TestCompress(t *testing.T) {
	get(t, "compress")
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	compress := func(text string) []byte {
		t.Helper()
		put(t, in, text)
		cmd := exec.Command("./compress", in, out)
		cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"))
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("compress: %v: %s", err, b)
		}
		b := get(t, out)
		z, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		if got, err := z.DecodeAll(b, nil); err != nil || string(got) != text {
			t.Errorf("%q becomes %q again: %v", text, got, err)
		}
		return b
	}
	first := compress("a")
	compress("b")
	if again := compress("a"); !bytes.Equal(first, again) {
		t.Error("the same content gives other bytes")
	}
	kept, err := filepath.Glob(filepath.Join(dir, "cache/wyrcan/*"))
	if err != nil || len(kept) != 2 {
		t.Errorf("the cache has %q, want one file for each content: %v", kept, err)
	}
}
