package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestKernelImage makes an image of a kernel and its modules, by way of the link that make has.
func TestKernelImage(t *testing.T) {
	dir := t.TempDir()
	const version = "6.1.0-56-amd64"
	tree := filepath.Join(dir, "lib/modules", version)
	for name, content := range map[string]string{
		dir + "/vmlinuz": "the kernel", tree + "/kernel/net/a.ko": string(imagetest.Module("license=GPL")),
		tree + "/modules.order": "kernel/net/a.ko\n", tree + "/modules.builtin": "",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{dir + "/modules": "lib/modules/" + version, tree + "/build": "/usr/src/gone"} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	var digests []v1.Hash
	for range 2 {
		c, err := command([]string{"oci", "-kernel", dir + "/vmlinuz", "-modules", dir + "/modules", "-o", dir + "/out",
			"-arch", "arm64"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.run(); err != nil {
			t.Fatal(err)
		}
		source := &image.Source{Platform: v1.Platform{OS: "linux", Architecture: "arm64"}}
		img, err := source.Open(context.Background(), "oci:"+dir+"/out:kernel")
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, img.Digest)
		var got []string
		for _, l := range img.Layers {
			got = append(got, list(t, l)...)
		}
		all := strings.Join(got, "\n")
		for want, there := range map[string]bool{
			"boot/vmlinuz-" + version + " 0 644 the kernel":         true,
			"lib/modules/" + version + "/kernel/net/a.ko 0 644 ":    true,
			"lib/modules/" + version + "/modules.dep 0 644 kernel/": true,
			"/build": false,
		} {
			if strings.Contains(all, want) != there {
				t.Errorf("%q is in the image: %v, want %v: %.2000q", want, !there, there, all)
			}
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two runs give %v and %v", digests[0], digests[1])
	}
	if left, err := filepath.Glob(dir + "/modules?*"); err != nil || len(left) > 0 {
		t.Errorf("it leaves %q, %v", left, err)
	}
	if files, err := os.ReadDir(tree); err != nil || len(files) != 4 {
		t.Errorf("the kernel's own directory has %v, %v", files, err)
	}
	if _, err := command([]string{"oci", "-kernel", "k", "-o", "o", "-modules", "m", "archive"}); err == nil {
		t.Error("modules and archives are taken together")
	}
}
