package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

func TestMachine(t *testing.T) {
	m := &machine{arch: "amd64", kernel: "K", initrd: "I", memory: "1G", cpus: 3, extra: []string{"-s"},
		args: []cmdline.Arg{{Key: "wyr.img", Value: "x:1", HasValue: true},
			{Key: "wyr.arg", Value: "a b", HasValue: true}}}
	for _, row := range []struct {
		name     string
		arch     string
		hardware bool
		until    string
		want     []string
	}{
		{"emulated", "amd64", false, "",
			[]string{"qemu-system-x86_64 -machine q35 -accel tcg -cpu max,-cx16 -m 1G -smp 3 -kernel K -initrd I " +
				"-append console=ttyS0 ", " -display none -serial mon:stdio -s"}},
		{"virtualized", "amd64", true, "", []string{"-accel kvm -cpu host"}},
		{"unattended", "amd64", false, "words", []string{"-display none -monitor none -serial stdio -s"}},
		{"arm64", "arm64", false, "",
			[]string{"qemu-system-aarch64 -machine virt -accel tcg -cpu cortex-a72 -m", "console=ttyAMA0"}},
	} {
		m.arch, m.until = row.arch, row.until
		argv, err := m.command(row.hardware)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range row.want {
			if !strings.Contains(strings.Join(argv, " "), want) {
				t.Errorf("%s: %q has no %q", row.name, argv, want)
			}
		}
		if slices.Contains(argv, "-nographic") {
			t.Errorf("%s: with -nographic SeaBIOS changes the terminal", row.name)
		}
		for i, a := range argv {
			if a != "-append" {
				continue
			}
			if got, want := cmdline.Parse(argv[i+1])[1:], m.args; !cmp.Equal(got, want) {
				t.Errorf("%s: the guest reads %v, want %v", row.name, got, want)
			}
		}
	}
	m.arch = "vax"
	if _, err := m.command(false); err == nil {
		t.Error("there is a command for a VAX")
	}
}

func TestHasKVM(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	device := write("kvm", "")
	for _, row := range []struct {
		arch, cpuinfo, device string
		want                  bool
	}{
		{"amd64", "processor : 0\nflags\t\t: fpu vmx sse\n", device, true},
		{"amd64", "flags\t\t: fpu svm\n", device, true},
		{"amd64", "flags\t\t: fpu sse\nbugs\t\t: vmx\n", device, false},
		{"amd64", "flags\t\t: fpu vmxnet\n", device, false},
		{"amd64", "flags\t\t: vmx\n", filepath.Join(dir, "absent"), false},
		{"vax", "flags\t\t: vmx\n", device, false},
	} {
		if got := hasKVM(row.arch, write("cpuinfo", row.cpuinfo), row.device); got != row.want {
			t.Errorf("hasKVM(%q, %q, %q) = %v, want %v", row.arch, row.cpuinfo, row.device, got, row.want)
		}
	}
}

// The console of an unattended machine decides whether it succeeds. A missing QEMU is explained.
func TestStart(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	c, stdout, stderr := tool(t)
	m := &machine{arch: "amd64", until: "THE-WORDS", memory: "1G", cpus: 1}
	if err := c.start(context.Background(), m); err == nil || !strings.Contains(err.Error(), "install QEMU") {
		t.Errorf("start without QEMU = %v", err)
	}
	for _, row := range []struct{ script, err string }{
		{"echo 'wyrboot: stage network 1.0 s'; echo THE-WORDS; exec /bin/sleep 100", ""},
		{"printf 'wyrboot: stage network 1.0 s\nTHE-WORDS? '; exec /bin/sleep 100", ""},
		{"echo nothing", "ended without having shown"},
		{"exit 3", "exit status 3"},
		{"exec /bin/sleep 100", "time was up"},
	} {
		if err := os.WriteFile(dir+"/qemu-system-x86_64", []byte("#!/bin/sh\n"+row.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		limit := 30 * time.Second
		if row.err == "time was up" {
			limit = 200 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		stdout.Reset()
		err := c.start(ctx, m)
		cancel()
		if row.err == "" &&
			(err != nil || !strings.Contains(stdout.String(), "THE-WORDS") ||
				!strings.Contains(stderr.String(), "network  1.000 s")) {
			t.Errorf("%q: %v, %q, %q", row.script, err, stdout, stderr)
		}
		if row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)) {
			t.Errorf("%q: %v, want an error with %q", row.script, err, row.err)
		}
	}
}

// A session succeeds if the container's kernel was started. Input reaches the machine unchanged.
func TestSession(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	const starts = "echo 'wyrboot: starts kernel 6.1 of x after 3.0 s'; "
	for _, row := range []struct{ script, err string }{
		{starts + "echo hello", ""},
		{starts + "printf 'login: '", ""},
		{starts + "echo '[ 4.0] reboot: Power down'", ""},
		{starts, "had shown anything"},
		{starts + "echo 'wyrboot: cannot start it'; echo '[ 64.0] reboot: Restarting system'",
			"before the container's kernel was started"},
		{"echo 'wyrboot: cannot get nope'", "before the container's kernel was started"},
		{"exit 0", "before the container's kernel was started"},
		{starts + "echo hello; exit 3", "exit status 3"},
		{starts + "echo hello; kill -9 $$", "signal: killed"},
	} {
		if err := os.WriteFile(dir+"/qemu-system-x86_64",
			[]byte("#!/bin/sh\nread line; echo \"$line\"\n"+row.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		c, stdout, stderr := tool(t)
		c.stdin = strings.NewReader("typed\x03\n")
		err := c.start(context.Background(), &machine{arch: "amd64", memory: "1G", cpus: 1})
		if row.err == "" && err != nil || row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)) {
			t.Errorf("%q: %v, want an error with %q", row.script, err, row.err)
		}
		if code(err) > 1 || !strings.HasPrefix(stdout.String(), "typed\x03\n") ||
			!strings.Contains(stderr.String(), "Ctrl-A, then X") {
			t.Errorf("%q: status %d, %q, %q", row.script, code(err), stdout, stderr)
		}
	}
}
