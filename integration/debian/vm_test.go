// Package debian boots a real Debian, systemd and all, through what make built.
package debian

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// artefact returns the path of a file that make has built.
func artefact(t testing.TB, name string) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("../../out", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%v: run make out/%s first", err, name)
	}
	return file
}

// machine is a virtual machine whose network leads to this host as 10.0.2.2.
type machine struct {
	memory         string // as -m takes it
	kernel, initrd string // files; "" are those of Wyrcan
	cmdline        string // after the console's
	until          string // a line that matches this regular expression ends it, unless it ends by itself
}

// patience is how long a machine may run: many times what it takes under plain emulation on an idle host.
const patience = 15 * time.Minute

// run boots the machine and returns all that it said until its end.
func (m machine) run(t testing.TB) string {
	t.Helper()
	if m.kernel == "" {
		m.kernel, m.initrd = artefact(t, "wyrcan.kernel"), artefact(t, "wyrcan.initrd")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// The processor is without cmpxchg16b, which emulation makes slow: package integration says more.
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,-cx16", "-smp", "2", "-m", m.memory,
		"-nographic", "-no-reboot", "-device", "virtio-rng-pci", "-nic", "user,model=virtio-net-pci",
		"-kernel", m.kernel, "-initrd", m.initrd, "-append", "console=ttyS0 panic=-1 "+m.cmdline)
	name := strings.NewReplacer("/", "-", " ", "_").Replace(t.Name()) + "-" + m.memory + ".log"
	file, err := os.Create(filepath.Join(logs(t), name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out := &serial{log: file, end: cancel}
	if m.until != "" {
		out.until = regexp.MustCompile(m.until)
	}
	qemu.Stdout, qemu.Stderr = out, os.Stderr
	stdin, err := qemu.StdinPipe() // an end of input would be typed as one
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	start := time.Now()
	err = qemu.Run()
	switch {
	case out.over:
	case ctx.Err() != nil:
		t.Errorf("the machine still ran after %v; %s has what it said", patience, file.Name())
	case err != nil:
		t.Errorf("QEMU = %v", err)
	}
	t.Logf("-m %s: %.0f s", m.memory, time.Since(start).Seconds())
	return out.text.String()
}

// logs is the directory for what the machines say.
func logs(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../out/test")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// serial collects what a machine says, and ends it when it has said enough.
type serial struct {
	log   io.Writer
	text  bytes.Buffer
	until *regexp.Regexp
	over  bool
	end   func()
}

func (s *serial) Write(p []byte) (int, error) {
	s.text.Write(escapes.ReplaceAll(bytes.ReplaceAll(p, []byte("\r"), nil), nil))
	if s.until != nil && !s.over {
		last := s.text.Bytes()[max(0, s.text.Len()-len(p)-1024):]
		if s.over = s.until.Match(last); s.over {
			s.end()
		}
	}
	return s.log.Write(p)
}

// escapes are the control sequences that systemd colours its lines with. One that comes in two pieces stays.
var escapes = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")
