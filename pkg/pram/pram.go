// Package pram finds the file system image that a boot loader left in memory for this system. The kernel of this system
// was told that the image's memory is of e820 type 12, legacy persistent memory (PRAM). So to the kernel it is no RAM,
// and the kernel's drivers nd_e820 and nd_pmem make a block device of it: nothing is unpacked or copied.
//
// Package kexec leaves such images, on amd64. With them it leaves a piece of setup data that says where the image is.
// A machine can have other persistent memory, and the file system has an end where the memory has none.
package pram

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Unit is what the address and the size of an image's memory are multiples of: the kernel describes memory that is no
// RAM in such units (include/linux/mmzone.h, SUBSECTION_SIZE; mm/sparse-vmemmap.c and mm/memremap.c since Linux 5.3).
const Unit = 2 << 20

// Image is a file system image in memory.
type Image struct {
	From uint64 // the address of the first byte
	Room uint64 // how many bytes of memory are the image's: the size of the block device
	Size uint64 // how many of these are the image
}

// magic begins the piece of setup data. Its type is 0: the kernel does nothing with it but to show it in /sys.
const (
	magic      = "wyrcan's image 1"
	markerSize = len(magic) + 3*8
)

// Marshal returns the piece of setup data that says where the image is.
func (i Image) Marshal() []byte {
	b := []byte(magic)
	for _, n := range []uint64{i.From, i.Room, i.Size} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

// Unmarshal reads what Marshal wrote. It reports whether b is that.
func Unmarshal(b []byte) (i Image, ok bool) {
	if len(b) != markerSize || string(b[:len(magic)]) != magic {
		return Image{}, false
	}
	b = b[len(magic):]
	for n, to := range []*uint64{&i.From, &i.Room, &i.Size} {
		*to = binary.LittleEndian.Uint64(b[8*n:])
	}
	valid := i.From%Unit == 0 && i.Room%Unit == 0 && i.From < 1<<62 && i.Room < 1<<62 && i.Size > 0 && i.Size <= i.Room
	if !valid {
		return Image{}, false
	}
	return i, true
}

// Read returns the images that were left for the running system, whose root directory is given. There are none where no
// kernel shows its setup data: that is what amd64 has, and only if there is any.
func Read(root fs.FS) ([]Image, error) {
	const dir = "sys/kernel/boot_params/setup_data" // Documentation/ABI/testing/sysfs-kernel-boot_params
	entries, err := fs.ReadDir(root, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Image
	for _, e := range entries {
		b, err := begin(root, path.Join(dir, e.Name(), "data"))
		if err != nil {
			return nil, err
		}
		if image, ok := Unmarshal(b); ok {
			all = append(all, image)
		}
	}
	return all, nil
}

// begin reads as much of a file as shows whether it is a piece of setup data of ours.
func begin(root fs.FS, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(markerSize)+1))
}

// Device returns the name of the block device that is the image's memory, such as pmem0: it is there once the kernel
// has loaded nd_pmem and nd_e820.
func (i Image) Device(root fs.FS) (string, error) {
	disks, err := fs.ReadDir(root, "sys/block")
	if err != nil {
		return "", err
	}
	for _, d := range disks {
		if !strings.HasPrefix(d.Name(), "pmem") {
			continue
		}
		// Documentation/ABI/testing/sysfs-bus-nvdimm
		b, err := begin(root, path.Join("sys/block", d.Name(), "device/resource"))
		if err != nil {
			continue // another kind of persistent memory
		}
		if at, err := strconv.ParseUint(strings.TrimSpace(string(b)), 0, 64); err == nil && at == i.From {
			return d.Name(), nil
		}
	}
	// Without package fmt, which would double the size of wyrinit.
	return "", errors.New("no block device is the memory at 0x" + strconv.FormatUint(i.From, 16) +
		", where the boot loader left a file system image; the kernel needs its modules nd_pmem and nd_e820 for that")
}
