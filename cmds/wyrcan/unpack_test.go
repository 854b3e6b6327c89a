package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// onDisk writes img as a layout and returns its directory.
func onDisk(t *testing.T, img v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	return dir
}

// look returns a line about each file below dir.
func look(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		rel, _ := filepath.Rel(dir, path)
		line := fmt.Sprintf("%s %o %d:%d @%d", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec)
		switch info.Mode().Type() {
		case 0:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" x%d %q", st.Nlink, b)
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		case fs.ModeDevice | fs.ModeCharDevice:
			line += fmt.Sprintf(" %d,%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func testImage(t *testing.T) v1.Image {
	return imagetest.Image(t,
		imagetest.Layer{Entries: []imagetest.Entry{
			imagetest.Dir("etc").Mode(0o500).Owner(1, 2),
			imagetest.File("etc/secret", "s").Mode(0o4400),
			imagetest.File("gone", "x"),
			imagetest.Symlink("out", "../../../../outside"),
			imagetest.Char("null", 1, 3),
			imagetest.Link("etc/again", "etc/secret"),
			imagetest.File("caps", "c").Xattr("user.note", "hello"),
		}},
		imagetest.Layer{Entries: []imagetest.Entry{
			imagetest.Whiteout("gone"),
			imagetest.File("out/file", "inside"),
		}},
	)
}

func TestUnpack(t *testing.T) {
	imagetest.NeedsRoot(t, "owners and devices are tried as root")
	img := onDisk(t, testImage(t))
	for _, row := range []struct {
		name string
		args []string
		want []string
	}{
		{"whole", nil, []string{
			". 40755 0:0", "caps 100644 0:0 x1 \"c\"",
			"etc 40500 1:2", "etc/again 104400 0:0 x2 \"s\"", "etc/secret 104400 0:0 x2 \"s\"",
			"null 20600 0:0 1,3", "out 120777 0:0 -> ../../../../outside",
			"outside 40755 0:0", "outside/file 100644 0:0 x1 \"inside\"",
		}},
		{"without owners", []string{"-no-owner"}, []string{
			". 40755 0:0", "caps 100644 0:0 x1 \"c\"",
			"etc 40500 0:0", "etc/again 104400 0:0 x2 \"s\"", "etc/secret 104400 0:0 x2 \"s\"",
			"out 120777 0:0 -> ../../../../outside", "outside 40755 0:0", "outside/file 100644 0:0 x1 \"inside\"",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			c, _, stderr := tool(t, append([]string{"unpack", img, dir}, row.args...)...)
			if err := c.run(context.Background()); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range look(t, dir) {
				before, after, _ := strings.Cut(line, " @")
				_, what, _ := strings.Cut(after, " ")
				if what != "" {
					before += " " + what
				}
				got = append(got, before)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, line := range look(t, dir) {
				made := fmt.Sprintf("@%d", imagetest.Epoch.Unix())
				if strings.HasPrefix(line, "etc") && !strings.Contains(line, made) {
					t.Errorf("%q is not of %s", line, made)
				}
			}
			b := make([]byte, 10)
			if n, err := unix.Getxattr(dir+"/caps", "user.note", b); err != nil || string(b[:n]) != "hello" {
				t.Errorf("the attribute is %q, %v", b[:max(n, 0)], err)
			}
			if lost := strings.Contains(stderr.String(), "left out"); lost != (row.args != nil) {
				t.Errorf("it said %q", stderr)
			}
		})
	}
}

// TestUnpackFails checks that a failure leaves nothing, neither in the directory nor beside it.
func TestUnpackFails(t *testing.T) {
	img := onDisk(t, testImage(t))
	layers, err := testImage(t).Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := layers[1].Digest()
	if err := os.WriteFile(filepath.Join(img, "blobs/sha256", digest.Hex), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, _, _ := tool(t, "unpack", img, dir+"/new")
	if err := c.run(context.Background()); err == nil || !strings.Contains(err.Error(), "layer 2") {
		t.Errorf("unpack of a damaged layer = %v, want an error that names it", err)
	}
	there := t.TempDir()
	c, _, _ = tool(t, "unpack", img, there)
	if err := c.run(context.Background()); err == nil || len(look(t, there)) != 1 {
		t.Errorf("unpack of a damaged layer into an empty directory = %v and leaves %q", err, look(t, there))
	}
	c, _, _ = tool(t, "unpack", onDisk(t, testImage(t)), dir+"/absent/new")
	if err := c.run(context.Background()); err == nil {
		t.Error("unpack into a directory that is not there succeeded")
	}
	if left := look(t, dir); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, _ = tool(t, "unpack", onDisk(t, testImage(t)), dir)
	if err := c.run(context.Background()); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("unpack into a directory with a file = %v", err)
	}
	empty := t.TempDir()
	t.Cleanup(func() { // the image has a directory that only root can empty as it is
		filepath.WalkDir(empty, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(path, 0o700)
			}
			return err
		})
	})
	c, _, _ = tool(t, "unpack", onDisk(t, testImage(t)), empty)
	if err := c.run(context.Background()); err != nil || len(look(t, empty)) < 5 {
		t.Errorf("unpack into an empty directory = %v", err)
	}
}
