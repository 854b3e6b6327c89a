// Package rootfs turns the layers of a container image into the one tree of files that they describe, by the OCI image
// specification's layer.md (https://github.com/opencontainers/image-spec/blob/main/layer.md): what a kernel would show
// had the layers been unpacked in order onto an empty directory.
//
// It works in two passes. Read takes all layers in parallel, indexes each while it arrives, and keeps the contents of
// files in package spool; then it merges the indexes. Walk reads the contents in the order in which they were stored.
// It writes nothing to a file system and knows no registries.
//
// A spool keeps contents as records of an initramfs. This package makes no archive and does not know what one can
// hold. It only tells where each content is, and whether the spool's record is still true of the file (Place).
package rootfs
