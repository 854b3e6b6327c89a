// wyrinit is the first process of a container that Wyrcan booted, for a moment.
//
// Synopsis:
//
//	/init [ARGUMENT]...    (the kernel starts it; by hand it refuses)
//
// Description:
//
//	An initramfs cannot carry extended attributes, nor files of 2 GiB, and pivot_root(2) refuses the kernel's own rootfs,
//	so file capabilities would be lost and podman, containerd and runc would fail. A bundle therefore puts wyrinit in the
//	place of the image's /init. It joins the parts in which large files came, sets the extended attributes from a list,
//	makes / a real mount, puts the image's own /init back, removes itself and its list, and becomes /init: the same
//	process, arguments and environment.
//
//	A step that fails is said on the console and the boot goes on: an image that does not need that step still works. But
//	a container that is not there to its last byte is not started.
package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		say("runs only as the first process of a booted container")
		os.Exit(1)
	}
	if _, err := os.Lstat(handover.Complete); err != nil {
		refuse("the memory was too little to unpack the whole container (\"Initramfs unpacking failed\" above): it is not started; add memory, use a smaller image, or a kernel that knows initramfs_options=")
	}
	path := run()
	err := unix.Exec(path, os.Args, os.Environ())
	// Nothing is left to fall back to: the kernel panics when process 1 ends, as it would have without wyrinit.
	say("cannot start " + path + ": " + err.Error())
	os.Exit(1)
}

// say prints one line, whatever files are called in it. The kernel opened its console as descriptors 0 to 2; fmt would double
// the size of this program.
func say(s string) {
	os.Stderr.WriteString(printable.Clip("wyrinit: "+s, 1000) + "\n")
}

// refuse ends the boot of a root that is not complete. A kernel that could not unpack all of it only says so in its log and
// goes on; but half a system is worse than none.
func refuse(why string) {
	say(why + "; reboots in a minute")
	time.Sleep(time.Minute)
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	os.Exit(1)
}

// run prepares the root and returns the path of the image's own /init.
func run() string {
	m, err := manifest()
	if err != nil {
		if _, e := os.Lstat(handover.Parts + "1-1"); e == nil {
			refuse("cannot put large files together, so the container is not started: cannot read " + handover.List + ": " + err.Error())
		}
		say("extended attributes and file capabilities are lost: cannot read " + handover.List + ": " + err.Error())
	}
	// Before the attributes: what is written to loses its capabilities.
	for _, j := range m.Joins {
		if err := join(j); err != nil {
			refuse("cannot put " + strconv.Quote(j.Path) + " together, so the container is not started: " + err.Error())
		}
	}
	restore(m.Xattrs, set, say)
	if err := realRoot(); err != nil {
		say("pivot_root will fail, so containers may not start here: " + err.Error())
	}
	if err := os.Rename(handover.OriginalInit, handover.Init); err != nil {
		say("leaves the image's /init where it is: " + err.Error())
		return handover.OriginalInit
	}
	if err := os.RemoveAll(handover.Dir); err != nil {
		say("cannot clean up: " + err.Error())
	}
	if err := setTime("/", m.RootMTime); err != nil {
		say("cannot set the time of /: " + err.Error())
	}
	return handover.Init
}

func manifest() (handover.Manifest, error) {
	b, err := os.ReadFile(handover.List)
	if err != nil {
		return handover.Manifest{}, err
	}
	return handover.Parse(b)
}

// join appends the parts of a large file to its first one. Each makes room for the next.
func join(j handover.Join) error {
	f, err := os.OpenFile(j.Path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	for i := 1; err == nil && size < j.Size; i++ {
		var n int64
		n, err = move(f, j.Parts+strconv.Itoa(i))
		size += n
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil && size != j.Size {
		err = errors.New("its parts have another size than it")
	}
	if err != nil {
		return err
	}
	return setTime(j.Path, j.MTime)
}

// move writes what a file has to the end of another one, and removes it.
func move(to *os.File, part string) (int64, error) {
	from, err := os.Open(part)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(to, from)
	from.Close()
	if err != nil {
		return n, err
	}
	return n, os.Remove(part)
}

// setTime sets when a file was last changed.
func setTime(path string, seconds int64) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: seconds}}, 0)
}

// set sets one attribute.
func set(x handover.Xattr) error { return unix.Lsetxattr(x.Path, x.Name, []byte(x.Value), 0) }

// mostKinds is of how many kinds of lost attributes each is told: a line takes time on a serial console, and an image may carry
// any number.
const mostKinds = 20

// restore sets the attributes. What the file system cannot hold is told by the first file of each kind, and then by number:
// tmpfs has user.* only since Linux 6.6, of links and devices never.
func restore(xattrs []handover.Xattr, set func(handover.Xattr) error, say func(string)) {
	type kind struct{ name, why string }
	var order []kind
	count, others := map[kind]int{}, 0
	for _, x := range xattrs {
		err := set(x)
		if err == nil {
			continue
		}
		k := kind{x.Name, err.Error()}
		switch {
		case count[k] > 0:
			count[k]++
		case len(order) == mostKinds:
			others++
		default:
			count[k] = 1
			order = append(order, k)
			say("loses " + strconv.Quote(k.name) + " of " + strconv.Quote(x.Path) + ": " + k.why)
		}
	}
	for _, k := range order {
		if n := count[k] - 1; n > 0 {
			say("loses " + strconv.Quote(k.name) + " of " + strconv.Itoa(n) + " more files: " + k.why)
		}
	}
	if others > 0 {
		say("loses " + strconv.Itoa(others) + " more attributes, of other kinds")
	}
}

// realRoot makes / a mount that has a parent, which is what pivot_root(2) asks of it: the rootfs is bound onto a directory
// of its own, and that mount is moved over /. Not a byte is copied.
func realRoot() error {
	if err := os.Mkdir(handover.NewRoot, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := unix.Mount("/", handover.NewRoot, "", unix.MS_BIND, ""); err != nil {
		return &fs.PathError{Op: "bind / to", Path: handover.NewRoot, Err: err}
	}
	if err := unix.Chdir(handover.NewRoot); err != nil {
		return &fs.PathError{Op: "chdir", Path: handover.NewRoot, Err: err}
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		unix.Chdir("/")
		unix.Unmount(handover.NewRoot, 0)
		return &fs.PathError{Op: "move to /", Path: handover.NewRoot, Err: err}
	}
	if err := unix.Chroot("."); err != nil {
		return &fs.PathError{Op: "chroot", Path: "/", Err: err}
	}
	return unix.Chdir("/")
}
