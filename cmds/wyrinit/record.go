package main

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
)

// readRecord returns the record, nil if the initrd has none. root is "", or a directory of a test.
func readRecord(root string) ([]byte, error) {
	content, err := os.ReadFile(root + handover.Record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// leaveRecord puts the record, if there is one, where the booted system finds it.
//
// systemd mounts a tmpfs on /run, which would hide the record, unless something is mounted there already (mount_one in
// src/shared/mount-setup.c). Initrds of distributions rely on that too: they hand their /run over. So wyrinit mounts
// the tmpfs first. Other inits behave alike, such as OpenRC.
func leaveRecord(root string, content []byte) error {
	if content == nil {
		return nil
	}
	if err := os.Mkdir(root+runDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if mayHide(root) {
		// Without the mount the record is still there for an init that mounts nothing.
		if err := unix.Mount("tmpfs", root+runDir, "tmpfs", runFlags, runOptions); err != nil {
			say("cannot mount a tmpfs on /run, so the record of this boot may be hidden: " + err.Error())
		}
	}
	return write(root+runDir+"/wyrcan", root+handover.BootRecord, content)
}

// runDir is the directory that begins handover.BootRecord.
const runDir = "/run"

// How systemd mounts /run: mount_table in src/shared/mount-setup.c, and TMPFS_LIMITS_RUN.
const (
	runFlags   = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_STRICTATIME
	runOptions = "mode=0755,size=20%,nr_inodes=800k"
)

// mayHide reports whether a mount on /run hides nothing that this container would see otherwise: its systemd would
// mount there in any case, or the image has nothing there.
func mayHide(root string) bool {
	for _, systemd := range []string{"/usr/lib/systemd/systemd", "/lib/systemd/systemd"} {
		if _, err := os.Stat(root + systemd); err == nil {
			return true
		}
	}
	d, err := os.Open(root + runDir)
	if err != nil {
		return false
	}
	defer d.Close()
	_, err = d.Readdirnames(1)
	return err == io.EOF
}

// write makes a file that every user may read. What the image has at that path is from another boot.
func write(dir, path string, content []byte) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}
