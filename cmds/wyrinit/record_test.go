package main

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
)

// TestMain makes the test binary leave the record in a root, where leave has started it.
func TestMain(m *testing.M) {
	root := os.Getenv("WYRINIT_TEST")
	if root == "" {
		os.Exit(m.Run())
	}
	unix.Umask(0o022) // as the kernel starts process 1
	content, err := readRecord(root)
	if err := cmp.Or(err, leaveRecord(root, content)); err != nil {
		say(err.Error())
	}
	show(root)
}

// show prints the mounts on /run, everything that is below it, and the record.
func show(root string) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		say(err.Error())
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[4] == root+runDir { // proc_pid_mountinfo(5)
			os.Stdout.WriteString("mount " + f[5] + " " + f[len(f)-1] + "\n")
		}
	}
	filepath.Walk(root+runDir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			os.Stdout.WriteString(info.Mode().String() + " " + strings.TrimPrefix(path, root) + "\n")
		}
		return nil
	})
	if info, err := os.Lstat(root + handover.BootRecord); err == nil && info.Mode().IsRegular() {
		content, _ := os.ReadFile(root + handover.BootRecord)
		os.Stdout.WriteString("record: " + string(content) + "\n")
	}
}

// leave has a process with mounts of its own leave the record in root, and returns what it shows.
func leave(t *testing.T, root string) string {
	t.Helper()
	p := exec.Command(os.Args[0])
	p.Env = append(os.Environ(), "WYRINIT_TEST="+root)
	p.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // which makes / private, too
	out, err := p.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// image makes a root with these files. A name that ends with a slash is a directory, one with an arrow a link.
func image(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		name, content, _ := strings.Cut(name, "=")
		name, to, link := strings.Cut(name, "->")
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(to, path)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestLeaveRecord has images with and without systemd, and what their /run may hold.
func TestLeaveRecord(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount")
	}
	const (
		fresh = "mount rw,nosuid,nodev rw,size=SIZE,nr_inodes=819200\ndrwxr-xr-x /run\n"
		own   = "drwxr-xr-x /run\n-rw-r--r-- /run/own\n"
		left  = "drwxr-xr-x /run/wyrcan\n-rw-r--r-- /run/wyrcan/boot.json\nrecord: this boot\n"
	)
	for _, row := range []struct {
		name  string
		files []string
		want  string
	}{
		{"systemd", []string{"usr/lib/systemd/systemd", "run/lock/", "run/own"}, fresh + left},
		{"an older systemd", []string{"lib/systemd/systemd", "run/own"}, fresh + left},
		{"another init", []string{"run/own"}, own + left},
		{"another init, nothing in /run", []string{"run/"}, fresh + left},
		{"no /run", nil, fresh + left},
		{"a record of another boot", []string{"run/own", "run/wyrcan/boot.json=another boot"}, own + left},
		{"a link in its place", []string{"run/own", "run/wyrcan/boot.json->../../etc/passwd"}, own + left},
		{"a file in its way", []string{"run/wyrcan"},
			"wyrinit: remove ROOT/run/wyrcan/boot.json: not a directory\ndrwxr-xr-x /run\n-rw-r--r-- /run/wyrcan\n"},
		{"a directory in its way", []string{"run/wyrcan/boot.json/x"}, "wyrinit: remove " +
			"ROOT/run/wyrcan/boot.json: directory not empty\ndrwxr-xr-x /run\ndrwxr-xr-x /run/wyrcan\n" +
			"drwxr-xr-x /run/wyrcan/boot.json\n-rw-r--r-- /run/wyrcan/boot.json/x\n"},
		{"/run leads nowhere", []string{"run->gone"},
			"wyrinit: mkdir ROOT/run/wyrcan: no such file or directory\nLrwxrwxrwx /run\n"},
	} {
		root := image(t, append(row.files, "etc/passwd=root", handover.Record+"=this boot")...)
		got := strings.ReplaceAll(leave(t, root), root, "ROOT")
		if before, after, ok := strings.Cut(got, "size="); ok {
			_, after, _ = strings.Cut(after, ",")
			after, _ = strings.CutPrefix(after, "nr_inodes=819200")
			after, _ = strings.CutPrefix(after, ",mode=755")
			got = before + "size=SIZE,nr_inodes=819200" + after
		}
		if got != row.want {
			t.Errorf("%s: it left\n%s\nwant\n%s", row.name, got, row.want)
		}
		if b, err := os.ReadFile(root + "/etc/passwd"); err != nil || string(b) != "root" {
			t.Errorf("%s: another file of the image holds %q, %v", row.name, b, err)
		}
	}
}

// TestNoRecord leaves an image alone whose initrd has no record: nothing is mounted.
func TestNoRecord(t *testing.T) {
	root := image(t, "usr/lib/systemd/systemd", "run/own")
	if got, want := leave(t, root), "drwxr-xr-x /run\n-rw-r--r-- /run/own\n"; got != want {
		t.Errorf("it left\n%s\nwant\n%s", got, want)
	}
}
