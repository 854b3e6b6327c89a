package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// fetch downloads the image and returns its tree. It repeats an attempt that failed for a reason that may pass (a
// registry that is down, a broken line), for as long as that takes. It returns any other error at once.
func (c *cmd) fetch(ctx context.Context) (*rootfs.Tree, error) {
	source, err := c.source()
	if err != nil {
		return nil, err
	}
	source.Report = c.report
	failed := func(err error, wait time.Duration) { c.report(image.Attempt{Err: err, Wait: wait}) }
	var tree *rootfs.Tree
	err = insist(ctx, image.Heals, failed, func() error {
		return c.stage("pull", func() (err error) { tree, err = c.pull(ctx, source); return err })
	})
	if err != nil {
		return nil, fmt.Errorf("cannot get %s: %w", c.config.Image, c.advise(err))
	}
	return tree, nil
}

// insist makes attempts until one succeeds, fails for a reason that does not pass, or ctx ends. It tells of each other
// failure, and of the wait after it.
func insist(
	ctx context.Context, heals func(error) bool, failed func(error, time.Duration), attempt func() error,
) error {
	for try := 1; ; try++ {
		err := attempt()
		if err == nil || !heals(err) || ctx.Err() != nil {
			return err
		}
		wait := max(backoff(try), image.RetryAfter(err))
		failed(err, wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// report tells how an attempt to get a part of the image has ended.
func (c *cmd) report(a image.Attempt) {
	switch {
	case a.Err == nil:
		c.trouble.Works(a.Who)
	case a.Next != "":
		c.trouble.Moved(image.Gist(a.Err), c.adviseAbout(mirrors, a.Err).Error(), a.Next)
	default:
		c.trouble.Failed(image.Gist(a.Err), fmt.Sprintf("cannot get %s: %v", c.config.Image, c.advise(a.Err)), a.Wait)
	}
}

// backoff returns the wait after so many failures: 1 s, doubled with each failure up to half a minute, give or take a
// quarter, so that the machines of a rack that lost its registry do not all come back at the same moment.
func backoff(failures int) time.Duration {
	d := min(time.Second<<min(failures-1, 10), 30*time.Second)
	return d*3/4 + rand.N(d/2)
}

// pull makes one attempt to read the image, with those under and on it, and shows how far it is.
func (c *cmd) pull(ctx context.Context, source *image.Source) (*rootfs.Tree, error) {
	var done atomic.Int64
	source.Progress = func(_ *image.Layer, n int) { done.Add(int64(n)) }
	stack, err := c.resolve(ctx, source)
	if err != nil {
		return nil, err
	}
	c.stack = stack
	var total atomic.Int64
	total.Store(stack.Size())
	c.boot.Again = func(n int64) { total.Add(n) }
	progress, stop := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		read := func() (int64, int64) { return done.Load(), total.Load() }
		hold := func() bool { return c.trouble.Last() != "" }
		console.Progress{Out: c.console, Label: "wyrboot: pull", Read: read, Hold: hold}.Run(progress)
	}()
	defer func() { stop(); <-shown }()
	var own []rootfs.Layer
	if c.config.NetKeep {
		kept, err := keptNetwork(c.net.Files, c.net.State())
		if err != nil {
			return nil, err
		}
		own = append(own, kept)
	}
	tree, err := c.boot.ReadStack(ctx, stack, own...)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%s of %s have arrived", units.Bytes(done.Load()), units.Bytes(total.Load()))
	}
	return tree, err
}

// convert turns the tree into what kexec needs.
func (c *cmd) convert(ctx context.Context, tree *rootfs.Tree) (*bundle.Bundle, error) {
	opt := bundle.Options{
		Args: c.config.Args, Kernel: c.config.KernelPath(), Init: c.config.Init,
		KeepKernel: c.config.KeepsKernel(), Microcode: c.microcode(),
	}
	if c.config.NetKeep {
		opt.Args = append(slices.Clone(opt.Args), c.keptArgument(tree))
	}
	var err error
	switch opt.Wyrinit, err = os.ReadFile(wyrinit); {
	case c.config.Root == "initramfs": // nobody then leaves the record either
		opt.Wyrinit = nil
	case errors.Is(err, os.ErrNotExist):
		c.sayf("this initrd was built without %s: in the container extended attributes are lost, pivot_root fails, and "+
			"there is no record of the boot; u-root adds the program with -files PROGRAM:%s", wyrinit, wyrinit[1:])
	case err != nil:
		return nil, err
	}
	return c.boot.Convert(ctx, tree, opt)
}
