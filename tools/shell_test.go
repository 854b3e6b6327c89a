package tools

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/tools/document"
)

// genuine are the programs that shell commands of the documents use as they are.
var genuine = []string{"base64", "bash", "cat", "cp", "cpio", "find", "mkdir", "openssl", "sbsign", "sbverify", "sh"}

// standIns are the programs that are not run, and why. Of these, only that they are called is tested, and what
// checkCalls looks at.
var standIns = map[string]string{
	"wyrcan":              "TestDocuments of cmds/wyrcan runs it",
	"qemu-system-x86_64":  "TestDocumentedMachines of integration starts it",
	"qemu-system-aarch64": "TestDocumentedMachines of integration starts it",
	"wyrnet":              "it prints the links of the machine; integration/network runs it",
	"sudo":                "a test asks for no password",
	"git":                 "a clone needs the network",
	"curl":                "it needs the network; what it fetches is made by the CI",
	"podman":              "images of distributions need the network, and a login a registry",
	"docker":              "its image needs the network; TestMirrorThroughProxy of integration runs docker's registry",
	"skopeo":              "it would copy between registries that do not exist",
	"cosign":              "no package of Debian 12 has it; integration/cosign signs with it",
	"sha256sum":           "the files of a release are not there",
	"diff":                "the files of a release are not there",
	"ssh":                 "the machines do not exist",
	"apt":                 "it would install a package",
	"dd":                  "it would write to a disk",
	"systemctl":           "it would reboot this machine",
	"kexec":               "it would reboot this machine",
	"efibootmgr":          "it would write to this machine's NVRAM",
	"cbfstool":            "TestSlowCoreboot of integration makes and boots such a ROM",
	"vpd":                 "no package of Debian has it",
	"utk":                 "no package of Debian has it",
	"veritysetup":         "it is for a machine that was booted so; tests of pkg/verity and pkg/bundle run it",
	"go":                  "go run is done, go test looked up; go get needs the network",
	"make":                "make -n is run: the targets exist, and so does all that they need",
}

// shop is a directory in which commands of one document are run, one after the other.
type shop struct {
	dir, bin, log string
}

// TestShell runs the shell commands of the documents. The commands of one document share a directory, because later
// ones use what earlier ones have made.
func TestShell(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the programs that make test-unit installs")
	}
	shops := make(map[string]*shop)
	scripts := make(map[string][]document.Block)
	for _, b := range blocks(t, shellBlock) {
		if shops[b.Path] == nil {
			shops[b.Path] = newShop(t)
		}
		if strings.Contains(b.Text, "PkKek-1-snakeoil.key") {
			shops[b.Path].snakeoil(t)
		}
		scripts[b.Path] = append(scripts[b.Path], b)
	}
	if len(shops) < 10 {
		t.Errorf("only %d documents have commands", len(shops))
	}
	t.Run("run", func(t *testing.T) { // ends when all are done
		for path, s := range shops {
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				for _, b := range scripts[path] {
					s.run(t, b)
				}
			})
		}
	})
	called := make(map[string]bool)
	for path, s := range shops {
		for _, call := range s.calls(t) {
			called[call[0]] = true
			if err := checkCall(call); err != nil {
				t.Errorf("%s: %s: %v", path, strings.Join(call, " "), err)
			}
		}
	}
	for name := range standIns {
		if !called[name] {
			t.Errorf("%s has a stand-in, and no document calls it", name)
		}
	}
}

// run runs a block.
func (s *shop) run(t *testing.T, b document.Block) {
	t.Helper()
	script := s.script(b)
	c := exec.Command(filepath.Join(s.bin, "bash"), "-eu", "-o", "pipefail", "-c", script)
	c.Dir = s.dir
	c.Env = []string{"PATH=" + s.bin, "HOME=" + s.dir, "LANG=C"}
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "GO") { // where go has its modules, and its cache
			c.Env = append(c.Env, e)
		}
	}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s\n%s", b, err, script, out)
	}
}

// script returns what of a block is for the shell.
func (s *shop) script(b document.Block) string {
	var list []string
	transcript := strings.HasPrefix(b.First(), "$ ")
	for _, line := range strings.Split(strings.TrimRight(b.Text, "\n"), "\n") {
		command, isCommand := strings.CutPrefix(line, "$ ")
		if transcript && !isCommand || strings.HasPrefix(line, "wyr.") {
			continue
		}
		list = append(list, command)
	}
	text := stands.Replace(strings.Join(list, "\n") + "\n")
	text = strings.ReplaceAll(text, "…", "")
	text = strings.ReplaceAll(text, "| source", "") // fish, which takes it from a pipe
	return strings.ReplaceAll(text, "/usr/share/", s.dir+"/usr/share/")
}

// newShop makes a directory that looks like the tree after make, with what the documents take for granted.
func newShop(t *testing.T) *shop {
	t.Helper()
	dir := t.TempDir()
	s := &shop{dir: dir, bin: filepath.Join(dir, ".bin"), log: filepath.Join(dir, ".log")}
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	makefiles, err := filepath.Glob("../*.mk")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range makefiles {
		if err := os.Symlink(filepath.Join(top, filepath.Base(f)), filepath.Join(dir, filepath.Base(f))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"Makefile", "go.mod", "go.sum", "cmds", "pkg", "tools", "integration",
		"examples", "uroot-template.yaml", "docs", "README.md"} {
		if err := os.Symlink(filepath.Join(top, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	const program = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub" // an EFI program that can be signed
	efi, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out/wyrcan.efi", "vmlinuz",
		"out/systemd-trixie/usr/lib/systemd/boot/efi/systemd-bootx64.efi"} {
		s.write(t, name, string(efi), 0o644)
	}
	for _, name := range []string{"my-authority.pem", "ca.pem", "machine.pem", "machine-key.pem", "auth.json", "a.pub",
		"b.pub", "team.pub", "usr/share/OVMF/OVMF_VARS_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd",
		"out/kernel/vmlinuz", "out/kernel/modules/x", "out/arm64/kernel/vmlinuz", "out/arm64/kernel/modules/x"} {
		s.write(t, name, "x", 0o644)
	}
	// make test-slow runs make once more in a copy of the tree, with -n as well.
	if err := os.Symlink(dir, filepath.Join(dir, "out/again")); err != nil {
		t.Fatal(err)
	}
	s.tools(t, top)
	return s
}

// snakeoil makes the key and the certificate that Debian's package ovmf has.
func (s *shop) snakeoil(t *testing.T) {
	t.Helper()
	name := filepath.Join(s.dir, "usr/share/ovmf/PkKek-1-snakeoil")
	s.write(t, "usr/share/ovmf/x", "", 0o644)
	c := exec.Command("openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=test", "-passout",
		"pass:snakeoil", "-keyout", name+".key", "-out", name+".pem")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func (s *shop) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// tools fills the directory of the programs: no other is found.
func (s *shop) tools(t *testing.T, top string) {
	t.Helper()
	const record = "#!/bin/sh\n{ printf '%s\\037' \"${0##*/}\" \"$@\"; printf '\\036'; } >> LOG\n"
	note := strings.ReplaceAll(record, "LOG", s.log)
	outside := "PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin\nexport PATH\n"
	for name := range standIns {
		body := note
		switch name {
		case "sudo":
			body += `exec "$@"` + "\n"
		case "git": // what is cloned is this tree
			body += "for last; do :; done\nexec /bin/ln -sfn . \"${last##*/}\"\n"
		case "make": // without the variables of the make that runs this test
			body += outside + "unset MAKEFLAGS MAKELEVEL MFLAGS\nexec make -n \"$@\" >/dev/null\n"
		case "go": // tools are built once; as a test is, in the tree
			body += "[ \"$1\" = run ] || exit 0\ntool=$2\nshift 2\n" + outside + "export HOME=" + os.Getenv("HOME") +
				"\n(cd " + top + " && go build -o " + s.bin + "/ \"$tool\") && exec \"" + s.bin + "/${tool##*/}\" \"$@\"\n"
		}
		s.write(t, ".bin/"+name, body, 0o755)
	}
	// Programs that the examples bring are for the machines that boot these.
	installed, err := filepath.Glob(top + "/examples/*/root/usr/*/sbin/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range installed {
		s.write(t, ".bin/"+filepath.Base(program), note, 0o755)
	}
	s.write(t, "out/wyrcan", "#!/bin/sh\nexec wyrcan \"$@\"\n", 0o755)
	s.write(t, ".ci/run", "#!/bin/sh\n", 0o755)
	for _, name := range genuine {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(s.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// calls returns how the stand-ins were called.
func (s *shop) calls(t *testing.T) [][]string {
	t.Helper()
	b, err := os.ReadFile(s.log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var list [][]string
	for _, call := range strings.Split(string(b), "\x1e") {
		if call != "" {
			list = append(list, strings.Split(strings.TrimSuffix(call, "\x1f"), "\x1f"))
		}
	}
	return list
}

// checkCall looks at what a call names in this tree.
func checkCall(call []string) error {
	switch {
	case call[0] == "podman" && call[1] == "build":
		for i, a := range call {
			if a == "-f" {
				if err := exists(call[i+1]); err != nil {
					return err
				}
			}
		}
		return exists(call[len(call)-1])
	case call[0] == "go" && call[1] == "test":
		return checkGoTest(call[2:])
	case call[0] == "go" && call[1] == "build":
		return exists(strings.TrimPrefix(call[len(call)-1], "gitlab.com/wyrcan/wyrcan/"))
	}
	return nil
}

func exists(name string) error {
	_, err := os.Stat(filepath.Join("..", name))
	return err
}

// checkGoTest looks for the packages and the test of a go test.
func checkGoTest(args []string) error {
	pattern, found := regexp.MustCompile(""), false
	var dirs []string
	for i, a := range args {
		switch {
		case strings.HasPrefix(a, "./"):
			dirs = append(dirs, a)
		case a == "-run":
			pattern = regexp.MustCompile(args[i+1])
		}
	}
	if len(dirs) == 0 {
		return fmt.Errorf("it names no package of this tree")
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
		if err != nil {
			return err
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(b), -1) {
				found = found || pattern.MatchString(m[1])
			}
		}
	}
	if !found {
		return fmt.Errorf("there is no such test")
	}
	return nil
}

// TestTwoLists finds programs that are said to be both.
func TestTwoLists(t *testing.T) {
	for _, name := range genuine {
		if standIns[name] != "" || slices.Contains([]string{"rm", "mkfs", "reboot"}, name) {
			t.Errorf("%s is to be run, and is not", name)
		}
	}
}
