package bundle

import (
	"errors"
	"fmt"
	"io/fs"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// missing returns the error for a path at which the image has nothing that is usable, and what to do about it.
func missing(tree *rootfs.Tree, path, advice string, err error) error {
	node, lerr := tree.Lstat(path)
	switch gone := errors.Is(err, fs.ErrNotExist); {
	case gone && lerr == nil && node.Symlink():
		return fmt.Errorf(notBootable+"%s is a link to %s, which is not in it; %s",
			path, node.Target, advice)
	case gone:
		return fmt.Errorf(notBootable+"%s is not in it; %s", path, advice)
	}
	var where *fs.PathError
	if errors.As(err, &where) {
		err = where.Err // the message names the path already
	}
	return fmt.Errorf(notBootable+"%s leads nowhere (%w); %s", path, err, advice)
}
