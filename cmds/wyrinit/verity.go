package main

import (
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/handover"
)

// checked makes a device of the image in another device, and returns its name: dm-0. Each time that the kernel reads a
// block from there, it checks it by the hash tree that follows the image. What is not as it was is an I/O error, and a
// line in the kernel's log.
func checked(name string, v handover.Verity) (string, error) {
	hash, err := readRootHash()
	if err != nil {
		return "", err
	}
	var disk unix.Stat_t
	if err := unix.Stat(devDir+"/"+name, &disk); err != nil {
		return "", errors.New("cannot find the device " + name + ": " + err.Error())
	}
	control, err := os.OpenFile(devDir+"/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	// The name of this target, and what veritysetup(8) looks for before it tells of a device.
	var r request
	r.Uuid = uuid(v.Salt)
	if err := r.send(control, unix.DM_DEV_CREATE, 0); err != nil {
		return "", err
	}
	made := r.Dev
	r = request{}
	r.target(v, disk.Rdev, hash)
	if err := r.send(control, unix.DM_TABLE_LOAD, unix.DM_READONLY_FLAG); err != nil {
		return "", err
	}
	r = request{}
	if err := r.send(control, unix.DM_DEV_SUSPEND, 0); err != nil { // without DM_SUSPEND_FLAG it starts the device
		return "", err
	}
	return "dm-" + strconv.FormatUint(uint64(unix.Minor(made)), 10), nil
}

// readRootHash reads the hash of the image's tree from the kernel's command line.
func readRootHash() (string, error) {
	if err := mount("proc", procDir, "proc", 0, ""); err != nil {
		return "", err
	}
	defer unix.Unmount(procDir, unix.MNT_DETACH)
	line, err := os.ReadFile(procDir + "/cmdline")
	if err != nil {
		return "", err
	}
	return rootHash(string(line))
}

// rootHash returns the hash that a command line has. The bundle has put it in front, so the first one counts.
func rootHash(line string) (string, error) {
	for _, a := range cmdline.Parse(line) {
		if a.Key != handover.RootHash {
			continue
		}
		if len(a.Value) != 64 || strings.Trim(a.Value, "0123456789abcdef") != "" {
			return "", errors.New(strconv.Quote(a.String()) + " on the kernel's command line is no hash of 64 digits")
		}
		return a.Value, nil
	}
	return "", errors.New("the kernel's command line has no " + handover.RootHash + "=, by which it checks them; " +
		"start this kernel with the command line that Wyrcan has made for it")
}

// request is what the device mapper is asked: Documentation/admin-guide/device-mapper, include/uapi/linux/dm-ioctl.h.
type request struct {
	unix.DmIoctl
	unix.DmTargetSpec
	params [1024]byte // a C string
}

// deviceName is the name of the device for dmsetup(8) and veritysetup(8).
const deviceName = "wyrcan"

// uuid returns the name by which cryptsetup's programs know a device of theirs: dm_prepare_uuid in its
// lib/libdevmapper.c. The UUID in it is that of the hash tree, the beginning of the salt.
func uuid(salt string) (b [129]byte) {
	copy(b[:len(b)-1], "CRYPT-VERITY-"+hex.EncodeToString([]byte(salt[:min(16, len(salt))]))+"-"+deviceName)
	return b
}

// target makes the request one for a table of this image in a disk: verity_ctr in drivers/md/dm-verity-target.c. The
// tree is behind its superblock.
func (r *request) target(v handover.Verity, disk uint64, hash string) {
	number := strconv.FormatInt
	at := strconv.Itoa(int(unix.Major(disk))) + ":" + strconv.Itoa(int(unix.Minor(disk)))
	size, salt := strconv.Itoa(handover.BlockSize), "-"
	if v.Salt != "" {
		salt = hex.EncodeToString([]byte(v.Salt))
	}
	copy(r.params[:len(r.params)-1], strings.Join([]string{"1", at, at, size, size, number(v.Blocks, 10),
		number(v.Blocks+1, 10), "sha256", hash, salt}, " "))
	r.Target_count = 1
	r.Length = uint64(v.Blocks) * handover.BlockSize / 512
	copy(r.Target_type[:], "verity")
}

// send sends the request, and has the answer afterwards.
func (r *request) send(control *os.File, what uint, flags uint32) error {
	r.Version = [3]uint32{unix.DM_VERSION_MAJOR}
	r.Data_size, r.Data_start = uint32(unsafe.Sizeof(*r)), unix.SizeofDmIoctl
	r.Flags = flags
	copy(r.Name[:], deviceName)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), uintptr(what), uintptr(unsafe.Pointer(r)))
	if errno != 0 {
		return errors.New("the kernel cannot check the image with dm-verity: " + errno.Error())
	}
	return nil
}
