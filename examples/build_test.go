package examples

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/audit"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// These tests build images without a registry: the instructions of a Containerfile run, by a real shell, in a directory
// with the layout of a distribution. The package managers there are scripts. They know the packages of that
// distribution
// by name, bring the few files of each that matter, and leave behind what the real ones leave behind.

// A distribution is the base of an image, and the packages that can be installed in it.
type distribution struct {
	osRelease string
	manager   string            // the script that is its package manager
	base      string            // files of the base image, in the form of write
	packages  map[string]string // by name: files in the form of write, and what its scripts do after "#! "
	arch      string            // as GOARCH has it; "" is amd64
}

// tools is the directory of the scripts in the image, which is removed before the image is examined.
const tools = "/.test"

// build is an image in a directory.
type build struct {
	t    testing.TB
	dir  string
	arch string
	env  []string
}

// newBuild makes the base image of a distribution.
func newBuild(t testing.TB, d distribution) *build {
	t.Helper()
	imagetest.NeedsRoot(t, "chroot needs root")
	imagetest.NeedsPrograms(t, "busybox")
	arch := d.arch
	if arch == "" {
		arch = "amd64"
	}
	b := &build{t: t, dir: t.TempDir(), arch: arch, env: []string{
		"PATH=" + tools + "/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "ARCH=" + arch,
	}}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	b.put(tools+"/busybox", program, 0o755)
	if err := os.MkdirAll(b.dir+tools+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	b.shell(tools + "/busybox --install -s " + tools + "/bin")
	b.write("", "usr/lib/os-release "+d.osRelease+"\netc/os-release -> ../usr/lib/os-release\n"+d.base)
	for name, script := range managers(d.manager) {
		b.put(tools+"/bin/"+name, []byte("#!"+tools+"/busybox sh\nset -eu\n"+script), 0o755)
	}
	for name, text := range d.packages {
		files, script, _ := strings.Cut(text, "#! ")
		if err := os.MkdirAll(b.dir+tools+"/packages/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
		b.write(tools+"/packages/"+name, files)
		b.put(tools+"/scripts/"+name, []byte("set -eu\n"+script), 0o755)
	}
	b.mounted()
	return b
}

// mounted leaves what builders leave where they have mounted their own files: empty ones.
func (b *build) mounted() {
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/hostname"} {
		if _, err := os.Lstat(b.dir + file); err != nil {
			b.put(file, nil, 0o644)
		}
	}
}

// put writes one file.
func (b *build) put(name string, content []byte, mode fs.FileMode) {
	b.t.Helper()
	name = filepath.Join(b.dir, name)
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if info, e := os.Lstat(name); e == nil && info.Mode()&fs.ModeSymlink != 0 {
		err = os.Remove(name) // it would lead out of the image
	}
	if err == nil {
		err = os.WriteFile(name, content, mode)
	}
	if err == nil {
		err = os.Chmod(name, mode)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// write writes files below a directory of the image. Each line is PATH CONTENT, PATH -> TARGET for a link, PATH/ for a
// directory, and PATH unit TARGET for a unit that can be enabled. \n in CONTENT is the end of a line. A content that
// begins with @ is a kernel or a driver; ! before a path makes the file a program, and 0 makes it readable by root
// alone.
func (b *build) write(dir, text string) {
	b.t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, content, _ := strings.Cut(line, " ")
		mode := fs.FileMode(0o644)
		switch {
		case strings.HasPrefix(name, "!"):
			name, mode = name[1:], 0o755
		case strings.HasPrefix(name, "0"):
			name, mode = name[1:], 0o600
		}
		name = dir + "/" + name
		target, link := strings.CutPrefix(content, "-> ")
		unit, isUnit := strings.CutPrefix(content, "unit ")
		var err error
		switch {
		case link:
			if err = os.MkdirAll(filepath.Dir(b.dir+name), 0o755); err == nil {
				err = os.Symlink(target, b.dir+name)
			}
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(b.dir+name, 0o755)
		case isUnit:
			b.put(name, []byte("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy="+unit+"\n"), 0o644)
		default:
			b.put(name, b.content(content), mode)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// content returns what a content of write stands for.
func (b *build) content(text string) []byte {
	words := strings.Fields(text)
	if !strings.HasPrefix(text, "@") {
		return []byte(strings.ReplaceAll(text, `\n`, "\n"))
	}
	switch words[0] {
	case "@bzImage":
		return imagetest.BzImage(words[1])
	case "@Image":
		return imagetest.Arm64Image(words[1])
	case "@zboot":
		return zboot(b.t, imagetest.Arm64Image(words[1]))
	case "@module":
		return imagetest.Module("license=GPL")
	case "@large":
		return bytes.Repeat([]byte("x"), 1<<20)
	}
	b.t.Fatalf("%q is no content", text)
	return nil
}

// zboot is a kernel in the form of an EFI program that decompresses itself:
// drivers/firmware/efi/libstub/zboot-header.S.
func zboot(t testing.TB, kernel []byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(kernel); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	copy(b, "MZ\x00\x00zimg")
	binary.LittleEndian.PutUint32(b[8:], 64)
	binary.LittleEndian.PutUint32(b[12:], uint32(packed.Len()))
	copy(b[24:], "gzip")
	return append(b, packed.Bytes()...)
}

// shell runs a command in the image.
func (b *build) shell(command string) {
	b.t.Helper()
	c := exec.CommandContext(b.t.Context(), tools+"/busybox", "sh", "-ec", command)
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: b.dir}
	c.Dir, c.Env = "/", b.env
	if out, err := c.CombinedOutput(); err != nil {
		b.t.Fatalf("RUN %s: %v\n%s", command, err, out)
	}
}

// run runs the instructions of a Containerfile.
func (b *build) run(steps []instruction, context string, args map[string]string) {
	b.t.Helper()
	for _, s := range steps {
		switch s.name {
		case "FROM":
		case "ARG":
			name, value, _ := strings.Cut(s.text, "=")
			if given, ok := args[name]; ok {
				value = given
			}
			b.env = append(b.env, name+"="+value)
		case "ENV":
			b.env = append(b.env, s.text)
		case "RUN":
			b.shell(s.text)
			b.mounted()
		case "COPY":
			b.copy(s, context)
		default:
			b.t.Fatalf("line %d: %s is not run here", s.line, s.name)
		}
	}
}

// copy is COPY: of a directory the contents are copied.
func (b *build) copy(s instruction, context string) {
	b.t.Helper()
	words := strings.Fields(s.text)
	to := filepath.Join(b.dir, words[len(words)-1])
	for _, source := range sources(s) {
		found, err := filepath.Glob(filepath.Join(context, source))
		if err != nil || len(found) == 0 {
			b.t.Fatalf("line %d: %s: %q, %v", s.line, source, found, err)
		}
		for _, from := range found {
			err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				content, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				rest, err := filepath.Rel(from, path)
				if rest == "." { // a file
					rest = ""
					if strings.HasSuffix(words[len(words)-1], "/") {
						rest = filepath.Base(from)
					}
				}
				b.put(strings.TrimPrefix(filepath.Join(to, rest), b.dir), content, 0o644)
				return err
			})
			if err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// examine returns how the image boots, and what is wrong with it.
func (b *build) examine() (plan *bundle.Plan, all []audit.Finding) {
	b.t.Helper()
	var entries []imagetest.Entry
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(path, b.dir), "/")
		if "/"+name == tools {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil || name == "" {
			return err
		}
		switch mode := int64(info.Mode().Perm()); {
		case d.IsDir():
			entries = append(entries, imagetest.Dir(name).Mode(mode))
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			entries = append(entries, imagetest.Symlink(name, target))
			return err
		default:
			content, err := os.ReadFile(path)
			entries = append(entries, imagetest.File(name, string(content)).Mode(mode))
			return err
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx := b.t.Context()
	tree, err := rootfs.Read(ctx, []rootfs.Layer{imagetest.Files(entries...).Blob(b.t)}, rootfs.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { tree.Close() })
	plan, err = bundle.Inspect(ctx, tree, bundle.Options{Wyrinit: []byte("wyrinit"), Arch: b.arch})
	if err != nil {
		b.t.Fatalf("the image does not boot: %v", err)
	}
	b.t.Cleanup(func() { plan.Close() })
	line, err := plan.Cmdline(0, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	view, err := audit.Look(ctx, audit.Image{
		Tree: tree, Kernel: plan.File, Version: plan.Kernel.Version, Init: plan.Init, Cmdline: line,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	found, err := view.Findings()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, w := range plan.Warnings {
		all = append(all, audit.Finding{ID: w.ID, Text: w.Text, Mend: view.Mend(w.ID)})
	}
	return plan, append(all, found...)
}

// kinds returns the kinds of findings.
func kinds(all []audit.Finding) []string {
	list := []string{}
	for _, f := range all {
		list = append(list, f.ID)
	}
	return list
}
