package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	files "gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// TestUnpackCorpus unpacks every image of the corpus that a directory can hold, and compares all metadata.
func TestUnpackCorpus(t *testing.T) {
	t.Parallel()
	imagetest.NeedsRoot(t, "owners and devices are tried as root")
	for _, tc := range imagetest.Cases() {
		if tc.Refused != "" || tc.NoDir != "" || tc.Slow || len(tc.Layers) == 0 {
			continue
		}
		var layers []rootfs.Layer
		for _, l := range tc.Layers {
			layers = append(layers, l.Blob(t))
		}
		tree, err := rootfs.Read(t.Context(), layers, rootfs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := files.FromTree(t.Context(), tree)
		tree.Close()
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "root")
		c, _, stderr := tool(t, "unpack", "-strict", onDisk(t, imagetest.Image(t, tc.Layers...)), dir)
		if err := c.run(context.Background()); err != nil || stderr.Len() > 0 {
			t.Errorf("%s: unpack = %v, it said %q", tc.Name, err, stderr)
			continue
		}
		got, err := files.FromDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range files.Diff(want, got, 5) {
			t.Errorf("%s: %s", tc.Name, d)
		}
	}
}

// unkept are files with metadata that no Linux file system, or not this one, can store.
func unkept() []imagetest.Entry {
	return []imagetest.Entry{
		imagetest.File("apple1", "a").Xattr("com.apple.provenance", "x").Xattr("user.kept", "y"),
		imagetest.File("apple2", "a").Xattr("com.apple.provenance", "x"),
		imagetest.Dir("btrfs").Xattr("btrfs.compression", "zstd").Mode(0o750),
		imagetest.File("nfs4", "a").Xattr("system.nfs4_acl", "\x00\x00").Mode(0o4711),
		imagetest.File("acl", "a").Xattr("system.posix_acl_access", "rubbish"),
		imagetest.Symlink("link", "acl").Xattr("user.on-a-link", "x"),
		imagetest.FIFO("fifo").Xattr("user.on-a-fifo", "x").Mode(0o640),
		imagetest.Char("null", 1, 3).Xattr("user.on-a-device", "x").Mode(0o666),
		imagetest.File("large", "a").Xattr("user.large", strings.Repeat("x", 100<<10)),
		imagetest.File("named", "a").Xattr("user."+strings.Repeat("n", 300), "x"),
		imagetest.File("escaped", "a").Xattr("evil.\x1b[2J", "x"),
		imagetest.Link("again", "apple1"),
		imagetest.File("last", "all the same").At(time.Unix(1e9, 5)).Owner(3, 4),
	}
}

func TestUnpackLosses(t *testing.T) {
	imagetest.NeedsRoot(t, "devices are tried as root")
	img := onDisk(t, imagetest.Image(t, imagetest.Files(unkept()...)))
	dir := filepath.Join(t.TempDir(), "root")
	c, _, stderr := tool(t, "unpack", img, dir)
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	said := stderr.String()
	for _, want := range []string{
		`"com.apple.provenance" of 2 files (operation not supported): "again", "apple2"` + "\n",
		`"btrfs.compression" of 1 file (operation not supported): "btrfs"`,
		`"system.nfs4_acl" of 1 file (operation not supported): "nfs4"`,
		`"system.posix_acl_access" of 1 file (`,
		`"user.on-a-link" of 1 file (operation not permitted): "link"`,
		`"user.on-a-fifo" of 1 file (operation not permitted): "fifo"`,
		`"user.on-a-device" of 1 file (operation not permitted): "null"`,
		`"user.large" of 1 file (`,
		`"user.nnnn`,
		`"evil.\x1b[2J" of 1 file`,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q: %s", want, said)
		}
	}
	if strings.Contains(said, "user.kept") || strings.Contains(said, "\x1b") ||
		strings.Contains(said, strings.Repeat("n", 100)) {
		t.Errorf("it says %q", said)
	}
	b := make([]byte, 10)
	if n, err := unix.Getxattr(dir+"/again", "user.kept", b); err != nil || string(b[:n]) != "y" {
		t.Errorf("an attribute beside one that is lost: %q, %v", b[:max(0, n)], err)
	}
	all := strings.Join(look(t, dir), "\n")
	for _, want := range []string{"again 100644 0:0", "nfs4 104711 0:0", "fifo 10640 0:0", "null 20666 0:0",
		"btrfs 40750 0:0", `last 100644 3:4 @1000000000 x1 "all the same"`} {
		if !strings.Contains(all, want) {
			t.Errorf("there is no %q:\n%s", want, all)
		}
	}

	// With -strict it fails, says why, and leaves nothing.
	top := t.TempDir()
	for _, e := range unkept()[:10] {
		img := onDisk(t, imagetest.Image(t, imagetest.Files(imagetest.File("acl", "a"), e)))
		c, _, _ := tool(t, "unpack", "-strict", img, top+"/root")
		if err := c.run(context.Background()); code(err) != 1 || !strings.Contains(err.Error(), "attribute") ||
			!strings.Contains(err.Error(), e.Header.Name) {
			t.Errorf("-strict, %s: %v", e.Header.Name, err)
		}
		if left := names(t, top); len(left) > 0 {
			t.Errorf("-strict, %s left %q", e.Header.Name, left)
		}
	}
}

// A ramfs supports no user attributes.
func TestUnpackToRamfs(t *testing.T) {
	top := t.TempDir()
	if err := unix.Mount("ramfs", top, "ramfs", 0, ""); err != nil {
		t.Skipf("cannot mount a file system here: %v", err)
	}
	defer unix.Unmount(top, unix.MNT_DETACH)
	var entries []imagetest.Entry
	for i := range 8 {
		entries = append(entries, imagetest.File(fmt.Sprint("f", i), "x").Xattr("user.a", "1"))
	}
	c, _, stderr := tool(t, "unpack", onDisk(t, imagetest.Image(t, imagetest.Files(entries...))), top+"/root")
	if err := c.run(context.Background()); err != nil || len(names(t, top+"/root")) != 8 {
		t.Fatalf("unpack = %v", err)
	}
	if want := `the attribute "user.a" of 8 files (operation not supported): "f0", "f1", "f2", "f3", "f4" and 3 more` +
		"\n"; !strings.Contains(stderr.String(), want) {
		t.Errorf("it says %q, want %q", stderr, want)
	}
}

// If a file has more names than the file system supports, the others become a second file.
func TestUnpackManyLinks(t *testing.T) {
	if testing.Short() {
		t.Skip("creates 130000 files")
	}
	t.Parallel()
	entries := []imagetest.Entry{imagetest.File("f", "the same").Mode(0o640)}
	const many = 65010 // ext4 takes 65000: EXT4_LINK_MAX of fs/ext4/ext4.h
	for i := range many {
		entries = append(entries, imagetest.Link(fmt.Sprintf("d%d/l%d", i%10, i), "f"))
	}
	top := t.TempDir()
	var st unix.Statfs_t
	if err := unix.Statfs(top, &st); err != nil || st.Type != unix.EXT4_SUPER_MAGIC {
		t.Skip("only ext4 is known to limit a file to 65000 names")
	}
	img := onDisk(t, imagetest.Image(t, imagetest.Files(entries...)))
	c, _, stderr := tool(t, "unpack", img, top+"/root")
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stderr.String(), "the second names of 1 file (too many links)") {
		t.Errorf("it says %q", stderr)
	}
	links := map[uint64]uint64{}
	for i := range many {
		var st unix.Stat_t
		name := fmt.Sprintf("%s/root/d%d/l%d", top, i%10, i)
		if err := unix.Stat(name, &st); err != nil || st.Size != 8 || st.Mode != unix.S_IFREG|0o640 ||
			st.Mtim.Sec != imagetest.Epoch.Unix() {
			t.Fatalf("%s: %v %o %d", name, err, st.Mode, st.Size)
		}
		if i == many-1 {
			if b, err := os.ReadFile(name); err != nil || string(b) != "the same" {
				t.Errorf("the last one holds %q, %v", b, err)
			}
		}
		links[st.Ino] = st.Nlink
	}
	if len(links) != 2 {
		t.Errorf("the names belong to %d files, want 2", len(links))
	}
	c, _, _ = tool(t, "unpack", "-strict", img, top+"/strict")
	if err := c.run(context.Background()); !errors.Is(err, unix.EMLINK) {
		t.Errorf("-strict = %v", err)
	}
}

// A file that cannot be created at all is an error, not a loss of metadata. The error says why.
func TestUnpackImpossible(t *testing.T) {
	long := strings.Repeat("n", 300)
	for name, row := range map[string]struct {
		entry imagetest.Entry
		want  string
	}{
		"long name":      {imagetest.File(long, "x"), "takes no name of 300 bytes"},
		"long directory": {imagetest.Dir(long), "takes no name of 300 bytes"},
		"long target":    {imagetest.Symlink("s", strings.Repeat("t", 5000)), "nor such a target, of 5000 bytes"},
	} {
		top := t.TempDir()
		c, _, _ := tool(t, "unpack", onDisk(t, imagetest.Image(t, imagetest.Files(row.entry))), top+"/root")
		if err := c.run(context.Background()); err == nil || !strings.Contains(err.Error(), row.want) ||
			len(err.Error()) > 600 {
			t.Errorf("%s: unpack = %v", name, err)
		}
		if left := names(t, top); len(left) > 0 {
			t.Errorf("%s left %q", name, left)
		}
	}
	if err := reason(&rootfs.Node{Path: "a/README"}, unix.EEXIST); !strings.Contains(err.Error(), "upper case") {
		t.Errorf("a name that exists in upper case: %v", err)
	}
}

// Files whose paths are longer than the kernel allows are unpacked too, with openat2 and without it, and quickly even
// if successive files are in distant directories.
func TestUnpackDeep(t *testing.T) {
	t.Parallel()
	deep := 1000
	if testing.Short() {
		deep = 520 // two of them are still longer than PATH_MAX
	}
	unpackDeep(t, deep, false)
	unpackDeep(t, deep/4, true)
}

func unpackDeep(t *testing.T, deep int, single bool) {
	t.Helper()
	dir := strings.TrimSuffix(strings.Repeat("dir/", deep), "/")
	entries := []imagetest.Entry{
		imagetest.Symlink("a/l", dir), imagetest.Symlink("a/l/l", dir), imagetest.Symlink("b/l", dir),
		imagetest.Symlink("b/l/l", dir),
	}
	for i := range 50 {
		entries = append(entries, imagetest.File(fmt.Sprintf("a/l/l/f%d", i), "x"),
			imagetest.File(fmt.Sprintf("b/l/l/f%d", i), "x"))
	}
	entries = append(entries, imagetest.Link("h", "a/l/l/f7"))
	var layers []rootfs.Layer
	layers = append(layers, imagetest.Files(entries...).Blob(t))
	tree, err := rootfs.Read(t.Context(), layers, rootfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	p, err := newPlace(filepath.Join(t.TempDir(), "root"), true)
	if err != nil {
		t.Fatal(err)
	}
	c, _, _ := tool(t)
	u := &unpacker{mine: true, meter: c.meter("", 0), root: p.dir, single: single}
	begin := time.Now()
	if err := u.unpack(t.Context(), tree); err != nil {
		t.Fatalf("single %v: %v", single, err)
	}
	t.Logf("single %v: %v", single, time.Since(begin))
	fd, err := u.open("a/" + dir + "/" + dir)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(fd, "f7", &st, 0); err != nil || st.Nlink != 2 {
		t.Errorf("single %v: f7 has %d names, %v", single, st.Nlink, err)
	}
	unix.Close(fd)
	p.clear()
	if left := names(t, filepath.Dir(p.final)); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// Root in a user namespace can set no other owners and create no devices. That is reported as a loss, and set-user-ID
// bits are removed so that no file runs as the wrong user.
func TestUnpackInNamespace(t *testing.T) {
	imagetest.NeedsRoot(t, "a namespace of one user is tried as root")
	img := onDisk(t, imagetest.Image(t, imagetest.Files(
		imagetest.File("mine", "x").Mode(0o4755),
		imagetest.File("theirs", "x").Mode(0o6755).Owner(1000, 1000),
		imagetest.Dir("dir").Owner(1000, 0).Mode(0o2755), imagetest.File("dir/f", "x"),
		imagetest.Symlink("link", "mine").Owner(1000, 1000),
		imagetest.Char("null", 1, 3), imagetest.Link("null2", "null"), imagetest.FIFO("fifo"))))
	dir := filepath.Join(t.TempDir(), "root")
	p := process("unpack", img, dir)
	p.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
	}
	out, err := p.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skipf("no user namespaces here: %v", err)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{
		`the owners of 3 files (invalid argument): "theirs", "link", "dir"`,
		`the special files of 2 files (operation not permitted): "null", "null2"`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q: %s", want, out)
		}
	}
	all := strings.Join(look(t, dir), "\n")
	for _, want := range []string{"mine 104755 0:0", "theirs 100755 0:0", "dir 40755 0:0", "fifo 10600 0:0"} {
		if !strings.Contains(all, want) {
			t.Errorf("there is no %q:\n%s", want, all)
		}
	}
}
