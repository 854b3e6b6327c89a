package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// completed are lines of a shell with a tab in them, and the arguments that wyrcan gets then.
func completed() []struct{ typed, want string } {
	return []struct{ typed, want string }{
		{"ch\t", "<check>"},
		{"check -js\t", "<check><-json>"},
		{"check --js\t", "<check><--json>"},
		{"check -arch=ar\t", "<check><-arch=arm64>"},
		{"check -root=sq\t", "<check><-root=squashfs>"},
		{"check -verity=y\t", "<check><-verity=yes>"},
		{"check -arch am\tx", "<check><-arch><amd64><x>"},
		{"help st\t", "<help><status>"},
		{"completion z\t", "<completion><zsh>"},
		{"check oci-\tx", "<check><oci-archive:x>"},
		{"check oci:./lay\t", "<check><oci:./layout/>"},
		{"check -overlay dir:lay\t", "<check><-overlay><dir:layout/>"},
		{"check docker-daemon:regi\t", "<check><docker-daemon:registry.example/mine:1>"},
		{"check docker-daemon:registry.example/mine:\t", "<check><docker-daemon:registry.example/mine:1>"},
		{"check -authfile=x -v not\t", "<check><-authfile=x><-v><note>"},
		{"morph x -kernel not\t", "<morph><x><-kernel><note>"},
		{"check -arg not\t", "<check><-arg><not>"}, // it is no file
	}
}

// completing makes a directory with files, in which wyrcan is this program for its completion and prints what it got
// otherwise.
func completing(t *testing.T, shell string) (dir string, env []string) {
	t.Helper()
	imagetest.NeedsPrograms(t, shell)
	dir, bin := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "layout"), 0o755),
		os.WriteFile(filepath.Join(dir, "note"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"wyrcan": "test \"$1\" = __complete && WYRCAN_TEST=main exec " + os.Args[0] + " \"$@\"\n" +
			"printf 'GOT'\nprintf '<%s>' \"$@\"\necho\n",
		"docker": "echo registry.example/mine:1\n",
		"podman": "exit 1\n",
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c, stdout, _ := tool(t, "completion", shell)
	err := c.run(context.Background())
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(bin, "script"), stdout.Bytes(), 0o600),
			os.Mkdir(filepath.Join(bin, "functions"), 0o755),
			os.Symlink(filepath.Join(bin, "script"), filepath.Join(bin, "functions/_wyrcan")))
	}
	if err != nil {
		t.Fatal(err)
	}
	env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+bin, "SCRIPT="+bin+"/script",
		"TERM=dumb", "PS1=")
	return dir, env
}

// bash and zsh complete on a terminal, with their own editors of lines.
func TestCompletionTerminal(t *testing.T) {
	for _, row := range []struct{ shell, options, start string }{ // zsh loads a function, or a script
		{"bash", "--norc --noprofile -i", `source "$SCRIPT"`},
		{"zsh", "-f -i", `fpath=("$HOME/functions" $fpath); autoload -U compinit; compinit -u -D; unsetopt beep`},
		{"zsh", "-f -i", `autoload -U compinit; compinit -u -D; unsetopt beep; source "$SCRIPT"`},
	} {
		t.Run(row.shell, func(t *testing.T) {
			dir, env := completing(t, row.shell)
			person, program := pty(t)
			p := exec.Command(row.shell, strings.Fields(row.options)...)
			p.Dir, p.Env = dir, env
			p.Stdin, p.Stdout, p.Stderr = program, program, program
			p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { p.Process.Kill(); p.Wait() }()
			program.Close()
			said := &reader{t: t, from: person}
			said.types(row.start + "; echo RE''ADY\n")
			said.await("READY")
			for _, x := range completed() {
				said.types("wyrcan " + x.typed + "\n")
				if got := said.await("GOT"); got != x.want {
					t.Errorf("%q becomes %s, want %s", x.typed, got, x.want)
				}
			}
		})
	}
}

// A reader is a person at a terminal.
type reader struct {
	t    *testing.T
	from *os.File
	text bytes.Buffer
}

func (r *reader) types(text string) {
	r.t.Helper()
	if _, err := r.from.WriteString(text); err != nil {
		r.t.Fatal(err)
	}
}

// await waits for a line that begins with a word, and returns the rest of the line.
func (r *reader) await(word string) string {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	b := make([]byte, 4096)
	for {
		text := strings.ReplaceAll(r.text.String(), "\r", "\n")
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, word); ok && strings.HasSuffix(line, "\n") {
				r.text.Reset()
				return strings.TrimSpace(rest)
			}
		}
		if err := r.from.SetReadDeadline(deadline); err != nil {
			r.t.Fatal(err)
		}
		n, err := r.from.Read(b)
		r.text.Write(b[:n])
		if err != nil {
			r.t.Fatalf("there is no %q: %v\n%s", word, err, r.text.String())
		}
	}
}

// fish tells what it would complete.
func TestCompletionFish(t *testing.T) {
	dir, env := completing(t, "fish")
	for _, x := range completed() {
		before, after, _ := strings.Cut(x.typed, "\t")
		p := exec.Command("fish", "--no-config", "--command", `source $SCRIPT; complete --do-complete $argv[1]`,
			"wyrcan "+before)
		p.Dir, p.Env = dir, env
		out, err := p.Output()
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(before)
		word, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\t")
		if word == "" {
			word = words[len(words)-1]
		}
		got := "<" + strings.Join(append(words[:len(words)-1], word+strings.TrimSpace(after)), "><") + ">"
		if x.want == "<check><-arch><amd64><x>" {
			got += "<x>" // fish adds the blank when it completes
			got = strings.Replace(got, "amd64x", "amd64", 1)
		}
		if got != x.want {
			t.Errorf("%q becomes %s, want %s", x.typed, got, x.want)
		}
	}
}

// What no shell shows: descriptions, names that a list of lines cannot hold, and words that are nothing.
func TestComplete(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "a\nb", ".hidden"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		words []string
		want  string
	}{
		{nil, "none\nrun\tboot an image in QEMU"},
		{[]string{"frobnicate", ""}, "none\n"},
		{[]string{"check", "oci:" + dir + "/"}, "none\noci:" + dir + "/a\t\n"},
		{[]string{"check", "oci:" + dir + "/."}, "none\noci:" + dir + "/.hidden\t\n"},
		{[]string{"check", "-key", ""}, "files\n"},
		{[]string{"check", "-json", "dir"}, "files\ndir:\twhat skopeo"},
		{[]string{"check", "x", ""}, "none\n"},
		{[]string{"push", "x", ""}, "none\n"},
		{[]string{"unpack", "x", ""}, "files\n"},
		{[]string{"check", "-tls-verify", "doc"}, "files\ndocker-archive:"},
		{[]string{"check", "-nonsense=", ""}, "files\noci:"},
		{[]string{"check", "-nonsense="}, "none\n"},
		{[]string{"serve", "-machines", ""}, "files\n"},
	} {
		c, stdout, stderr := tool(t, append([]string{completes}, row.words...)...)
		err := c.run(context.Background())
		got, whole := stdout.String(), strings.HasSuffix(row.want, "\n")
		if !strings.HasPrefix(got, row.want) || whole && got != row.want || err != nil || stderr.Len() > 0 {
			t.Errorf("%q: %q, want %q; %v %s", row.words, got, row.want, err, stderr)
		}
	}
}
