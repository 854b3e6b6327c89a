// Package squashfs writes SquashFS 4.0 images, as fs/squashfs/squashfs_fs.h of Linux describes them: a file system that
// is read only, compressed in blocks, and mounted without being unpacked. It is made for container images:
//
//   - A Packer gives package rootfs a Layer to keep each layer's contents in. They are compressed while they arrive, on
//     all processors, so that nothing is in memory uncompressed but a few blocks.
//   - Image makes the file system of the finished tree. The largest layer's file becomes the image: its blocks move
//     together where upper layers have replaced some, and those of other layers come behind.
//
// The same layers and options make the same bytes, however many processors there are.
//
// What the format has no place for is lost: fractions of a second, times before 1970 and after 2106, and attributes in
// namespaces other than user, trusted and security. There is no export table, so that NFS cannot export such a root.
package squashfs
