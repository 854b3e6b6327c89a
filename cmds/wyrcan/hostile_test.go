package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

const nobody = 65534

// as runs f in a thread with another user ID.
func as(t *testing.T, uid int, f func()) (wait func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if _, _, err := syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(uid), uintptr(uid), uintptr(uid)); err != 0 {
			done <- err
			return
		}
		if _, _, err := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); err != 0 {
			done <- err
			return
		}
		f()
		done <- nil
	}()
	return func() {
		if err := <-done; err != nil {
			t.Errorf("cannot become user %d: %v", uid, err)
		}
	}
}

// shared returns a directory that every user may write to.
func shared(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir = filepath.Join(dir, "shared")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestUnpackRaced checks unpack against an attack: another user, who can write to the directory or to its parent,
// replaces new files by links to files of root while unpack runs.
func TestUnpackRaced(t *testing.T) {
	t.Parallel()
	imagetest.NeedsRoot(t, "two users are tried as root")
	var l imagetest.Layer
	content := strings.Repeat("x", 100<<10)
	for i := range 300 {
		l.Entries = append(l.Entries,
			imagetest.File(fmt.Sprintf("f%d", i%3), content).Mode(0o4777).Owner(nobody, nobody).Xattr("user.x", "y"),
			imagetest.File(fmt.Sprintf("g%d", i), content).Mode(0o4777).Owner(nobody, nobody).Xattr("user.x", "y"),
			imagetest.FIFO(fmt.Sprintf("p%d", i)).Mode(0o777).Owner(nobody, nobody),
			imagetest.Dir(fmt.Sprintf("d%d", i)).Mode(0o2777).Owner(nobody, nobody))
	}
	l.Entries = append(l.Entries, imagetest.Dir(".").Mode(0o2777).Owner(nobody, nobody))
	img := onDisk(t, imagetest.Image(t, l))
	tries := 4
	if testing.Short() {
		tries = 1
	}
	for _, there := range []bool{true, false} {
		top := shared(t)
		outside := filepath.Join(filepath.Dir(top), "outside")
		victim := filepath.Join(outside, "victim")
		if err := os.Mkdir(outside, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(victim, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(outside, "g1"), 0o700); err != nil {
			t.Fatal(err)
		}
		before := look(t, outside)
		for try := range tries {
			final := filepath.Join(top, fmt.Sprint("root", try))
			if there {
				if err := os.Mkdir(final, 0o777); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(os.Chmod(final, 0o777), os.Chown(final, nobody, nobody)); err != nil {
					t.Fatal(err)
				}
			}
			var stop atomic.Bool
			var ready sync.WaitGroup
			ready.Add(1)
			wait := as(t, nobody, func() { attack(top, final, victim, outside, ready.Done, &stop) })
			ready.Wait()
			c, _, _ := tool(t, "unpack", img, final)
			err := c.run(context.Background())
			stop.Store(true)
			wait()
			if got := look(t, outside); fmt.Sprint(got) != fmt.Sprint(before) {
				t.Fatalf("there before: %v, unpack = %v: outside is now %q, was %q", there, err, got, before)
			}
			t.Logf("there before: %v: unpack = %v", there, err)
			if err != nil {
				continue
			}
			// The attacker may have replaced the directory by a link. A directory must be complete.
			if info, err := os.Lstat(final); err == nil && info.IsDir() && len(look(t, final)) != 1+3+300*3 {
				t.Errorf("unpack succeeds with %d files", len(look(t, final)))
			}
		}
	}
}

// attack does what a user can do who may write to the directory top and to its files: it replaces new files by links to
// the victim, and new directories, including final, by links to the directory outside.
func attack(top, final, victim, outside string, ready func(), stop *atomic.Bool) {
	fd := -1
	if d, err := unix.Open(final, unix.O_RDONLY|unix.O_DIRECTORY, 0); err == nil {
		fd = d // stays usable when its mode changes
		defer unix.Close(fd)
	}
	ready()
	swap := func(at int, name, target string) {
		if unix.Unlinkat(at, name, 0) == nil || unix.Unlinkat(at, name, unix.AT_REMOVEDIR) == nil {
			unix.Symlinkat(target, at, name)
		}
	}
	for i := 0; !stop.Load(); i++ {
		if fd >= 0 {
			swap(fd, fmt.Sprintf("g%d", i%300), victim)
			swap(fd, fmt.Sprintf("f%d", i%3), victim)
			swap(fd, fmt.Sprintf("p%d", i%300), victim)
			swap(fd, fmt.Sprintf("d%d", i%300), outside)
		}
		if i%7 != 0 {
			continue
		}
		list, _ := os.ReadDir(top)
		for _, e := range list {
			name := filepath.Join(top, e.Name())
			if e.Type() == os.ModeSymlink || strings.HasPrefix(e.Name(), "moved") {
				continue
			}
			if i%2 == 0 || fd < 0 && strings.HasPrefix(e.Name(), ".") {
				moved := filepath.Join(top, fmt.Sprint("moved", i))
				if os.Rename(name, moved) == nil {
					os.Symlink(outside, name)
					runtime.Gosched()
					os.Remove(name)
					os.Rename(moved, name)
				}
			}
		}
	}
}

// TestUnpackAlone checks that another user cannot access the directory while unpack fills it.
func TestUnpackAlone(t *testing.T) {
	imagetest.NeedsRoot(t, "two users are tried as root")
	final := filepath.Join(shared(t), "root")
	if err := os.Mkdir(final, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(final, nobody, nobody), os.Chmod(final, 0o2775)); err != nil {
		t.Fatal(err)
	}
	before := look(t, final)
	p, err := newPlace(final, false)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(final, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	as(t, nobody, func() {
		for name, err := range map[string]error{
			"create a link":   unix.Symlinkat("/etc", fd, "link"),
			"create a file":   os.WriteFile(final+"/file", nil, 0o600),
			"change the mode": os.Chmod(final, 0o777),
			"read":            unix.Access(final, unix.R_OK),
		} {
			if err == nil {
				t.Errorf("another user can do this: %s", name)
			}
		}
	})()
	if err := unix.Mkdirat(int(p.dir.Fd()), "made", 0o500); err != nil {
		t.Fatal(err)
	}
	p.clear()
	if got := look(t, final); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("after a failure it is %q, it was %q", got, before)
	}

	// A user who is not root cannot close a directory of another user.
	as(t, 1, func() {
		if _, err := newPlace(final, true); err == nil || !strings.Contains(err.Error(), "not yours") {
			t.Errorf("a place in another user's directory: %v", err)
		}
	})()

	// Symbolic links to the directory are followed, unless a third user has made them.
	empty := filepath.Join(filepath.Dir(final), "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[int]bool{0: true, nobody: false} {
		link := filepath.Join(filepath.Dir(final), fmt.Sprint("link", uid))
		if err := errors.Join(os.Symlink("../shared/empty", link), os.Lchown(link, uid, uid)); err != nil {
			t.Fatal(err)
		}
		p, err := newPlace(link, false)
		if (err == nil) != want {
			t.Errorf("a place by a link of user %d: %v", uid, err)
		}
		if err == nil {
			p.clear()
		}
	}

	// With -no-owner the directory keeps its owner.
	c, _, _ := tool(t, "unpack", "-no-owner", onDisk(t, testImage(t)), final)
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(final, &st); err != nil || st.Uid != nobody || st.Mode&0o7777 != 0o755 {
		t.Errorf("the directory belongs to %d now, with mode %o, %v", st.Uid, st.Mode, err)
	}
}
