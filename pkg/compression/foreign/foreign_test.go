package foreign_test

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/compression/foreign"
)

// pipe runs a command and returns its output for the input in.
func pipe(t testing.TB, in []byte, command ...string) []byte {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	return out
}

// NewReader decompresses what the usual programs write, also several files in a row.
func TestFormats(t *testing.T) {
	content := []byte(strings.Repeat("some content that compresses well\n", 20_000))
	for _, row := range []struct {
		want    string
		command []string
	}{
		{compression.Gzip, []string{"gzip", "-9"}},
		{compression.Zstd, []string{"zstd", "-19"}},
		{compression.XZ, []string{"xz", "-9e"}},
		{compression.XZ, []string{"xz", "-1", "--block-size=100000", "--check=sha256"}},
		{compression.XZ, []string{"xz", "--x86", "--lzma2=dict=1MiB"}},
		{compression.Bzip, []string{"bzip2", "-9"}},
		{"", []string{"cat"}},
	} {
		packed := pipe(t, content, row.command...)
		for n := 1; n <= 2; n++ {
			rc, name, err := compression.NewReader(bytes.NewReader(bytes.Repeat(packed, n)), foreign.Formats()...)
			if err != nil || name != row.want {
				t.Fatalf("%q: NewReader = %q, %v, want %q", row.command, name, err, row.want)
			}
			got, err := io.ReadAll(rc)
			if err != nil || !bytes.Equal(got, bytes.Repeat(content, n)) {
				t.Errorf("%q, %d times: %d bytes, %v, want %d", row.command, n, len(got), err, n*len(content))
			}
			if err := rc.Close(); err != nil {
				t.Errorf("%q: Close = %v", row.command, err)
			}
		}
		// A stream that ends early is an error.
		if row.want == "" {
			continue
		}
		rc, _, err := compression.NewReader(bytes.NewReader(packed[:len(packed)-5]), foreign.Formats()...)
		if err == nil {
			_, err = io.Copy(io.Discard, rc)
		}
		if err == nil {
			t.Errorf("%q, cut off, is read without an error", row.command)
		}
	}
}

// NewReader refuses a stream that needs more memory than MaxWindow, and one in an unknown format, which it names.
func TestRefused(t *testing.T) {
	big := pipe(t, []byte("x"), "xz", "--lzma2=dict=1GiB")
	rc, _, err := compression.NewReader(bytes.NewReader(big), foreign.Formats()...)
	if err == nil {
		_, err = io.Copy(io.Discard, rc)
	}
	if err == nil || !strings.Contains(err.Error(), "dictionary") {
		t.Errorf("a dictionary of 1 GiB: %v, want an error about it", err)
	}
	for want, head := range map[string]string{
		"lz4":      "\x04\x22\x4d\x18\x64\x40\xa7\x00",
		"lzip":     "LZIP\x01\x0c",
		"compress": "\x1f\x9d\x90",
		"xz":       "\xfd7zXZ\x00\x00\x04",
		"bzip2":    "BZh91AY&SYxx",
	} {
		_, _, err := compression.NewReader(strings.NewReader(head))
		if err == nil || !strings.Contains(err.Error(), "compressed with "+want+",") {
			t.Errorf("%s: NewReader = %v, want an error that names the format", want, err)
		}
	}
	// A tar archive may begin with any name.
	for _, head := range []string{"", "B", "BZh", "BZh9/file-name", "LZIP/", "7zXZ", "\x1f", "P*M"} {
		if name := compression.Identify([]byte(head)); name != "" {
			t.Errorf("Identify(%q) = %q, want none", head, name)
		}
	}
}

// FuzzFormats looks for input that makes a decompressor panic or run for ever.
func FuzzFormats(f *testing.F) {
	for _, command := range []string{
		"gzip", "zstd", "xz", "xz --x86 --lzma2", "xz --delta --lzma2", "xz --arm --lzma2", "bzip2",
	} {
		f.Add(pipe(f, []byte(strings.Repeat("to be or not to be ", 50)), strings.Fields(command)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rc, _, err := compression.NewReader(bytes.NewReader(b), foreign.Formats()...)
		if err != nil {
			return
		}
		defer rc.Close()
		// The content may be valid or not; both are fine.
		_, _ = io.Copy(io.Discard, io.LimitReader(rc, 64<<20))
	})
}
