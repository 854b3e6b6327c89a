package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i, kind := range []string{"P-256", "RSA"} {
		files = append(files, filepath.Join(dir, string(rune('a'+i))))
		if err := os.WriteFile(files[i], imagetest.NewSigner(t, kind).Public(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, again bytes.Buffer
	if err := run(&out, files); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Parse(out.Bytes(), "x"); err != nil {
		t.Errorf("what it writes is no policy: %v\n%s", err, out.Bytes())
	}
	if err := run(&again, files); err != nil || !bytes.Equal(again.Bytes(), out.Bytes()) {
		t.Errorf("twice: %v\n%s%s", err, out.Bytes(), again.Bytes())
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		files []string
		want  string
	}{{nil, "usage"}, {[]string{dir + "/none"}, "none"}, {[]string{files[0], bad}, bad + ": "}} {
		var out bytes.Buffer
		if err := run(&out, row.files); err == nil || !strings.Contains(err.Error(), row.want) || out.Len() > 0 {
			t.Errorf("run(%q) = %v and wrote %q, want %q", row.files, err, out.Bytes(), row.want)
		}
	}
}
