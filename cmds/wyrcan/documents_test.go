package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
	"gitlab.com/wyrcan/wyrcan/tools/document"
)

// documented returns the commands of this tool that stand in the documents, each as the words that a shell makes of it,
// without the name of the program, and where it stands.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	blocks, err := document.All("../..", "docs/troubleshooting.md", "CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	list := make(map[string][]string)
	for _, b := range blocks {
		for _, line := range b.Lines() {
			line = strings.TrimPrefix(strings.TrimSpace(line), "ssh web7.example ") // a command for another machine
			line = strings.TrimPrefix(line, "ssh $m.example ")
			line = strings.TrimPrefix(strings.TrimPrefix(line, "sudo "), "out/")
			rest, ok := strings.CutPrefix(line, "wyrcan ")
			if !ok {
				continue
			}
			rest, _, _ = strings.Cut(rest, " > $m.json")
			rest, _, _ = strings.Cut(rest, " | ")
			// The shell takes quotes and comments away.
			out, err := exec.Command("sh", "-c", `printf '%s\n' `+strings.ReplaceAll(rest, "…", "x")).Output()
			if err != nil {
				t.Fatalf("%s: %s: %v", b, line, err)
			}
			list[b.String()+": "+line] = strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		}
	}
	if len(list) < 30 {
		t.Fatalf("only %d commands were found", len(list))
	}
	return list
}

// TestDocuments runs every command of the documents. It does what it does for a person, with these differences:
// registry.example is a registry of this test, QEMU is a script, the kernel that kexec loads into is a value, systemctl
// is a script, kexec -unload only has its options read, and serve asks no registry, listens on free ports of loopback
// without -dhcp, and ends after a moment.
func TestDocuments(t *testing.T) {
	s := newSigning(t)
	w := s.workshop(t)
	used := make(map[string]bool)
	for where, args := range documented(t) {
		used[args[0]] = true
		t.Run(where, func(t *testing.T) {
			if args[0] == "kexec" && os.Getuid() != 0 {
				t.Skip("needs root, as kexec does")
			}
			t.Chdir(w.fresh(t))
			if err := w.run(t, args); err != nil {
				t.Error(err)
			}
		})
	}
	c, _, _ := tool(t)
	for _, sub := range c.subcommands() {
		// make demo runs the one, and shells run the other.
		if !used[sub.name] && sub.name != "demo" && sub.name != "completion" {
			t.Errorf("no document has an example of wyrcan %s", sub.name)
		}
	}
}

// A workshop has what the documents' commands work with.
type workshop struct {
	*signing
	layout, overlay string // directories
}

// workshop pushes the images that the documents name, each bootable and signed.
func (s *signing) workshop(t *testing.T) workshop {
	t.Helper()
	img, kernel, overlay := stacked(t)
	for _, name := range []string{"debian", "team/debian", "web:v43", "web:stable", "debian:stable"} {
		s.reg.Push(t, name, s.img)
		repo, _, _ := strings.Cut(name, ":")
		s.reg.AttachBundle(t, repo, s.hash, s.owner.Bundle(t, s.hash, imagetest.SignPredicate, nil))
	}
	for name, i := range map[string]v1.Image{"busybox": img, "kernel": kernel, "mine": overlay} {
		s.reg.Push(t, name, i)
	}
	return workshop{s, onDisk(t, s.img), onDisk(t, overlay)}
}

// fresh makes a directory with the files that the documents name.
func (w workshop) fresh(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, target := range map[string]string{
		"cosign.pub": w.key, "layout": w.layout, "mine": w.overlay, "out/wyrcan.oci": w.layout, "out/kernel.oci": w.layout,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"auth.json": `{"auths":{"` + w.reg.Host + `":{"username":"me","password":"x"}}}`,
		"policy.json": `{"default":[{"type":"reject"}],"transports":{"docker":{"` + w.reg.Host +
			`":[{"type":"sigstoreSigned","keyPath":"` + w.key + `"}]}}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"certs", "machines", "bin"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const machine = "#!/bin/sh\necho 'wyrboot: starts kernel 1 of x after 1.0 s'; echo 'debian login: '\n"
	for _, name := range []string{"qemu-system-x86_64", "qemu-system-aarch64", "systemctl"} {
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte(machine), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	return dir
}

// run runs one command as a person on this machine would.
func (w workshop) run(t *testing.T, args []string) error {
	t.Helper()
	host := w.reg.Host
	if args[0] == "serve" {
		host = "registry.example" // a name on loopback would mean each machine itself
	}
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "registry.example", host)
		if strings.HasPrefix(a, "containers-storage:") || strings.HasPrefix(a, "docker-daemon:") {
			args[i] = "oci:layout" // an engine's own images are the subject of its own tests
		}
		if i > 0 && args[i-1] == "-dhcp" { // needs root's ports and an interface; TestProxyDHCP of pkg/netboot has it
			args[i-1], args[i] = "-tftp", "127.0.0.1:0"
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if args[0] == "serve" {
		args = append(args, "-http", "127.0.0.1:0", "-tftp", "127.0.0.1:0", "-no-check")
		ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
	}
	c, stdout, stderr := tool(t, args...)
	c.stdin = strings.NewReader("a password\n")
	c.root = t.TempDir()
	withWyrinit(t, c)
	withMemory(t, c, 4096, 2048)
	besideTool(t, c)
	// These would change what this machine's kernel has loaded. So they get no further than to their options.
	forbidden := args[0] == "kexec" && (slices.Contains(args, "-unload") || slices.Contains(args, "-force"))
	disabled := "0\n"
	if forbidden {
		disabled = "1\n"
	}
	system(t, c.root, map[string]string{
		"sys/kernel/kexec_loaded": "0\n", "proc/cmdline": "quiet\n", "run/systemd/system/x": "",
		"proc/sys/kernel/kexec_load_disabled": disabled,
		strings.TrimPrefix(record.File, "/"):  text(t, booted(t, w.reg.Host+"/debian:stable")),
	})
	c.kernel = &loading{}
	err := c.run(ctx)
	if forbidden && err != nil && strings.Contains(err.Error(), "forbids it until the next reboot") {
		return nil
	}
	var st *status
	if args[0] == "status" && errors.As(err, &st) && st.code == 10 {
		err = nil
	}
	if err != nil {
		return errors.Join(err, errors.New(said(stdout, stderr)))
	}
	return nil
}

func said(list ...*bytes.Buffer) string {
	var b strings.Builder
	for _, s := range list {
		b.Write(s.Bytes())
	}
	return b.String()
}

// TestNamedOptions looks for each command and each option that a sentence of the documents has.
func TestNamedOptions(t *testing.T) {
	texts, err := document.Texts("../..")
	if err != nil {
		t.Fatal(err)
	}
	help := make(map[string]string)
	c, _, _ := tool(t)
	for _, sub := range c.subcommands() {
		c, stdout, _ := tool(t, sub.name, "-help")
		if err := c.run(t.Context()); code(err) != 0 {
			t.Fatal(err)
		}
		help[sub.name] = stdout.String()
	}
	n := 0
	command := regexp.MustCompile("`wyrcan ([a-z]+)([^`]*)`")
	for name, text := range texts {
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			n++
			about, known := help[m[1]]
			if !known && m[1] != "version" && m[1] != "help" {
				t.Errorf("%s: %s: there is no such command", name, m[0])
			}
			for _, word := range strings.Fields(m[2]) {
				option, _, _ := strings.Cut(strings.TrimRight(word, ",.;)"), "=")
				if strings.HasPrefix(option, "-") && !regexp.MustCompile(`(?m)^  `+option+`\b`).MatchString(about) {
					t.Errorf("%s: %s: there is no option %s", name, m[0], option)
				}
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d commands are named", n)
	}
}
