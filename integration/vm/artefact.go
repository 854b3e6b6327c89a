package vm

import (
	"os"
	"path/filepath"
	"testing"
)

// Artefact returns the path of a file that make has built.
func Artefact(t testing.TB, name string) string {
	t.Helper()
	file := filepath.Join(out(t), name)
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%v: run make out/%s first", err, name)
	}
	return file
}

// out is the directory out/ of the module whose tests run.
func out(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "out")
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("these tests run below the directory of go.mod, and nowhere else")
		}
		dir = filepath.Dir(dir)
	}
}
