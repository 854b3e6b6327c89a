package integration

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestVerity boots a container whose kernel checks the root, an EROFS image, from where kexec has left it in memory. A
// bit of a file is then changed there: that file cannot be read any more, and the kernel says why. All others can.
func TestVerity(t *testing.T) {
	t.Parallel()
	c := checkedRoot(t)
	v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1, Cmdline: vm.Boot(fromGuest(c.push(t))) +
		" wyr.root=erofs wyr.verity=yes wyr.arg=\"console=ttyS0 flip=/victim\""}.Start(t)
	said := v.Wait(`^wyrboot: kernel \S+, initrd of \S+ MB \(beside EROFS of \S+ MB\), command line `+
		`"wyr\.roothash=([0-9a-f]{64}) console=ttyS0 flip=/victim"\n`, bootTime+stepTime)
	hash := said[1]
	line := "wyr.roothash=" + hash + " console=ttyS0 flip=/victim"
	if got := v.Wait(`^flipper: command line (.*)\n`, kexecTime)[1]; got != line {
		t.Errorf("the container's command line is %q, want %q", got, line)
	}
	if got := v.Wait(`^flipper: record (.*)\n`, stepTime)[1]; got != hash {
		t.Errorf("the record has the root hash %q, want %q", got, hash)
	}
	v.Wait(`^flipper: device wyrcan CRYPT-VERITY-[0-9a-f]{32}-wyrcan 1 over pmem\d+$`, stepTime)
	v.Wait(fmt.Sprintf(`^flipper: %d files are the same$`, c.files), stepTime)
	v.Never(`is corrupted`)
	block := v.Wait(`^flipper: a bit of block (\d+) is another one\n`, stepTime)[1]
	v.Wait(`device-mapper: verity: \d+:\d+: data block `+block+` is corrupted`, stepTime)
	v.Wait(`^flipper: /victim cannot be read$`, stepTime)
	v.Wait(fmt.Sprintf(`^flipper: %d files are the same$`, c.files-1), stepTime)
	v.Wait(`^flipper: end$`, stepTime)
	v.Exit(stepTime)
	v.Never(`is another file|^wyrinit: `)
}

// TestVerityMorph starts such a container as a boot loader does, with a SquashFS image in the initrd. A bit was changed
// before that: nobody reads another file than what the command line stands for.
func TestVerityMorph(t *testing.T) {
	t.Parallel()
	c := checkedRoot(t)
	dir := t.TempDir()
	kernel, initrd, line := filepath.Join(dir, "kernel"), filepath.Join(dir, "initrd"), filepath.Join(dir, "cmdline")
	out, err := exec.Command(vm.Artefact(t, "wyrcan"), "morph", "-root", "squashfs", "-verity", "yes", c.push(t),
		"-kernel", kernel, "-initrd", initrd, "-cmdline", line, "-arg", "console=ttyS0").CombinedOutput()
	if err != nil {
		t.Fatalf("wyrcan morph = %v: %s", err, out)
	}
	archive := read(t, initrd)
	at := bytes.Index(archive, c.victim[len(c.victim)/2:][:64])
	if at < 0 {
		t.Fatal("the initrd does not have the file that nothing can compress")
	}
	archive[at] ^= 1
	write(t, initrd, string(archive))
	v := vm.Machine{Kernel: kernel, Initrd: initrd, CPUs: 1, NICs: []string{"none"},
		Cmdline: strings.TrimSpace(string(read(t, line)))}.Start(t)
	v.Wait(`^flipper: device wyrcan CRYPT-VERITY-[0-9a-f]{32}-wyrcan 1 over loop0$`, bootTime)
	v.Wait(`device-mapper: verity: \d+:\d+: data block \d+ is corrupted`, stepTime)
	v.Wait(`^flipper: /victim cannot be read$`, stepTime)
	v.Wait(fmt.Sprintf(`^flipper: %d files are the same$`, c.files-1), stepTime)
	v.Wait(`^flipper: end$`, stepTime)
	v.Exit(stepTime)
	v.Never(`is another file|^wyrinit: `)
}

// checked is a container of which flipper is the /init.
type checked struct {
	layers []imagetest.Layer
	files  int
	victim []byte
}

func (c checked) push(t *testing.T) string {
	return imagetest.Serve(t).Push(t, "checked", imagetest.Image(t, c.layers...))
}

// checkedRoot returns such a container, with Wyrcan's kernel and its modules for a root that is an image.
func checkedRoot(t *testing.T) checked {
	t.Helper()
	kernel, version := ourKernel(t)
	noise := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	c := checked{victim: noise[:2<<20]}
	files := map[string][]byte{
		"victim": c.victim, "noise": noise[2<<20:], "zeros": make([]byte, 5<<20), "empty": nil,
		"text": bytes.Repeat([]byte("lorem ipsum dolor sit amet "), 1<<16), "small": []byte("small"),
		"init": vm.Program(t, "./flipper"),
	}
	for name, content := range modulesFor(t, version, "nd_pmem", "nd_e820", "loop", "squashfs", "erofs", "crc32c_generic",
		"overlay", "dm_verity", "sha256_ssse3") {
		files[path.Join("lib/modules", version, name)] = content
	}
	l := imagetest.Files(imagetest.File("boot/wyrcan.kernel", string(kernel)), imagetest.Dir("dev"),
		imagetest.Dir("proc"), imagetest.Dir("sys"), imagetest.Dir("run"))
	var sums strings.Builder
	for name, content := range files {
		l.Entries = append(l.Entries, imagetest.File(name, string(content)).Mode(0o755))
		fmt.Fprintf(&sums, "%x /%s\n", sha256.Sum256(content), name)
		c.files++
	}
	l.Entries = append(l.Entries, imagetest.File("sums", sums.String()))
	c.layers = []imagetest.Layer{l}
	return c
}

// modulesFor returns kernel modules and those that they depend on, with the lists, by their paths in the directory of
// the kernel's modules.
func modulesFor(t *testing.T, version string, names ...string) map[string][]byte {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "lib/modules", version)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	from := vm.Artefact(t, "kernel/lib/modules/"+version)
	if out, err := exec.Command("cp", "-a", from, dir).CombinedOutput(); err != nil {
		t.Fatalf("cp = %v: %s", err, out)
	}
	if out, err := exec.Command("depmod", "-b", base, version).CombinedOutput(); err != nil {
		t.Fatalf("depmod = %v: %s", err, out)
	}
	files := map[string][]byte{}
	for _, name := range []string{"modules.dep", "modules.builtin"} {
		files[name] = read(t, filepath.Join(dir, name))
	}
	module := regexp.MustCompile(`([^/]+)\.ko:`)
	for line := range strings.Lines(string(files["modules.dep"])) {
		found := module.FindStringSubmatch(line)
		if found == nil || !slices.Contains(names, strings.ReplaceAll(found[1], "-", "_")) {
			continue
		}
		for file := range strings.FieldsSeq(strings.Replace(line, ":", " ", 1)) {
			files[file] = read(t, filepath.Join(dir, file))
		}
	}
	return files
}
