// Package erofs writes EROFS images without compression, as fs/erofs/erofs_fs.h of Linux describes them: a file system
// that is read only, and whose files can be used where they lie. Mounted from memory with -o dax, no page of a file is
// ever copied into the page cache. It is made for container images:
//
//   - A Packer gives package rootfs a Layer to keep each layer's contents in: each in pages of its own, as it will be
//     in the image, except the smallest. Contents that are equal are there once, and long rows of zeros take no memory.
//   - Image makes the file system of the finished tree. The largest layer's file becomes the image. Contents of other
//     layers move into the gaps where upper layers have replaced something, and so do those at its end; the rest stays
//     where it is. Inodes and directories come behind.
//
// The same layers make the same bytes.
//
// Contents of at most 2 KiB are beside their inodes: each saves at least half a page. dax is not for these. Linux
// cannot use a larger file in place either if its end is there, so that has all of its bytes in pages.
//
// What the format has no place for are values of attributes of 64 KiB, the 256th attribute of a file, and attributes in
// namespaces other than user, trusted, security and those of access control lists.
package erofs
