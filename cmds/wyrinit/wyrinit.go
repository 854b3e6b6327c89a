// wyrinit prepares a container that Wyrcan has booted, and then starts the container's own /init.
//
// Synopsis:
//
//	/init [ARGUMENT]...    (the kernel starts it; by hand it refuses)
//
// Description:
//
//	An initramfs cannot hold extended attributes or files of 2 GiB, and pivot_root(2) does not work on the kernel's
//	rootfs. So file capabilities would be lost, and podman, containerd and runc would fail. A bundle therefore has
//	wyrinit in the place of the image's /init. It joins the parts of large files, sets the extended attributes from
//	a list, makes / a real mount, leaves the record of this boot in /run/wyrcan/boot.json, moves the image's own
//	/init back, removes itself and its list, and executes /init in the same process, with the same arguments and
//	environment.
//
//	A bundle may have the container's files as one file system image instead. wyrinit then loads the kernel modules
//	that it needs, and makes / of the image and of a tmpfs over it.
//
//	If a step fails, wyrinit says so on the console and the boot goes on, because many images do not need that step.
//	But it does not start a container that is not complete.
package main

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

func main() {
	if os.Getpid() != 1 {
		say("runs only as the first process of a booted container")
		os.Exit(1)
	}
	if _, err := os.Lstat(handover.Complete); err != nil {
		refuse("the memory was too little to unpack the whole container (\"Initramfs unpacking failed\" above): " +
			"it is not started; add memory, use a smaller image, or a kernel that knows initramfs_options=")
	}
	path, args := run(), os.Args
	if path != handover.OriginalInit {
		args = append([]string{path}, args[1:]...) // busybox knows by this which of its programs it is
	}
	err := unix.Exec(path, args, os.Environ())
	// There is no fallback: the kernel panics when process 1 ends, as it would without wyrinit.
	say("cannot start " + path + ": " + err.Error())
	os.Exit(1)
}

// say prints one line to the console, which the kernel has opened as file descriptors 0 to 2. It cleans s, which may
// hold names of files. Package fmt would double the size of this program.
func say(s string) {
	os.Stderr.WriteString(printable.Clip("wyrinit: "+s, 1000) + "\n")
}

// refuse ends the boot of a container that is not complete: half a system is worse than none. The kernel only logs
// that it could not unpack everything, and goes on.
func refuse(why string) {
	say(why + "; reboots in a minute")
	time.Sleep(time.Minute)
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	os.Exit(1)
}

// run prepares the root and returns the path of the image's own /init, or of the init in its place.
func run() string {
	m, err := manifest()
	if err != nil {
		for path, what := range map[string]string{
			handover.Parts + "1-1": "cannot put large files together", handover.Image: "cannot mount the container's files",
		} {
			if _, e := os.Lstat(path); e == nil {
				refuse(what + ", so the container is not started: cannot read " + handover.List + ": " + err.Error())
			}
		}
		say("extended attributes and file capabilities are lost: cannot read " + handover.List + ": " + err.Error())
	}
	// Before the attributes, because a write to a file removes its capabilities.
	for _, j := range m.Joins {
		if err := join(j); err != nil {
			refuse("cannot put " + strconv.Quote(j.Path) + " together, so the container is not started: " + err.Error())
		}
	}
	record, recordErr := readRecord("") // which the root of an image does not have
	set := set
	if m.Image != handover.Nowhere {
		if err := imageRoot(m); err != nil {
			refuse("cannot mount the container's files, so it is not started: " + err.Error())
		}
		set = setAbove
	} else if err := realRoot(); err != nil {
		say("pivot_root will fail, so containers may not start here: " + err.Error())
	}
	restore(m.Xattrs, set, say)
	if err := cmp.Or(recordErr, leaveRecord("", record)); err != nil {
		say("the record of this boot is lost: " + err.Error())
	}
	init := finish(m)
	if err := setTime("/", m.RootMTime); err != nil {
		say("cannot set the time of /: " + err.Error())
	}
	return init
}

// finish makes the root as the image has it, and returns the path of the init.
func finish(m handover.Manifest) string {
	if m.Image != handover.Nowhere {
		if err := makeConsole(""); err != nil {
			say("there is no /dev/console: " + err.Error())
		}
		return cmp.Or(m.Init, handover.Init)
	}
	init, err := restoreInit("", m)
	switch {
	case err != nil && m.Init == "":
		say("cannot move the image's /init back, so it starts from " + handover.OriginalInit + ": " + err.Error())
		return handover.OriginalInit
	case err != nil:
		say("cannot move the image's /init back: " + err.Error())
	}
	if err := os.RemoveAll(handover.Dir); err != nil {
		say("cannot clean up: " + err.Error())
	}
	return init
}

// restoreInit puts the image's own /init back, or removes /init if the image has none, and returns the path of the
// init. root is "", or a directory of a test.
func restoreInit(root string, m handover.Manifest) (string, error) {
	err := os.Rename(root+handover.OriginalInit, root+handover.Init)
	if m.Init == "" {
		return handover.Init, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(root + handover.Init)
	}
	return m.Init, err
}

func manifest() (handover.Manifest, error) {
	b, err := os.ReadFile(handover.List)
	if err != nil {
		return handover.Manifest{}, err
	}
	return handover.Parse(b)
}

// join appends the other parts of a large file to the first part. It removes each part after it, to save memory.
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
		err = errors.New("its parts together do not have its size")
	}
	if err != nil {
		return err
	}
	return setTime(j.Path, j.MTime)
}

// move appends the content of part to the file to, and removes part.
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

// setTime sets the modification time of a file.
func setTime(path string, seconds int64) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: seconds}}, 0)
}

// set sets one extended attribute.
func set(x handover.Xattr) error { return unix.Lsetxattr(x.Path, x.Name, []byte(x.Value), 0) }

// mostKinds is how many kinds of lost attributes are reported one by one. An image may have any number of kinds, and
// each line takes time on a serial console.
const mostKinds = 20

// restore sets the extended attributes. It reports those that the file system does not support: of each kind the first
// file, and the number of further files. tmpfs supports user.* since Linux 6.6, but never on links and devices.
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

// realRoot makes / a mount with a parent mount, which pivot_root(2) needs. It bind-mounts the rootfs on a directory,
// and moves that mount over /. This copies no data.
func realRoot() error {
	if err := os.Mkdir(handover.NewRoot, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := unix.Mount("/", handover.NewRoot, "", unix.MS_BIND, ""); err != nil {
		return &fs.PathError{Op: "bind / to", Path: handover.NewRoot, Err: err}
	}
	err := enter(handover.NewRoot)
	if err != nil {
		unix.Chdir("/")
		unix.Unmount(handover.NewRoot, 0)
	}
	return err
}

// enter moves the mount at a directory over /, and makes it the root of this process.
func enter(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return &fs.PathError{Op: "chdir", Path: dir, Err: err}
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return &fs.PathError{Op: "move to /", Path: dir, Err: err}
	}
	if err := unix.Chroot("."); err != nil {
		return &fs.PathError{Op: "chroot", Path: "/", Err: err}
	}
	return unix.Chdir("/")
}
