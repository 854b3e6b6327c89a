package tools

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// archive is a small archive of Debian packages for arm64, on disk, as a mirror has it.
type archive struct {
	dir     string // its mirror is debian, and that of the security updates debian-security
	key     string // gpg's directory with the key that signs it
	keyring string // the file with the public key
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	imagetest.NeedsPrograms(t, "gpg", "dpkg-deb", "apt-get")
	a := &archive{dir: t.TempDir(), key: t.TempDir()}
	a.keyring = a.newKey(t, a.key)
	return a
}

// newKey makes a key in dir, and returns the file with its public part.
func (a *archive) newKey(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run(t, "gpgconf", "--homedir", dir, "--kill", "all") }) // the agent that gpg starts
	run(t, "gpg", "--homedir", dir, "-q", "--batch", "--passphrase", "", "--quick-gen-key", "debian@example", "ed25519",
		"sign", "never")
	keyring := filepath.Join(dir, "public.gpg")
	run(t, "gpg", "--homedir", dir, "-q", "--batch", "-o", keyring, "--export")
	return keyring
}

// add adds a package with one file to a suite, and signs that suite. Its index is new.
func (a *archive) add(t *testing.T, mirror, suite, name, version, file string) {
	t.Helper()
	root := t.TempDir()
	put(t, filepath.Join(root, "DEBIAN/control"), fmt.Sprintf(
		"Package: %s\nVersion: %s\nArchitecture: arm64\nMaintainer: x <x@example>\nDescription: x\n", name, version))
	put(t, filepath.Join(root, file), name+" "+version+"\n")
	top := filepath.Join(a.dir, mirror)
	pool := filepath.Join(top, "pool", name+"_"+version+"_arm64.deb")
	if err := os.MkdirAll(filepath.Dir(pool), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "dpkg-deb", "--root-owner-group", "-b", root, pool)
	deb := get(t, pool)

	dists := filepath.Join(top, "dists", suite)
	put(t, filepath.Join(dists, "main/binary-arm64/Packages"), fmt.Sprintf(
		"Package: %s\nVersion: %s\nArchitecture: arm64\nMaintainer: x <x@example>\nDescription: x\nFilename: pool/%s\n"+
			"Size: %d\nSHA256: %x\n", name, version, filepath.Base(pool), len(deb), sha256.Sum256(deb)))
	put(t, filepath.Join(dists, "non-free-firmware/binary-arm64/Packages"), "")
	put(t, filepath.Join(dists, "non-free-firmware/Contents-all"), fmt.Sprintf("%-60s non-free-firmware/kernel/%s\n",
		file, name))
	a.sign(t, mirror, suite)
}

// sign writes the list of a suite's indexes, and signs it.
func (a *archive) sign(t *testing.T, mirror, suite string) {
	t.Helper()
	dists := filepath.Join(a.dir, mirror, "dists", suite)
	release := fmt.Sprintf("Origin: Debian\nSuite: %s\nCodename: %[1]s\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"+
		"Architectures: all arm64\nComponents: main non-free-firmware\nSHA256:\n", suite)
	for _, name := range []string{"main/binary-arm64/Packages", "non-free-firmware/binary-arm64/Packages",
		"non-free-firmware/Contents-all"} {
		b := get(t, filepath.Join(dists, name))
		release += fmt.Sprintf(" %x %d %s\n", sha256.Sum256(b), len(b), name)
	}
	put(t, filepath.Join(dists, "Release"), release)
	run(t, "gpg", "--homedir", a.key, "-q", "--batch", "--yes", "-o", filepath.Join(dists, "InRelease"), "--clearsign",
		filepath.Join(dists, "Release"))
}

// command returns a command that uses the archive, with a cache of its own.
func (a *archive) command(t *testing.T, name string, args ...string) *exec.Cmd {
	// go test repeats a test only if a file has changed that the test itself has read.
	for _, script := range []string{"apt", "firmware", "need", "package", "stanza"} {
		get(t, script)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "MIRROR=copy:"+a.dir+"/debian", "KEYRING="+a.keyring, "XDG_CACHE_HOME="+t.TempDir())
	return cmd
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// whole returns an archive with a release, its updates and its security updates.
func whole(t *testing.T) *archive {
	t.Helper()
	a := newArchive(t)
	a.add(t, "debian", "trixie", "firmware-test", "1", "usr/lib/firmware/test/card.bin")
	a.add(t, "debian", "trixie-updates", "other", "1", "usr/share/other")
	a.add(t, "debian-security", "trixie-security", "firmware-test", "2", "usr/lib/firmware/test/card.bin")
	return a
}

// TestPackage takes a package of an architecture and of a release that this machine need not have.
func TestPackage(t *testing.T) {
	a := whole(t)
	dir := filepath.Join(t.TempDir(), "dir")
	if out, err := a.command(t, "./package", "arm64", "trixie", dir, "firmware-test").CombinedOutput(); err != nil {
		t.Fatalf("package: %v: %s", err, out)
	}
	if got := string(get(t, filepath.Join(dir, "usr/lib/firmware/test/card.bin"))); got != "firmware-test 2\n" {
		t.Errorf("the file is that of %q, want version 2, of the security updates", got)
	}
	deb := get(t, filepath.Join(a.dir, "debian-security/pool/firmware-test_2_arm64.deb"))
	want := fmt.Sprintf("Package: firmware-test\nVersion: 2\nArchitecture: arm64\nSource: firmware-test (2)\n"+
		"Built-Using: \nSHA256: %x\n\n", sha256.Sum256(deb))
	if got := string(get(t, filepath.Join(dir, "packages.list"))); got != want {
		t.Errorf("packages.list is %q, want %q", got, want)
	}
}

// TestForgedPackage checks that apt refuses what Debian's key does not vouch for.
func TestForgedPackage(t *testing.T) {
	for _, tt := range []struct {
		name  string
		forge func(a *archive)
		want  string
	}{
		{"signed by somebody else", func(a *archive) {
			a.key = t.TempDir()
			a.newKey(t, a.key)
			a.sign(t, "debian-security", "trixie-security")
		}, "not signed"},
		{"not signed", func(a *archive) {
			if err := os.Remove(filepath.Join(a.dir, "debian/dists/trixie/InRelease")); err != nil {
				t.Fatal(err)
			}
		}, "not signed"},
		{"another index", func(a *archive) {
			put(t, filepath.Join(a.dir, "debian/dists/trixie/main/binary-arm64/Packages"), "Package: other\n")
		}, "Hash Sum mismatch"},
		{"another package", func(a *archive) {
			file := filepath.Join(a.dir, "debian-security/pool/firmware-test_2_arm64.deb")
			b := get(t, file)
			b[len(b)-1]++
			put(t, file, string(b))
		}, "Hash Sum mismatch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := whole(t)
			tt.forge(a)
			dir := filepath.Join(t.TempDir(), "dir")
			out, err := a.command(t, "./package", "arm64", "trixie", dir, "firmware-test").CombinedOutput()
			if err == nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("package: %v: %s, want %q", err, out, tt.want)
			}
			if files, _ := filepath.Glob(filepath.Join(dir, "usr")); len(files) > 0 {
				t.Error("the package was unpacked")
			}
		})
	}
}

// TestFirmwarePackages finds the packages by the names of their files.
func TestFirmwarePackages(t *testing.T) {
	for _, tt := range []struct{ file, names, want string }{
		{"usr/lib/firmware/test/card.bin", "test/card.bin\n", "test/card.bin"},
		{"lib/firmware/test/card-1.bin.xz", "test/gone.bin\ntest/card-*.bin\n", "test/card-1.bin.xz"},
		{"usr/lib/firmware/test/a+b.fw.zst", "test/a+?.fw\n", "test/a+b.fw.zst"},
		{"usr/lib/firmware/test/card.bin", "", "no names of firmware"},
		{"usr/lib/firmware/test/card/x.bin", "test/*.bin\ncard/x.bin\n", "no package of Debian has any of"},
	} {
		a := newArchive(t)
		a.add(t, "debian", "sid", "firmware-test", "1", tt.file)
		dir := filepath.Join(t.TempDir(), "dir")
		cmd := a.command(t, "./firmware", "arm64", "sid", dir)
		cmd.Stdin = strings.NewReader(tt.names)
		out, err := cmd.CombinedOutput()
		if err != nil {
			if !strings.Contains(string(out), tt.want) {
				t.Errorf("%q: %v: %s, want %q", tt.names, err, out, tt.want)
			}
			continue
		}
		if got := string(get(t, filepath.Join(dir, "files", tt.want))); got != "firmware-test 1\n" {
			t.Errorf("%q: the file is %q", tt.names, got)
		}
	}
}
