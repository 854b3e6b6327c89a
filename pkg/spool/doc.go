// Package spool keeps the contents of files in memory until it is known which of them a tree has.
//
// It keeps each content as the record that an initramfs will have of the file if nothing changes (see package newc),
// so that package initrd need not make the record again, nor compress it. A spool is a file without a name. It begins
// with room for the head of an archive. Then come records as they are, as long as memory lasts. Later records are in
// zstd frames, each of which is an archive of its own, or as they are in a file elsewhere. The package knows nothing
// of layers and trees.
package spool
