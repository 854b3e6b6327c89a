package engines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// A program is one that can copy an image out of a storage.
type program struct {
	name string
	// save returns the arguments that copy the image w to a directory, or to standard output if piped. A name comes after
	// -- or in an argument that does not begin with it.
	save  func(w wanted, to string) []string
	piped bool
	// isList are the arguments with which the program succeeds if the image is for several platforms, and saveAll those
	// that copy it with all of them, where save copies that of this machine. They are nil where save copies all.
	isList  func(w wanted) []string
	saveAll func(w wanted, to string) []string
	// list are the arguments that list names of images, one a line; nil if it cannot.
	list []string
}

// programs returns those that read a storage, the best first. podman and buildah find short names, mine for
// localhost/mine:latest, as their users know them; skopeo knows full names alone. No layer is compressed.
func programs(form string) []program {
	skopeo := program{name: "skopeo", save: func(w wanted, to string) []string {
		args, name := []string{"copy", "--quiet"}, w.name
		if w.form == Docker {
			name = w.tagged()
			if host := os.Getenv("DOCKER_HOST"); host != "" {
				args = append(args, "--src-daemon-host="+host)
			}
		}
		return append(args, w.form+":"+w.store+name, "dir:"+to)
	}}
	const table = "{{.Repository}}:{{.Tag}}"
	if form == Docker {
		return []program{{
			name: "docker", piped: true, list: []string{"images", "--format", table},
			save: func(w wanted, _ string) []string { return []string{"save", "--", w.tagged()} },
		}, skopeo}
	}
	// podman and buildah have these commands in common.
	isList := func(w wanted) []string { return []string{"manifest", "exists", "--", w.bare()} }
	saveAll := func(w wanted, to string) []string {
		return []string{"manifest", "push", "--quiet", "--all", "--", w.bare(), "dir:" + to}
	}
	return []program{{
		name: "podman", list: []string{"images", "--format", table}, isList: isList, saveAll: saveAll,
		save: func(w wanted, to string) []string {
			return []string{"save", "--quiet", "--format", "docker-dir", "--output", to, "--", w.bare()}
		},
	}, {
		name: "buildah", list: []string{"images", "--format", "{{.Name}}:{{.Tag}}"}, isList: isList, saveAll: saveAll,
		save: func(w wanted, to string) []string {
			return []string{"push", "--quiet", "--disable-compression", "--", w.bare(), "dir:" + to}
		},
	}, skopeo}
}

// program returns the installed program that can copy the image.
func (w wanted) program() (program, error) {
	all := programs(w.form)
	if w.store != "" {
		all = all[len(all)-1:] // the place of a storage is skopeo's form
	}
	var names []string
	for _, p := range all {
		if _, err := exec.LookPath(p.name); err == nil {
			return p, nil
		}
		names = append(names, p.name)
	}
	export := "podman save --format oci-archive -o FILE"
	archive := "oci-archive:FILE"
	if w.form == Docker {
		export, archive = "docker save -o FILE", "docker-archive:FILE"
	}
	return program{}, fmt.Errorf("it takes %s, which this machine does not have: install one, or run %s %s "+
		"where the image is, and name %s", strings.Join(names, " or "), export, w.name, archive)
}

// copy copies the image to the path to, and returns the name of the copy.
func (p program) copy(ctx context.Context, w wanted, to string) (string, error) {
	name := "dir:" + to
	var out io.Writer
	if p.piped {
		name = "docker-archive:" + to
		f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return "", err
		}
		defer f.Close()
		if out, err = bounded(f); err != nil {
			return "", err
		}
	}
	args := p.save(w, to)
	if p.isList != nil && p.run(ctx, nil, "", p.isList(w)) == nil {
		args = p.saveAll(w, to)
	}
	if err := p.run(ctx, out, filepath.Dir(to), args); err != nil {
		return "", p.explain(ctx, w, err)
	}
	return name, nil
}

// run runs the program, and returns an error with what it said. temp is for its temporary files, "" is TMPDIR.
func (p program) run(ctx context.Context, out io.Writer, temp string, args []string) error {
	cmd := exec.CommandContext(ctx, p.name, args...)
	// podman leaves blobs there if the disk is full. Without XDG_RUNTIME_DIR it has its state in TMPDIR as well.
	if temp != "" && (os.Geteuid() == 0 || os.Getenv("XDG_RUNTIME_DIR") != "") {
		cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	}
	// It removes what it has begun.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	said := &tail{}
	cmd.Stdout, cmd.Stderr = out, said
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l, ok := out.(*limited); ok && l.full != nil { // which ended the program by a signal
		return l.full
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return errors.New(said.cause())
	}
	return err
}

// explain adds to the error of a program what a person can do about it.
func (p program) explain(ctx context.Context, w wanted, err error) error {
	if ctx.Err() != nil || errors.As(err, new(*fullError)) {
		return err
	}
	said, says := strings.ToLower(err.Error()), fmt.Sprintf("%s says: %v", p.name, err)
	with := func(advice string) error { return errors.New(says + "; " + advice) }
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(said, part) })
	}
	switch {
	case has("no space left on device"):
		return with(fmt.Sprintf("let TMPDIR name a directory with more room than %s", os.TempDir()))
	case has("image not known", "does not resolve to an image", "identifier is not an image"):
		return &Unknown{fmt.Sprintf("%s has no image of that name; each user has images of their own, and these are %s's",
			p.name, me())}
	case has("no such image", "reference does not exist"):
		return &Unknown{"docker has no image of that name; docker images lists those that it has"}
	case has("permission denied") && w.form == Docker:
		return with("run this as root, or as a member of the group that may use docker")
	case has("cannot connect to the docker daemon"):
		return with("start it (systemctl start docker), or say where it is with DOCKER_HOST or docker context use")
	}
	return errors.New(says)
}

// me returns the name of this process's user.
func me() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(os.Getuid())
}

// listTime is how long a program may take to list its images.
const listTime = 5 * time.Second

// Names returns the names of the images that an engine has, as far as its programs say them.
func Names(ctx context.Context, form string) []string {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	for _, p := range programs(form) {
		if _, err := exec.LookPath(p.name); err != nil || p.list == nil {
			continue
		}
		const most = 1 << 20
		var out bytes.Buffer
		if p.run(ctx, &limited{w: &out, left: most, err: errors.New("it says too much")}, "", p.list) != nil {
			return nil
		}
		// Images without a name are <none>:<none>.
		return slices.DeleteFunc(strings.Fields(out.String()), func(name string) bool { return !plain.MatchString(name) })
	}
	return nil
}

// A tail keeps the end of what a program says.
type tail struct{ text []byte }

func (t *tail) Write(b []byte) (int, error) {
	const most = 8 << 10
	t.text = append(t.text, b...)
	if n := len(t.text) - most; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(b), nil
}

// cause returns the last line that is about an error, else the last one, without what programs put before it and after
// it.
func (t *tail) cause() string {
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	line := lines[len(lines)-1]
	for _, l := range slices.Backward(lines) {
		if strings.Contains(l, " level=fatal ") || strings.Contains(l, " level=error ") || strings.HasPrefix(l, "Error") {
			line = l
			break
		}
	}
	if _, quoted, ok := strings.Cut(line, " msg="); ok { // logrus: time="…" level=fatal msg="…"
		if text, err := strconv.Unquote(quoted); err == nil {
			line = text
		}
	}
	for _, prefix := range []string{"Error: ", "Error response from daemon: ", "error: "} {
		line = strings.TrimPrefix(line, prefix)
	}
	line = strings.TrimSuffix(line, " Is the docker daemon running?")
	if line == "" {
		return "nothing, but it failed"
	}
	return printable.Clip(strings.TrimSuffix(line, "."), printable.Long)
}

// A fullError says that there is no room for a copy.
type fullError struct{ room int64 }

func (f *fullError) Error() string {
	return fmt.Sprintf("it has more than the %s that %s has room for: let TMPDIR name a directory with more room",
		units.Exact(f.room), os.TempDir())
}

// maxArchive is the largest archive, as in package image.
const maxArchive = 64 << 30

// bounded returns a writer to f that fails before it has used more than three quarters of the free disk space.
func bounded(f *os.File) (io.Writer, error) {
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &disk); err != nil {
		return nil, err
	}
	room := min(maxArchive, int64(disk.Bavail)*disk.Bsize/4*3)
	return &limited{w: f, left: room, err: &fullError{room}}, nil
}

// A limited writer fails with err if it gets more than left bytes.
type limited struct {
	w    io.Writer
	left int64
	err  error
	full error // err, when it has failed
}

func (l *limited) Write(b []byte) (int, error) {
	if int64(len(b)) > l.left {
		l.full = l.err
		return 0, l.err
	}
	l.left -= int64(len(b))
	return l.w.Write(b)
}
