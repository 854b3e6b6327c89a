// iso makes a boot medium for EFI machines: an image file for a CD, which can also be written to a USB stick unchanged.
//
// Synopsis:
//
//	iso -boot FILE [-kernel FILE -initrd FILE [-cmdline LINE] | -uki FILE] [-arch ARCH] -o FILE
//	iso -boot SHIM -grub FILE [-mok FILE] -kernel FILE -initrd FILE [-cmdline LINE] -o FILE
//
// Description:
//
//	The medium has a FAT file system with an EFI program at the path where firmware
//	looks for it. That program is systemd-boot, which starts the kernel and the
//	initrd after five seconds and has its editor enabled; or systemd-boot with a
//	unified kernel image, which has a menu entry for each profile of the image; or a
//	program that needs no other files, such as the image alone. iso needs
//	mkfs.vfat, mtools and xorriso. With SOURCE_DATE_EPOCH set, the same input gives
//	the same bytes.
//
//	With -grub the program is shim, which starts GRUB, which does the same as
//	systemd-boot: that boots where Secure Boot is on, too, if all of them and the
//	kernel are signed.
//
//	The FAT image is a file in the ISO's tree, and the boot catalogue refers to
//	that file. Other programs append the FAT image as a partition. From a CD drive
//	such a partition is read only up to 32 MiB, because its size does not fit into
//	the catalogue that xorriso writes.
//
// Options:
//
//	-boot:    the EFI program that the firmware starts
//	-grub:    GRUB, which shim starts
//	-mok:     MokManager, which shim starts if somebody wants to enrol a key
//	-kernel:  the kernel that systemd-boot or GRUB starts
//	-initrd:  its initrd
//	-cmdline: its command line, which can be changed in the menu's editor
//	-uki:     the unified kernel image that systemd-boot starts
//	-arch:    the machine's architecture, as GOARCH names it
//	-o:       the ISO to write
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

type cmd struct {
	boot, kernel, initrd  string
	grub, mok             string
	uki                   string
	cmdline, arch, output string
	time                  time.Time // the time of every file; zero: unchanged
}

func command(args []string) (*cmd, error) {
	c := &cmd{}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&c.boot, "boot", "", "the EFI program `file` that the firmware starts")
	f.StringVar(&c.kernel, "kernel", "", "the kernel `file` that systemd-boot starts")
	f.StringVar(&c.initrd, "initrd", "", "the initrd's `file`")
	f.StringVar(&c.cmdline, "cmdline", "", "the kernel's command `line`")
	f.StringVar(&c.grub, "grub", "", "the `file` of GRUB, which -boot, shim, starts")
	f.StringVar(&c.mok, "mok", "", "the `file` of MokManager, for shim")
	f.StringVar(&c.uki, "uki", "", "the unified kernel image `file` that systemd-boot starts")
	f.StringVar(&c.arch, "arch", runtime.GOARCH, "the machine's `architecture`")
	f.StringVar(&c.output, "o", "", "the ISO `file` to write")
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if c.boot == "" || c.output == "" || (c.kernel == "") != (c.initrd == "") || c.kernel != "" && c.uki != "" ||
		f.NArg() > 0 {
		return nil, errors.New("usage: iso -boot FILE [-kernel FILE -initrd FILE [-cmdline LINE] | -uki FILE] " +
			"[-arch ARCH] -o FILE")
	}
	if c.grub != "" && c.kernel == "" || c.mok != "" && c.grub == "" {
		return nil, errors.New("usage: iso -boot SHIM -grub FILE [-mok FILE] -kernel FILE -initrd FILE " +
			"[-cmdline LINE] -o FILE")
	}
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("SOURCE_DATE_EPOCH=%q is not a number of seconds", s)
		}
		c.time = time.Unix(n, 0)
	}
	return c, nil
}

func (c *cmd) run() error {
	dir, err := os.MkdirTemp("", "iso")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tree := filepath.Join(dir, "tree")
	if err := c.esp(filepath.Join(dir, "esp")); err != nil {
		return err
	}
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	if err := c.disc(tree); err != nil {
		return err
	}
	if err := c.fat(filepath.Join(dir, "esp"), filepath.Join(tree, "efi.img")); err != nil {
		return err
	}
	if err := c.stamp(tree); err != nil {
		return err
	}
	// Firmware finds the image on a CD by the boot catalogue (-e), and on a stick by the partition table (-isohybrid).
	return tool("xorriso", "-as", "mkisofs", "-quiet", "-o", c.output, "-R", "-J", "-joliet-long", "-iso-level", "3",
		"-V", "WYRCAN",
		"-e", "efi.img", "-no-emul-boot", "-part_like_isohybrid", "-isohybrid-gpt-basdat", "-partition_cyl_align",
		"off", tree)
}

// esp writes the files of the EFI system partition below dir.
func (c *cmd) esp(dir string) error {
	if c.grub != "" {
		return c.signedESP(dir)
	}
	// UEFI 2.10, 3.5.1.1: the file that firmware starts from a removable medium.
	name, ok := map[string]string{"amd64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI"}[c.arch]
	if !ok {
		return fmt.Errorf("there is no EFI machine of architecture %q here; it may be amd64 or arm64", c.arch)
	}
	files := map[string]string{filepath.Join("EFI", "BOOT", name): c.boot}
	texts := make(map[string]string)
	if c.kernel != "" || c.uki != "" {
		texts["loader/loader.conf"] = "timeout 5\neditor yes\n"
	}
	if c.uki != "" { // a Type #2 entry of UAPI.1
		files["EFI/Linux/wyrcan.efi"] = c.uki
	}
	if c.kernel != "" {
		files["kernel"], files["initrd"] = c.kernel, c.initrd
		texts["loader/entries/wyrcan.conf"] = "title Wyrcan ~ The Container Bootloader\n" +
			"linux /kernel\ninitrd /initrd\noptions " + c.cmdline + "\n"
	}
	for name, text := range texts {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for to, from := range files {
		to = filepath.Join(dir, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, b, 0o644); err != nil {
			return err
		}
	}
	return c.stamp(dir)
}

// fat makes a FAT file system with the files below dir, just large enough for them.
func (c *cmd) fat(dir, image string) error {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		size += info.Size()
		return err
	})
	if err != nil {
		return err
	}
	// The tables of the file system take less than two per cent.
	size = (size/50*51 + 2<<20) &^ (1<<20 - 1)
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	if err := tool("mkfs.vfat", "--invariant", "-n", "WYRCAN", image); err != nil {
		return err
	}
	top, err := filepath.Glob(filepath.Join(dir, "*")) // sorted, so the directory's order is always the same
	if err != nil {
		return err
	}
	return tool("mcopy", append([]string{"-s", "-m", "-i", image}, append(top, "::")...)...)
}

// stamp sets the time of dir and of every file below it to c.time, if that is set.
func (c *cmd) stamp(dir string) error {
	if c.time.IsZero() {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, c.time, c.time)
	})
}

// tool runs a program. Its output is part of the error if it fails.
func tool(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	// FAT stores local time. mtools asks questions if there is a terminal.
	cmd.Env = append(os.Environ(), "TZ=UTC", "MTOOLS_SKIP_CHECK=1", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func main() {
	log.SetFlags(0)
	c, err := command(os.Args)
	if err == nil {
		err = c.run()
	}
	if err != nil {
		log.Fatalf("iso: %v", err)
	}
}
