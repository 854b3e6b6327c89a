package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestMain makes the test binary the program itself where process has started it, with its signals and exit status.
func TestMain(m *testing.M) {
	if os.Getenv("WYRCAN_TEST") == "" {
		os.Exit(m.Run())
	}
	main()
}

// process returns a process of the program with these arguments.
func process(args ...string) *exec.Cmd {
	p := exec.Command(os.Args[0], args...)
	p.Env = append(os.Environ(), "WYRCAN_TEST=main")
	return p
}

// TestSignal ends the program early. It must remove what it has begun, print one sentence, and end by the signal.
func TestSignal(t *testing.T) {
	registry := imagetest.Serve(t)
	entries := append(bootable(), imagetest.File("data", strings.Repeat("much ", 1<<20)))
	ref := registry.Push(t, "slow", imagetest.Image(t, imagetest.Files(entries...)))
	arrived := make(chan bool, 100)
	stall := func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		arrived <- true
		<-req.Context().Done()
	}
	registry.Fail(imagetest.Fault{Path: imagetest.Blobs, Skip: 1, Do: stall})
	dir := t.TempDir()
	for _, row := range []struct {
		args   []string
		signal syscall.Signal
		says   string
	}{
		{[]string{"unpack", "-no-owner", ref, dir + "/root"}, syscall.SIGINT, "wyrcan: interrupted\n"},
		{
			[]string{"morph", "-root", "initramfs", ref, "-kernel", dir + "/k", "-initrd", dir + "/i"}, syscall.SIGTERM,
			"wyrcan: ended by a signal: terminated\n",
		},
		{[]string{"check", "-root", "initramfs", ref}, syscall.SIGHUP, "wyrcan: ended by a signal: hangup\n"},
	} {
		p := process(row.args...)
		var said bytes.Buffer
		p.Stdout, p.Stderr = &said, &said
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		<-arrived
		if err := p.Process.Signal(row.signal); err != nil {
			t.Fatal(err)
		}
		p.Wait() // its status is checked next
		status := p.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != row.signal || said.String() != row.says {
			t.Errorf("%v upon %v: %v, it said %q, want %q",
				row.args, row.signal, p.ProcessState, said.String(), row.says)
		}
		if left := names(t, dir); len(left) > 0 {
			t.Errorf("%v upon %v left %q", row.args, row.signal, left)
		}
	}
}

// tool returns a run of the tool with these arguments, and what it prints.
func tool(t *testing.T, args ...string) (c *cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	c = &cmd{stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, args: args, home: t.TempDir()}
	return c, stdout, stderr
}

func TestUsage(t *testing.T) {
	for _, row := range []struct {
		args   []string
		code   int
		stdout string
		err    string
	}{
		{nil, 2, "", ""},
		{[]string{"help"}, 0, "usage: wyrcan COMMAND", ""},
		{[]string{"-help"}, 0, "usage: wyrcan COMMAND", ""},
		{[]string{"version"}, 0, "wyrcan of unknown release, for make did not build it\ncommit ", ""},
		{[]string{"help", "check"}, 0, "usage: wyrcan check", ""},
		{[]string{"help", "frobnicate"}, 2, "", `"frobnicate" is no command`},
		{[]string{"frobnicate"}, 2, "", `"frobnicate" is no command`},
		{[]string{"chek"}, 2, "", `"chek" is no command: did you mean check?`},
		{[]string{"help", "chek"}, 2, "", "did you mean check?"},
		{[]string{"Check", "x"}, 2, "", "did you mean check?"},
		{[]string{"umpack"}, 2, "", "did you mean unpack?"},
		{[]string{"mroph"}, 2, "", "did you mean morph?"},
		{[]string{"vers"}, 2, "", "did you mean version?"},
		{[]string{"x"}, 2, "", "wyrcan help lists them"},
		{[]string{"-version"}, 0, "Go     go", ""},
		{[]string{"version", "x"}, 2, "", "version takes no argument"},
		{[]string{"run", "-memroy", "4G", "a"}, 2, "", "-memroy: wyrcan run -help"},
		{[]string{"run", "-untl", "x", "a"}, 2, "", "did you mean -until?"},
		{[]string{"run", "--apend=x", "a"}, 2, "", "did you mean -append?"},
		{[]string{"check", "-jsn", "a"}, 2, "", "did you mean -json?"},
		{[]string{"morph", "a", "-kernal", "f"}, 2, "", "did you mean -kernel?"},
		{[]string{"run", "-help"}, 0, "usage: wyrcan run", ""},
		{[]string{"run"}, 2, "", "usage: wyrcan run"},
		{[]string{"run", "a", "b"}, 2, "", "usage: wyrcan run"},
		{[]string{"run", "-frob", "a"}, 2, "", "-frob"},
		{[]string{"run"}, 2, "", "an argument is missing"},
		{[]string{"run", "a", "b"}, 2, "", `"b" is one argument too many`},
		{[]string{"run", "-smp", "x", "a"}, 2, "", "want a whole number"},
		{[]string{"run", "-smp", "0", "a"}, 2, "", "at least one processor"},
		{[]string{"run", "-timeout", "5", "a"}, 2, "", "90s or 5m"},
		{[]string{"serve"}, 1, "", "build it with make, or say where it is with -kernel"},
		{[]string{"demo", "-kernel", "/nowhere"}, 1, "", "cannot find"},
		{[]string{"run", "a", "-arch", "vax"}, 2, "", `no machine of architecture "vax"`},
		{[]string{"run", "a", "-arch", "aarch64"}, 1, "", "cannot find"},
		{[]string{"check", "a", "-arch", ""}, 2, "", "want an architecture"},
		{[]string{"push", "/nowhere", "UPPER"}, 2, "", "not the name of an image"},
		{[]string{"push", "/nowhere", "x"}, 1, "", `cannot get /nowhere: it is neither an archive nor a layout`},
		{[]string{"push", "registry.example/x", "y"}, 2, "", "not on this machine"},
	} {
		c, stdout, _ := tool(t, row.args...)
		err := c.run(context.Background())
		if code(err) != row.code || !strings.Contains(stdout.String(), row.stdout) ||
			row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)) {
			t.Errorf("wyrcan %q: status %d, %v, stdout %q; want status %d, %q, %q",
				row.args, code(err), err, stdout, row.code, row.err, row.stdout)
		}
	}
}

// TestDistance counts the typing mistakes between two words.
func TestDistance(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"check", "check", 0}, {"chek", "check", 1}, {"check", "chek", 1}, {"chekc", "check", 1},
		{"xheck", "check", 1}, {"cehkc", "check", 2}, {"", "run", 3}, {"push", "run", 3},
	} {
		if got := distance(row.a, row.b); got != row.want {
			t.Errorf("distance(%q, %q) = %d, want %d", row.a, row.b, got, row.want)
		}
	}
}

// TestVersion prints the commit and its date, which make sets.
func TestVersion(t *testing.T) {
	defer func(v, c, s string) { version, commit, seconds = v, c, s }(version, commit, seconds)
	version, commit, seconds = "v3.1-2-gabc", "abcdef", "1795754096"
	var b strings.Builder
	if err := writeVersion(&b); err != nil {
		t.Fatal(err)
	}
	want := "wyrcan v3.1-2-gabc\ncommit abcdef\ndate   2026-11-27\nGo     " + runtime.Version() + " "
	if !strings.HasPrefix(b.String(), want) {
		t.Errorf("it says %q, want %q", b.String(), want)
	}
}

// TestParse has options before, between and after the arguments.
func TestParse(t *testing.T) {
	c, _, _ := tool(t)
	for _, args := range [][]string{{"-x", "1", "a", "b"}, {"a", "-x", "1", "b"}, {"a", "b", "-x=1"}} {
		f := c.flags("test", "", "")
		x := f.String("x", "", "")
		rest, err := f.parse(args, 2, false)
		if err != nil || *x != "1" || strings.Join(rest, "") != "ab" {
			t.Errorf("parse(%q) = %q, %v with -x %q", args, rest, err, *x)
		}
	}
}

func TestMeter(t *testing.T) {
	for _, row := range []struct {
		done, total int64
		after       time.Duration
		want        string
	}{
		{0, 133_600_000, 0, "x: 0.0 of 133.6 MB"},
		{50_000_000, 150_000_000, 5 * time.Second, "x: 50.0 of 150.0 MB, 10.0 MB/s, 10 s left"},
		{150_000_000, 150_000_000, 5 * time.Second, "x: 150.0 of 150.0 MB, 30.0 MB/s"},
		{50_000_000, 0, 5 * time.Second, "x: 50.0 MB, 10.0 MB/s"},
	} {
		m := &meter{what: "x", done: row.done, total: row.total / 2}
		m.more(row.total - row.total/2) // of layers that are read again
		if got := m.line(row.after); got != row.want {
			t.Errorf("%d of %d after %v: %q, want %q", row.done, row.total, row.after, got, row.want)
		}
	}
}

// TestMeterFits keeps a meter's line within one row of the terminal, because it is overwritten.
func TestMeterFits(t *testing.T) {
	const name = "registry.example/debian@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	m := &meter{what: "reading " + name, done: 50_000_000, total: 150_000_000}
	line := m.line(5 * time.Second)
	for width, want := range map[int]string{
		200: line,
		80:  "reading registry.example/debian@sha2...: 50.0 of 150.0 MB, 10.0 MB/s, 10 s left",
		20:  line[:19],
		1:   "",
		0:   "",
	} {
		if got := m.fit(line, width); got != want || width > 0 && len(got) >= width {
			t.Errorf("in %d columns: %q, want %q", width, got, want)
		}
	}
}
