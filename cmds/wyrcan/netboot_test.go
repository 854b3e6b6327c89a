package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func touch(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAddBIOS(t *testing.T) {
	t.Chdir(t.TempDir())
	touch(t, "undionly.kpxe", "a/lpxelinux.0", "a/ldlinux.c32")
	for _, row := range []struct {
		given, name string
		files       map[string]string
	}{
		{"undionly.kpxe", "undionly.kpxe", map[string]string{"undionly.kpxe": "undionly.kpxe"}},
		{"a/lpxelinux.0", "lpxelinux.0", map[string]string{"lpxelinux.0": "a/lpxelinux.0", "ldlinux.c32": "a/ldlinux.c32"}},
	} {
		files := make(map[string]string)
		name, err := addBIOS(files, row.given)
		if err != nil || name != row.name || !maps.Equal(files, row.files) {
			t.Errorf("addBIOS(%q) = %q, %v with %v, want %q with %v", row.given, name, err, files, row.name, row.files)
		}
	}
	if name, err := addBIOS(map[string]string{}, "missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("addBIOS of a missing file = %q, %v", name, err)
	}
}

func TestServeCommand(t *testing.T) {
	dir := t.TempDir()
	bios := filepath.Join(dir, "undionly.kpxe")
	touch(t, bios)
	start := func(more ...string) (stderr string, err error) {
		c, _, out := tool(t, append([]string{"serve", "-http", "127.0.0.1:0", "-tftp", "127.0.0.1:0", "-bios", bios}, more...)...)
		touch(t, filepath.Join(c.home, "wyrcan.kernel"), filepath.Join(c.home, "wyrcan.initrd"))
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		err = c.run(ctx)
		return out.String(), err
	}
	out, err := start("registry.example/debian", "-arg", "two words", "-append", "quiet")
	if err != nil || !strings.Contains(out, "iPXE: chain http://127.0.0.1:") || !strings.Contains(out, "file undionly.kpxe") || strings.Contains(out, "UEFI") {
		t.Errorf("serve: %v, and it said\n%s", err, out)
	}
	touch(t, filepath.Join(dir, "oci", "oci-layout"))
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"a", "b"}, "usage: wyrcan serve"},
		{[]string{filepath.Join(dir, "oci")}, "wyrcan push"},
		{[]string{"-efi", "missing.efi", "a"}, "cannot find missing.efi"},
		{[]string{"-efi", bios, "a"}, "not an EFI program"},
		{[]string{"-dhcp", "lo", "a"}, "TFTP at port 69"},
		{[]string{"-http", "nonsense", "a"}, "cannot serve HTTP"},
	} {
		if _, err := start(row.args...); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("serve %q: %v, want an error with %q", row.args, err, row.want)
		}
	}
}
