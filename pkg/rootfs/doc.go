// Package rootfs turns the layers of a container image into the one tree of files that they describe, by the OCI image
// specification's layer.md (https://github.com/opencontainers/image-spec/blob/main/layer.md): what a kernel would show
// had the layers been unpacked in order onto an empty directory.
//
// It works in two passes. Read takes all layers in parallel, indexes each while it arrives and spools contents in
// memory that has no name on any disk; then it merges the indexes. Walk reads contents in the order in which they
// were stored. It writes nothing to a file system, knows no registries, and leaves to its callers what a given kind
// of archive cannot hold.
package rootfs
