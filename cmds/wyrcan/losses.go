package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// lossy reports whether an error means that the file system, or this user, cannot store the metadata of a file. The
// error numbers are those of setxattr(2), chown(2), chmod(2), utimensat(2), mknod(2) and symlink(2): a name or a value
// is too large, the file system does not support the namespace, an ACL is of another kind.
func lossy(err error) bool {
	for _, e := range []error{
		unix.EOPNOTSUPP, unix.EPERM, unix.EACCES, unix.EINVAL, unix.ENOSYS, unix.ERANGE, unix.E2BIG, unix.ENOSPC,
		unix.EOVERFLOW,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// losses are the metadata that files have in an image but lost when they were unpacked, counted by kind and reason.
type losses struct {
	list []*loss
	more int // losses whose kind is not in the list: an image may have any number of kinds
}

type loss struct {
	what, why string
	count     int
	paths     []string // the first paths, quoted
}

const mostLosses, mostPaths = 20, 5

// add records that the file at path loses what.
func (l *losses) add(what, path string, err error) {
	why := err.Error()
	var number unix.Errno
	if errors.As(err, &number) {
		why = number.Error()
	}
	for _, o := range l.list {
		if o.what == what && o.why == why {
			o.add(path)
			return
		}
	}
	if len(l.list) == mostLosses {
		l.more++
		return
	}
	o := &loss{what: what, why: why}
	o.add(path)
	l.list = append(l.list, o)
}

func (o *loss) add(path string) {
	if o.count++; o.count <= mostPaths {
		o.paths = append(o.paths, rootfs.Quote(path))
	}
}

// names returns the names of the first files, and the number of the others.
func (o *loss) names() string {
	names := strings.Join(o.paths, ", ")
	if n := o.count - len(o.paths); n > 0 {
		names += fmt.Sprintf(" and %d more", n)
	}
	return names
}

// print writes a line for each kind.
func (l *losses) print(w io.Writer) {
	for _, o := range l.list {
		fmt.Fprintf(w, "wyrcan: the file system does not keep %s of %s (%s): %s\n", o.what, plural(o.count, "file"),
			o.why, o.names())
	}
	if l.more > 0 {
		fmt.Fprintf(w, "wyrcan: the file system does not keep %s of other kinds\n", plural(l.more, "thing"))
	}
}
