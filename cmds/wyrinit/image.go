package main

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/pram"
)

// Where the root is put together, in handover.Dir. The mount options of the root say the last three for as long as the
// system runs.
const (
	devDir   = "dev"
	sysDir   = "sys"
	procDir  = "proc"
	lowerDir = "image"
	tmpDir   = "tmpfs"
	upperDir = tmpDir + "/upper"
	workDir  = tmpDir + "/work"
)

// imageRoot makes a file system image the root, with a tmpfs over it for what is written. It removes what it has used
// from the initramfs, to free the memory. handover.Image stays there without a name: the loop device has it open.
func imageRoot(m handover.Manifest) error {
	for i := int64(1); i <= m.Modules; i++ {
		if err := loadModule(handover.Modules + strconv.FormatInt(i, 10)); err != nil {
			return err
		}
	}
	if err := os.Chdir(handover.Dir); err != nil {
		return err
	}
	for _, dir := range []string{devDir, sysDir, procDir, lowerDir, tmpDir, handover.NewRoot} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := mount("devtmpfs", devDir, "devtmpfs", 0, ""); err != nil {
		return err
	}
	device := attach
	if m.Image == handover.InMemory {
		device = inMemory
	}
	name, err := device()
	if err == nil && m.Verity.Blocks > 0 {
		name, err = checked(name, m.Verity)
	}
	if err != nil {
		return err
	}
	if err := overlay(devDir+"/"+name, m.Kind); err != nil {
		return err
	}
	if err := os.Remove(handover.Init); err != nil {
		return err
	}
	return enter(handover.NewRoot)
}

// mount mounts a file system.
func mount(source, target, kind string, flags uintptr, options string) error {
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		return errors.New("cannot mount a file system of the kind " + kind + ": " + err.Error())
	}
	return nil
}

// loadModule loads a kernel module, and removes its file. A driver for instructions that the processor does not have
// says that there is no such device.
func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST && err != unix.ENODEV {
		return errors.New("cannot load the kernel module " + path + ": " + err.Error())
	}
	return os.Remove(path)
}

// attach makes a loop device of handover.Image, whose name is not needed any more then, and returns the device's name.
func attach() (string, error) {
	file, err := os.Open(handover.Image)
	if err != nil {
		return "", err
	}
	defer file.Close()
	control, err := os.OpenFile(devDir+"/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", errors.New("there is no loop device: " + err.Error())
	}
	name := "loop" + strconv.Itoa(number)
	loop, err := os.Open(devDir + "/" + name)
	if err != nil {
		return "", err
	}
	defer loop.Close()
	// Neither is open for writing, so the device is read-only: loop_configure in drivers/block/loop.c.
	if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_FD, int(file.Fd())); err != nil {
		return "", errors.New("cannot make a loop device of the image: " + err.Error())
	}
	return name, os.Remove(handover.Image)
}

// inMemory returns the name of the device that is the image beside the archive. The kernel needs a moment to make it.
func inMemory() (string, error) {
	if err := mount("sysfs", sysDir, "sysfs", 0, ""); err != nil {
		return "", err
	}
	defer unix.Unmount(sysDir, unix.MNT_DETACH)
	images, err := pram.Read(os.DirFS("."))
	if err == nil && len(images) == 0 {
		err = errors.New("no boot loader has left one in memory")
	}
	if err != nil {
		return "", err
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		name, err := images[0].Device(os.DirFS("."))
		if err == nil {
			err = opens(devDir + "/" + name)
		}
		if err == nil || time.Now().After(end) {
			return name, err
		}
	}
}

// opens returns nil if a device can be opened. /sys has a device a moment before it can: block/genhd.c,
// device_add_disk, where the call of bdev_add comes late.
func opens(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	return f.Close()
}

// patience is how long the kernel may need to make a device. It was seen to need a tenth of a second.
const patience = 30 * time.Second

// overlay mounts the image in a device, and a tmpfs over it, at handover.NewRoot. An overlay has mounts of its own of
// both, so those that were made for it can go.
func overlay(device, kind string) error {
	if err := mountImage(device, kind); err != nil {
		return err
	}
	if err := mount("tmpfs", tmpDir, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	if err := makeUpper(); err != nil {
		return err
	}
	// redirect_dir: directories of the image can be renamed. xino: all files are on one device, as programs expect that
	// stay on one. Documentation/filesystems/overlayfs.rst.
	if err := mount("overlay", handover.NewRoot, "overlay", 0, "lowerdir="+lowerDir+",upperdir="+upperDir+",workdir="+
		workDir+",redirect_dir=on,xino=on"); err != nil {
		return err
	}
	for _, dir := range []string{tmpDir, lowerDir, devDir} {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return &fs.PathError{Op: "unmount", Path: dir, Err: err}
		}
	}
	return nil
}

// mountImage mounts an image. What EROFS has in memory is used there if the kernel can (CONFIG_FS_DAX): otherwise each
// page of a file is copied when it is used.
func mountImage(device, kind string) error {
	if kind == "erofs" && unix.Mount(device, lowerDir, kind, unix.MS_RDONLY, "dax") == nil {
		return nil
	}
	return mount(device, lowerDir, kind, unix.MS_RDONLY, "")
}

// makeUpper makes the directories of the overlay. The root has the owner and the mode of the upper one.
func makeUpper() error {
	var root unix.Stat_t
	if err := unix.Stat(lowerDir, &root); err != nil {
		return &fs.PathError{Op: "stat", Path: lowerDir, Err: err}
	}
	for _, dir := range []string{upperDir, workDir} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.Chown(upperDir, int(root.Uid), int(root.Gid)); err != nil {
		return err
	}
	return unix.Chmod(upperDir, root.Mode&0o7777)
}

// makeConsole makes /dev/console as it is in an initramfs, where the kernel makes it, for an init that opens it before
// it has mounted /dev. root is "", or a directory of a test.
func makeConsole(root string) error {
	dir, console := root+"/dev", root+"/dev/console"
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	var before unix.Stat_t
	if err := unix.Stat(dir, &before); err != nil {
		return err
	}
	err := unix.Mknod(console, unix.S_IFCHR|0o600, int(unix.Mkdev(5, 1)))
	if err == unix.EEXIST {
		return nil
	}
	if err != nil {
		return err
	}
	return setTime(dir, before.Mtim.Sec)
}

// setAbove sets an extended attribute of a file that may be in the image alone. Of such a file an overlay sets no
// access control list (ovl_set_acl in fs/overlayfs/inode.c), so a chmod that changes nothing copies it first.
func setAbove(x handover.Xattr) error {
	var file unix.Stat_t
	if err := unix.Lstat(x.Path, &file); err == nil && file.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(x.Path, file.Mode&0o7777); err != nil {
			return err
		}
	}
	return set(x)
}
