package engines

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// No name becomes an option of a program, and each comes to it as the program wants it.
func TestArguments(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	for _, row := range []struct{ name, program, want string }{
		{"containers-storage:x", "podman", "save --quiet --format docker-dir --output TO -- x"},
		{"containers-storage:@0123456789ab", "podman", "save --quiet --format docker-dir --output TO -- 0123456789ab"},
		{"containers-storage:x", "buildah", "push --quiet --disable-compression -- x dir:TO"},
		{"containers-storage:[vfs@/a b+/c:o=1]x", "skopeo", "copy --quiet containers-storage:[vfs@/a b+/c:o=1]x dir:TO"},
		{"docker-daemon:x", "docker", "save -- x:latest"},
		{"docker-daemon:registry.example:5000/x", "docker", "save -- registry.example:5000/x:latest"},
		{"docker-daemon:x:1", "docker", "save -- x:1"},
		{"docker-daemon:sha256:0123456789ab", "docker", "save -- sha256:0123456789ab"},
		{"docker-daemon:0123456789ab", "docker", "save -- 0123456789ab"},
		{"docker-daemon:x", "skopeo", "copy --quiet docker-daemon:x:latest dir:TO"},
		{"containers-storage:-x", "", ""},
		{"containers-storage:@-x", "", ""},
		{"containers-storage:[vfs@/x]-x", "", ""},
		{"docker-daemon:--output=/etc/passwd", "", ""},
		{"docker-daemon:x\n-y", "", ""},
		{"docker-daemon:", "", ""},
		{"docker-daemon:@x", "", ""},
		{"docker-daemon:" + strings.Repeat("x", 1025), "", ""},
	} {
		w, err := parse(row.name)
		if row.program == "" {
			if err == nil {
				t.Errorf("%.40q is accepted: %q", row.name, w)
			}
			continue
		}
		i := slices.IndexFunc(programs(w.form), func(p program) bool { return p.name == row.program })
		if got := strings.Join(programs(w.form)[i].save(w, "TO"), " "); got != row.want || err != nil {
			t.Errorf("%s: %s %s, want %s; %v", row.name, row.program, got, row.want, err)
		}
	}
}

// fake makes the shell script the only program docker in PATH.
func fake(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("TMPDIR", t.TempDir())
}

// What docker says becomes one line, and what a person can do follows it. Nothing is left of a copy.
func TestSays(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	for _, row := range []struct{ says, want string }{
		{"Error response from daemon: No such image: x:latest", "docker has no image of that name; docker images lists"},
		{"Error response from daemon: reference does not exist", "docker has no image of that name"},
		{"Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "; start it"},
		{"permission denied while trying to connect to the Docker daemon socket at unix:///x: Get", "run this as root"},
		{"write /tmp/x: no space left on device", "let TMPDIR name a directory with more room"},
		{`time=\"x\" level=fatal msg=\"one \\\"two\\\"\"`, `docker says: one "two"`},
		{"first\nError: second.", "docker says: second"},
		{`time=\"x\" level=error msg=\"the cause\"` + "\n(Unable to determine exit status)", "docker says: the cause"},
		{"Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "unix:///x; start it"},
		{"a\033[2Jb", `docker says: a [2Jb`},
		{"", "docker says: nothing, but it failed"},
	} {
		fake(t, "printf 'half of it'; echo x >$TMPDIR/more; echo \""+row.says+"\" >&2; exit 1")
		c, err := Fetch(context.Background(), Docker+":x", t.Logf)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: %v, want %q", row.says, err, row.want)
		}
		if c != nil {
			t.Error("there is a copy")
		}
		if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
			t.Errorf("this is left: %v", left)
		}
	}
}

// A program that does not end by a signal is ended all the same.
func TestStubborn(t *testing.T) {
	fake(t, "trap '' TERM\nwhile :; do echo x || exit; sleep 0.05; done")
	ctx, cancel := context.WithCancelCause(context.Background())
	mine := errors.New("mine")
	_, err := Fetch(ctx, Docker+":x", func(string, ...any) { cancel(mine) })
	if !errors.Is(err, mine) {
		t.Errorf("Fetch = %v, want %v", err, mine)
	}
}

// A program that says without end fills neither the memory nor the disk.
func TestEndless(t *testing.T) {
	fake(t, "while :; do echo registry.example/x:1; done")
	if got := Names(context.Background(), Docker); got != nil {
		t.Errorf("Names has %d", len(got))
	}
	fake(t, "cat /dev/zero")
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	room := int64(10 << 20)
	p := programs(Docker)[0]
	err = p.run(context.Background(), &limited{w: f, left: room, err: &fullError{room}}, "", []string{"save"})
	info, _ := f.Stat()
	if !errors.As(err, new(*fullError)) || !strings.Contains(err.Error(), "let TMPDIR name") || info.Size() > room {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}

// Only names are taken from a list, for a message and for completion.
func TestNames(t *testing.T) {
	fake(t, `printf '<none>:<none>\nmine:1\n--bad\n\033[2J\nregistry.example:5000/a/b:2\n'`)
	want := []string{"mine:1", "registry.example:5000/a/b:2"}
	if got := Names(context.Background(), Docker); !slices.Equal(got, want) {
		t.Errorf("Names = %q, want %q", got, want)
	}
}

// Whatever the name, the last argument of a program is neither an option nor several names.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"containers-storage:x", "containers-storage:[vfs@/x+/y]z", "docker-daemon:-o", "docker-daemon:@",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		w, err := parse(name)
		if err != nil {
			return
		}
		for _, p := range programs(w.form) {
			all := [][]string{p.save(w, "/to")}
			if p.isList != nil {
				all = append(all, p.isList(w), p.saveAll(w, "/to"))
			}
			for _, args := range all {
				last := args[len(args)-1]
				if last == "dir:/to" {
					last = args[len(args)-2]
				}
				if p.name == "skopeo" {
					last = strings.TrimPrefix(last, w.form+":"+w.store)
				}
				if strings.HasPrefix(last, "-") || strings.ContainsAny(last, " \n\t\x00") || last == "" {
					t.Errorf("%q: %s %q", name, p.name, args)
				}
			}
		}
	})
}
