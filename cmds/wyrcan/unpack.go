package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// unpack is "wyrcan unpack".
func (c *cmd) unpack(ctx context.Context, args []string) error {
	f := c.flags("unpack", "[OPTION...] IMAGE DIR|FILE.squashfs",
		`Unpack IMAGE into the new or empty directory DIR: the tree of files that its
layers describe, with owners, modes, times, links, devices and extended
attributes. Nothing outside DIR is written, and after a failure DIR is as it was.
Until DIR is complete, only you can write to it.

A name that ends in .squashfs is a file: an image of that tree, to be mounted.
Making it needs no root, and the same layers make the same file.

What a file system cannot hold is left out, and named with the number of files:
extended attributes, owners, times, special files. With -strict that is a failure.
`)
	machine := here
	f.registry()
	f.trust()
	f.Var(&machine, "arch", "unpack the image for this `ARCHITECTURE`, with a variant perhaps: arm/v7")
	mine := f.Bool("no-owner", os.Geteuid() != 0,
		"all files are yours: without owners, devices and security attributes, which need root "+
			"(default for everyone but root)")
	f.Lookup("no-owner").DefValue = "false" // the help is the same for everyone
	strict := f.Bool("strict", false, "fail where the file system cannot hold all that a file has")
	var s squash
	s.flags(f)
	rest, err := f.parse(args, 2, false)
	if err != nil {
		return err
	}
	if isSquashFS(rest[1]) {
		s.strict = *strict
		return c.squash(ctx, &s, rest[0], rest[1], machine)
	}
	if !*mine && os.Geteuid() != 0 {
		return usage("unpack: owners need root: use -no-owner")
	}
	dir := filepath.Clean(rest[1])
	place, err := newPlace(dir, *mine)
	if err != nil {
		return err
	}
	defer place.clear()
	_, tree, err := c.tree(ctx, rest[0], machine, place.disk())
	if err != nil {
		return err
	}
	defer tree.Close()
	m := c.meter("writing "+dir, tree.Stat().Bytes)
	defer m.end()
	u := &unpacker{mine: *mine, strict: *strict, meter: m, root: place.dir}
	if place.disk() == nil {
		u.grow = c.budget().Enough
	}
	if err := u.unpack(ctx, tree); err != nil {
		return fmt.Errorf("cannot unpack %s: %w", rest[0], err)
	}
	if err := place.keep(); err != nil {
		return err
	}
	m.end()
	for _, o := range u.without.list {
		fmt.Fprintf(c.stderr, "wyrcan: left out, as %s: %s: %s\n", o.why, o.what, o.names())
	}
	u.lost.print(c.stderr)
	return nil
}

// summary lists the first of many things.
func summary(names []string) string {
	if n := len(names); n > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), n-5)
	}
	return strings.Join(names, ", ")
}
