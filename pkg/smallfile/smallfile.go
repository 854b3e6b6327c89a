// Package smallfile reads files that have to be small, such as keys, logins and settings, where strangers may have put
// them. It is a leaf package.
package smallfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// Read reads the file name below root, of at most limit bytes. Anything but a regular file is refused: a pipe would
// keep the machine waiting. A link to /dev/null is an empty file: people mask files of a distribution so. The error
// does not have the file's name, which the caller's message has.
func Read(root fs.FS, name string, limit int64) ([]byte, error) {
	info, err := fs.Stat(root, name)
	if err != nil {
		return nil, Cause(err)
	}
	if isNull(info) {
		return nil, nil
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, Cause(err)
	}
	defer f.Close()
	return All(f, limit)
}

// isNull reports whether a file is /dev/null: character device 1:3, Documentation/admin-guide/devices.txt.
func isNull(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && stat.Rdev == unix.Mkdev(1, 3)
}

// All reads the whole of r, of at most limit bytes: of a file that a person has named, which may be a pipe. If there
// are more bytes, it returns the first ones with the error, which does not have the name of a file.
func All(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, Cause(err)
	}
	if int64(len(b)) > limit {
		return b[:limit], fmt.Errorf("it has more than %d KiB", limit>>10)
	}
	return b, nil
}

// Cause returns the error of a file or a directory without its name.
func Cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
