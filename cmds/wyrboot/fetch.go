package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// fetch downloads the image and returns its tree. What time may heal (a registry that is down, a line that breaks) is
// tried again for as long as it takes; what it cannot heal is returned at once.
func (c *cmd) fetch(ctx context.Context) (*rootfs.Tree, error) {
	logins, err := credentials.Read(credentials.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.sayf("registries are asked without credentials: %v", err)
	}
	source := &image.Source{Logf: c.sayf, Roots: image.BootRoots(), Auth: logins.For, Insecure: image.Hosts(c.config.Insecure)}
	for try := 1; ; try++ {
		var tree *rootfs.Tree
		err := c.stage("pull", func() (err error) { tree, err = c.pull(ctx, source); return err })
		if err == nil {
			return tree, nil
		}
		if host := image.InsecureHost(err); host != "" {
			err = fmt.Errorf("%w; wyr.insecure=%s allows it", err, host)
		}
		if !image.Heals(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("cannot get %s: %w", c.config.Image, err)
		}
		wait := max(backoff(try), image.RetryAfter(err))
		c.sayf("cannot get %s: %v; tries again in %v (try %d)", c.config.Image, err, wait.Round(time.Second), try+1)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// backoff is the wait after the given number of failures: 1 s doubled up to half a minute, give or take a quarter, so
// that a rack of machines that lost its registry at one moment does not come back in one moment.
func backoff(failures int) time.Duration {
	d := min(time.Second<<min(failures-1, 10), 30*time.Second)
	return d*3/4 + rand.N(d/2)
}

// pull makes one attempt at the image, showing how far it is.
func (c *cmd) pull(ctx context.Context, source *image.Source) (*rootfs.Tree, error) {
	var done atomic.Int64
	source.Progress = func(_ *image.Layer, n int) { done.Add(int64(n)) }
	img, err := source.Resolve(ctx, c.config.Image)
	if err != nil {
		return nil, err
	}
	total := img.Size()
	layers := "1 layer"
	if n := len(img.Layers); n != 1 {
		layers = fmt.Sprintf("%d layers", n)
	}
	c.sayf("image %s, %s, %s in %s", img.Name, img.Digest, units.Bytes(total), layers)
	mem, err := c.room(total)
	if err != nil {
		return nil, err
	}
	if err := bundle.CanDownload(mem, total); err != nil {
		return nil, err
	}
	progress, stop := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		console.Progress{Out: c.console, Label: "wyrboot: pull", Read: func() (int64, int64) { return done.Load(), total }}.Run(progress)
	}()
	defer func() { stop(); <-shown }()
	stack := make([]rootfs.Layer, len(img.Layers))
	for i, l := range img.Layers {
		stack[i] = l
	}
	if c.config.NetKeep {
		kept, err := keptNetwork(c.net.Files, c.net.State())
		if err != nil {
			return nil, err
		}
		stack = append(stack, kept)
	}
	opt := bundle.Reading(mem, kexec.Copies(), total, enough)
	// That a layer is, decompressed, what the configuration says is left to the host tool, for it takes half as long
	// again on a processor without instructions for SHA-256. What arrives has the digests of the manifest in any case.
	opt.SkipDiffIDs = true
	return rootfs.Read(ctx, stack, opt)
}

// convert turns the tree into what kexec takes.
func (c *cmd) convert(ctx context.Context, tree *rootfs.Tree) (*bundle.Bundle, error) {
	opt := bundle.Options{Args: c.config.Args, Copies: kexec.Copies(), Grow: enough}
	if c.config.NetKeep {
		opt.Args = append(slices.Clone(opt.Args), c.keptArgument(tree))
	}
	var err error
	if opt.Memory, err = memory.Read(meminfo); err != nil {
		return nil, err
	}
	switch opt.Wyrinit, err = os.ReadFile(wyrinit); {
	case c.config.Root == "initramfs":
		opt.Wyrinit = nil
	case errors.Is(err, os.ErrNotExist):
		c.sayf("this initrd was built without %s: extended attributes are lost and pivot_root fails in the container", wyrinit)
	case err != nil:
		return nil, err
	}
	plan, err := bundle.Inspect(ctx, tree, opt)
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	for _, w := range plan.Warnings {
		c.sayf("%s", strings.TrimSpace(w))
	}
	return plan.Make(ctx)
}
