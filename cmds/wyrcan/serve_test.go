package main

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/netboot"
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
		{"a/lpxelinux.0", "lpxelinux.0",
			map[string]string{"lpxelinux.0": "a/lpxelinux.0", "ldlinux.c32": "a/ldlinux.c32"}},
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
	var boots []string // files of make SECUREBOOT=1
	start := func(more ...string) (stderr string, err error) {
		c, _, out := tool(t,
			append([]string{"serve", "-http", "127.0.0.1:0", "-tftp", "127.0.0.1:0", "-bios", bios}, more...)...)
		touch(t, filepath.Join(c.home, "wyrcan.kernel"), filepath.Join(c.home, "wyrcan.initrd"))
		for _, name := range boots {
			touch(t, filepath.Join(c.home, "secureboot", name))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		err = c.run(ctx)
		return out.String(), err
	}
	out, err := start("-no-check", "docker://registry.example/debian", "-arg", "two words", "-append", "quiet")
	if err != nil || !strings.Contains(out, "iPXE: chain http://127.0.0.1:") ||
		!strings.Contains(out, "file undionly.kpxe") || strings.Contains(out, "UEFI") {
		t.Errorf("serve: %v, and it said\n%s", err, out)
	}
	machines := filepath.Join(dir, "machines")
	const mac = "52-54-00-12-34-56.conf"
	write := func(name, text string) string {
		touch(t, filepath.Join(machines, name, mac))
		if err := os.WriteFile(filepath.Join(machines, name, mac), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(machines, name)
	}
	if out, err := start("-no-check", "-machines", write("good", "wyr.img=registry.example/one")); err != nil ||
		!strings.Contains(out, "/m/${uuid}/boot.ipxe") {
		t.Errorf("serve -machines: %v, and it said\n%s", err, out)
	}
	boots = []string{netboot.ShimName, netboot.GRUBName}
	if out, err := start("-no-check", "-machines", filepath.Join(machines, "good")); err != nil ||
		strings.Contains(out, netboot.ShimName) {
		t.Errorf("serve -machines beside shim: %v, and it said\n%s", err, out)
	}
	boots = nil
	touch(t, filepath.Join(dir, "oci", "oci-layout"))
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"a", "b"}, "usage: wyrcan serve"},
		{[]string{filepath.Join(dir, "oci")}, "wyrcan push"},
		{[]string{"-efi", "missing.efi", "a"}, "cannot find missing.efi"},
		{[]string{"-efi", bios}, "not an EFI program"},
		{[]string{"-dhcp", "lo", "-no-check", "a"}, "TFTP at port 69"},
		{[]string{"-http", "nonsense"}, "cannot serve HTTP"},
		{[]string{"-http", "192.0.2.7:80", "localhost:5000/x"},
			"serve 192.0.2.7:5000/x, and have the registry listen at port 5000 of that " +
				"address, not of localhost alone"},
		{[]string{"-http", "192.0.2.7:80", "-no-check", "-append", "quiet wyrcan.img=localhost/x"},
			"serve 192.0.2.7/x, and"},
		{[]string{"No Such Name"}, "correct the name"},
		{[]string{"-machines", filepath.Join(dir, "nowhere")}, "cannot read the machines' files: "},
		{[]string{"-machines", write("odd", "a=\x00")}, mac + ": it has a zero byte"},
		{[]string{"-machines", write("name", `wyr.img="No Such Name"`)}, mac + ": cannot get No Such Name: "},
		{[]string{"-no-check", "-http", "192.0.2.7:80", "-machines", write("local", "wyr.img=localhost/x")},
			mac + ": serve: on each machine localhost means that machine itself: serve 192.0.2.7/x,"},
	} {
		if _, err := start(row.args...); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("serve %q: %v, want an error with %q", row.args, err, row.want)
		}
	}
}

// A name that means the local machine on every machine is refused, in all of its forms. The error says which name to
// use.
func TestReachable(t *testing.T) {
	here := []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	const digest = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for ref, want := range map[string]string{
		"localhost:5000/x":                   "192.0.2.7:5000/x,",
		"localhost/x:1":                      "192.0.2.7/x:1,",
		"LocalHost:5000/x":                   "192.0.2.7:5000/x,",
		"localhost.:5000/x":                  "192.0.2.7:5000/x,",
		"registry.localhost:5000/a/b":        "192.0.2.7:5000/a/b,",
		"127.0.0.1:5000/x" + digest:          "192.0.2.7:5000/x" + digest + ",",
		"127.9.9.9/x":                        "192.0.2.7/x,",
		"[::1]:5000/x":                       "192.0.2.7:5000/x,",
		"[::1]/x":                            "192.0.2.7/x,",
		"[::ffff:127.0.0.1]:5000/x":          "192.0.2.7:5000/x,",
		"0.0.0.0:5000/x":                     "192.0.2.7:5000/x,",
		"docker://localhost:5000/x" + digest: "192.0.2.7:5000/x" + digest + ",",
		"localhost":                          "", // Docker Hub's image of that name
		"registry.example:5000/x":            "",
		"registry.example/localhost/x":       "",
		"localhoster.example/x":              "",
		"12.7.0.1/x":                         "",
		"debian":                             "",
	} {
		err := reachable(ref, here)
		if want == "" && err != nil || want != "" && (code(err) != 2 || !strings.Contains(err.Error(), "serve "+want)) {
			t.Errorf("reachable(%q) = %v, want %q", ref, err, want)
		}
	}
	if err := reachable("localhost:5000/x", nil); err == nil || !strings.Contains(err.Error(), "ADDRESS:5000/x") {
		t.Errorf("without an address: %v", err)
	}
}

// The image is looked up before it is served, for the architecture of the kernel that machines get.
func TestLookUp(t *testing.T) {
	t.Parallel() // it waits for the retries of a registry that does not answer
	registry := imagetest.Serve(t)
	both := registry.Push(t, "both", bothArches(t))
	c, _, stderr := tool(t)
	for _, arch := range []string{"amd64", "arm64"} {
		stderr.Reset()
		if err := c.lookUp(context.Background(), both, arch, nil); err != nil ||
			!strings.Contains(stderr.String(), "linux/"+arch+", ") || !strings.Contains(stderr.String(), "sha256:") {
			t.Errorf("lookUp for %s: %v, and it said %q", arch, err, stderr)
		}
	}
	for _, row := range []struct{ ref, arch, want string }{
		{strings.Replace(both, "both", "nope", 1), "amd64", "; correct the name, or serve anyway with -no-check"},
		{both, "s390x", "none for linux/s390x"},
		{"127.0.0.1:1/x", "amd64", "check whether the registry runs, and its port in the name; or serve anyway"},
	} {
		if err := c.lookUp(context.Background(), row.ref, row.arch, nil); err == nil ||
			!strings.Contains(err.Error(), row.want) {
			t.Errorf("lookUp(%q, %q) = %v, want %q", row.ref, row.arch, err, row.want)
		}
	}
	file := filepath.Join(t.TempDir(), "kernel")
	for _, row := range []struct{ content, want string }{
		{string(imagetest.Arm64Image(release)), "arm64"}, {string(imagetest.BzImage(release)), "amd64"},
		{"x", here.name()},
	} {
		if err := os.WriteFile(file, []byte(row.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := archOf(file); got != row.want || (err != nil) != (row.content == "x") {
			t.Errorf("archOf = %q, %v, want %q", got, err, row.want)
		}
	}
}
