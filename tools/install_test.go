package tools

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// built makes a directory like the one that make has written to: the real host tool, and small files in the place of
// the large ones.
func built(t *testing.T) string {
	t.Helper()
	imagetest.NeedsPrograms(t, "make")
	out := filepath.Join(t.TempDir(), "out")
	for name, content := range map[string][]byte{
		"wyrcan.kernel": imagetest.BzImage("6.1.0"), "wyrcan.initrd": []byte("initrd"), "wyrcan.efi": []byte("efi"),
		"wyrcan.iso": []byte("iso"), "secureboot/shimx64.efi": []byte("shim"),
	} {
		file := filepath.Join(out, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay := filepath.Join(t.TempDir(), "overlay.json") // wyrinit, in the place of the empty file
	here, err := filepath.Abs("../cmds/wyrcan/wyrinit")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "wyrinit")
	text := `{"Replace": {"` + here + `/amd64": "` + program + `", "` + here + `/arm64": "` + program + `"}}`
	if err := os.WriteFile(overlay, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	static := append(os.Environ(), "CGO_ENABLED=0")
	runs(t, static, "go", "build", "-o", program, "../cmds/wyrinit")
	runs(t, static, "go", "build", "-trimpath", "-ldflags=-s -w -X main.version=v1.2.3", "-overlay", overlay,
		"-o", filepath.Join(out, "wyrcan"), "../cmds/wyrcan")
	runs(t, static, "go", "build", "-ldflags=-s -w", "-o", filepath.Join(out, "wyrcan.demo"), "../integration/payload")
	runs(t, nil, "make", "-C", "..", "OUT="+out, "VERSION=v1.2.3", "man")
	return out
}

// runs runs a program and returns what it prints.
func runs(t *testing.T, env []string, args ...string) string {
	t.Helper()
	p := exec.Command(args[0], args[1:]...)
	p.Env = env
	out, err := p.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// works runs an installed tool: it knows its version, checks an image, and finds Wyrcan's own files below prefix.
func works(t *testing.T, tool, prefix string) {
	t.Helper()
	if got := runs(t, nil, tool, "version"); !strings.HasPrefix(got, "wyrcan v1.2.3\n") {
		t.Errorf("wyrcan version: %s", got)
	}
	archive := imagetest.Saved(t, imagetest.Files(
		imagetest.File("boot/wyrcan.kernel", string(imagetest.BzImage("6.1.0"))),
		imagetest.File("init", "#!/bin/sh\n").Mode(0o755), imagetest.File("bin/sh", "a shell").Mode(0o755),
	)).Tar(t)
	if got := runs(t, nil, tool, "check", archive); !strings.Contains(got, "bootable      yes\n") {
		t.Errorf("wyrcan check: %s", got)
	}
	bin := t.TempDir() // a QEMU that says which files it was given
	script := "#!/bin/sh\necho \"$@\"\n"
	for _, name := range []string{"qemu-system-x86_64", "qemu-system-aarch64"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := exec.Command(tool, "run", "-arch", "amd64", archive)
	p.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	got, _ := p.CombinedOutput() // it fails, because no kernel starts
	if want := "-kernel " + prefix + "/lib/wyrcan/wyrcan.kernel"; !strings.Contains(string(got), want) {
		t.Errorf("wyrcan run has no %q:\n%s", want, got)
	}
}

// tree returns the paths below a directory, of files alone.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestInstall installs what make has built, as a package and without one.
func TestInstall(t *testing.T) {
	out := built(t)
	t.Run("package", func(t *testing.T) { testDeb(t, out) })
	t.Run("make", func(t *testing.T) { testMake(t, out) })
}

// make install puts everything below PREFIX in DESTDIR, from where it works, and make uninstall removes all of it and
// nothing else.
func testMake(t *testing.T, out string) {
	root := filepath.Join(t.TempDir(), "a root")
	target := func(name string) string {
		t.Helper()
		return runs(t, nil, "make", "-s", "-C", "..", "OUT="+out, "DESTDIR="+root, "PREFIX=/opt/w", name)
	}
	target("install")
	for name, mode := range map[string]os.FileMode{
		"bin/wyrcan": 0o755, "lib/wyrcan/wyrcan.kernel": 0o644, "lib/wyrcan/wyrcan.initrd": 0o644,
		"lib/wyrcan/wyrcan.efi": 0o644, "lib/wyrcan/wyrcan.iso": 0o644, "lib/wyrcan/wyrcan.demo": 0o755,
		"lib/wyrcan/secureboot/shimx64.efi": 0o644, "share/man/man1/wyrcan.1": 0o644,
		"share/man/man1/wyrcan-check.1": 0o644, "share/man/man7/wyrcan.cmdline.7": 0o644,
		"share/bash-completion/completions/wyrcan": 0o644, "share/zsh/site-functions/_wyrcan": 0o644,
		"share/fish/vendor_completions.d/wyrcan.fish": 0o644, "share/doc/wyrcan/README.md": 0o644,
		"share/doc/wyrcan/docs/host-tool.md": 0o644, "share/doc/wyrcan/LICENSE": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(root, "opt/w", name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, want mode %v", name, err, mode)
		}
	}
	link := filepath.Join(t.TempDir(), "bin")
	if err := os.Symlink(filepath.Join(root, "opt/w/bin"), link); err != nil {
		t.Fatal(err)
	}
	works(t, filepath.Join(link, "wyrcan"), filepath.Join(root, "opt/w"))
	for _, name := range tree(t, root) {
		if !strings.HasPrefix(name, "/opt/w/") {
			t.Errorf("%s is outside PREFIX", name)
		}
	}
	other := filepath.Join(root, "opt/w/bin/other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	target("uninstall")
	if left := tree(t, root); len(left) != 1 || left[0] != "/opt/w/bin/other" {
		t.Errorf("make uninstall leaves %q", left)
	}

	if err := os.RemoveAll(filepath.Join(out, "man")); err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command("make", "-s", "-C", "..", "OUT="+out, "DESTDIR="+root, "install").CombinedOutput()
	if err == nil || !bytes.Contains(got, []byte("wyrcan.1: run make all man first")) {
		t.Errorf("make install without make man: %v\n%s", err, got)
	}
}

// dpkg takes the versions of packages in the order in which they were made.
func TestDebVersion(t *testing.T) {
	imagetest.NeedsPrograms(t, "dpkg")
	env := append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	list := []struct{ version, want string }{
		{"unreleased", "0~20231114"},
		{"unreleased-0123456789ab", "0~20231114.0123456789ab"},
		{"unreleased-0123456789ab-dirty", "0~20231114.0123456789ab+dirty"},
		{"v0.2.0-rc1", "0.2.0~rc1"},
		{"v0.2.0-rc1-4-g0123456789ab", "0.2.0~rc1+4.g0123456789ab"},
		{"v0.2.0-rc2", "0.2.0~rc2"},
		{"v0.2.0", "0.2.0"},
		{"v0.2.0-9-g0123456789ab", "0.2.0+9.g0123456789ab"},
		{"v0.2.0-10-g0123456789ab-dirty", "0.2.0+10.g0123456789ab+dirty"},
		{"v0.2.1", "0.2.1"},
		{"v0.10.0", "0.10.0"},
	}
	for i, x := range list {
		got := strings.TrimSpace(runs(t, env, "./deb", "-n", x.version))
		if got != x.want {
			t.Errorf("%s becomes %s, want %s", x.version, got, x.want)
		}
		if i > 0 {
			runs(t, nil, "dpkg", "--compare-versions", list[i-1].want, "lt", x.want)
		}
	}
}

// The package is the same each time, lintian has nothing to say, and what dpkg installs works.
func testDeb(t *testing.T, out string) {
	if testing.Short() {
		t.Skip("-short: nfpm comes from the network")
	}
	imagetest.NeedsRoot(t, "dpkg --root")
	pack := func(arch string, env ...string) string {
		t.Helper()
		p := exec.Command("tools/deb", out, arch, "v1.2.3")
		p.Dir = ".."
		p.Env = append(append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000"), env...)
		if text, err := p.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		name := filepath.Join(out, "wyrcan_1.2.3_"+arch+".deb")
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		kept := filepath.Join(t.TempDir(), filepath.Base(name))
		if err := os.WriteFile(kept, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return kept
	}
	first := pack("amd64")
	second := pack("amd64", "TZ=Asia/Tokyo", "LC_ALL=C")
	if runs(t, nil, "sha256sum", first)[:64] != runs(t, nil, "sha256sum", second)[:64] {
		t.Error("the same files make two packages")
	}
	if got := runs(t, nil, "lintian", "--fail-on", "error,warning", "--allow-root", first); got != "" {
		t.Errorf("lintian says:\n%s", got)
	}

	root := t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	runs(t, nil, "dpkg", "--root="+root, "--force-script-chrootless", "--install", first)
	works(t, filepath.Join(root, "usr/bin/wyrcan"), filepath.Join(root, "usr"))
	if got := runs(t, nil, "dpkg", "--root="+root, "--verify", "wyrcan"); got != "" {
		t.Errorf("dpkg --verify says %s", got)
	}
	for _, name := range []string{"/usr/share/man/man1/wyrcan.1.gz", "/usr/share/zsh/vendor-completions/_wyrcan"} {
		if _, err := os.Stat(root + name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(root + "/usr/lib/wyrcan/secureboot"); err == nil {
		t.Error("there is what an earlier build left for Secure Boot")
	}
	runs(t, nil, "dpkg", "--root="+root, "--purge", "wyrcan")
	if _, err := os.Stat(filepath.Join(root, "usr")); err == nil {
		t.Errorf("dpkg --purge leaves %q", tree(t, filepath.Join(root, "usr")))
	}

	other := pack("arm64", "SECUREBOOT=1")
	fields := runs(t, nil, "dpkg-deb", "--field", other, "Version", "Architecture", "Recommends")
	if fields != "Version: 1.2.3\nArchitecture: arm64\nRecommends: qemu-system-arm, ca-certificates\n" {
		t.Errorf("the package for arm64 says\n%s", fields)
	}
	if got := runs(t, nil, "dpkg-deb", "--contents", other); !strings.Contains(got, "lib/wyrcan/secureboot/shimx64.efi") {
		t.Error("with SECUREBOOT=1 there is no shim")
	}
}
