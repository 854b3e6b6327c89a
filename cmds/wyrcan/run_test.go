package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// A missing image is reported before a machine is started. The digest of an existing one is printed.
func TestRunResolves(t *testing.T) {
	registry := imagetest.Serve(t)
	img := imagetest.Image(t, imagetest.Files(bootable()...))
	there := registry.Push(t, "there", img)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	ran := filepath.Join(dir, "ran")
	if err := os.WriteFile(dir+"/qemu-system-x86_64",
		[]byte("#!/bin/sh\necho \"$@\" >"+ran+"\necho 'wyrboot: starts kernel 1 of x after 1.0 s'; echo hello\n"),
		0o700); err != nil {
		t.Fatal(err)
	}
	guest := strings.Replace(there, "127.0.0.1", host, 1)
	other := imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: "s390x"}}.Image(t)
	for _, row := range []struct{ ref, err string }{
		{there, ""},
		{"docker://" + strings.Replace(there, "127.0.0.1", "localhost", 1), ""},
		{guest, ""}, // the name that only the guest can use
		{strings.Replace(there, "there", "nope", 1), "does not have it"},
		{strings.Replace(guest, "there", "nope", 1), "does not have it"},
		{registry.Push(t, "other", other), "none for linux/amd64"},
		{"No Such Name", "is not the name of an image"},
		{"oci:/nowhere", "nowhere"},
	} {
		os.Remove(ran)
		c, _, stderr := tool(t, "run", "-arch", "amd64", row.ref)
		besideTool(t, c)
		err := c.run(context.Background())
		argv, _ := os.ReadFile(ran)
		if row.err == "" &&
			(err != nil || !strings.Contains(string(argv), "wyr.img="+guest) ||
				!strings.Contains(stderr.String(), digest.String())) {
			t.Errorf("run %s: %v, QEMU had %q, and it said %q", row.ref, err, argv, stderr)
		}
		if row.err != "" && (code(err) != 1 || !strings.Contains(err.Error(), row.err) || argv != nil) {
			t.Errorf("run %s: %v, QEMU had %q, want an error with %q and no QEMU", row.ref, err, argv, row.err)
		}
	}
}

// besideTool writes a kernel and an initrd beside the program, where make puts Wyrcan's own.
func besideTool(t *testing.T, c *cmd) {
	t.Helper()
	for name, content := range map[string][]byte{
		"wyrcan.kernel": imagetest.BzImage(release), "wyrcan.initrd": []byte("x"),
	} {
		if err := os.WriteFile(filepath.Join(c.home, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
