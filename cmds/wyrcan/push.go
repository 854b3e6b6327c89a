package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// push is the command "wyrcan push".
func (c *cmd) push(ctx context.Context, args []string) error {
	f := c.flags("push", "[OPTION...] IMAGE NAME",
		`Send IMAGE, which is on this machine, to a registry as NAME, and print its name
with its digest. The images of an OCI image layout are sent as they are: several
as one image for several platforms. Of any other form, the image for this machine
or for -arch is sent.

make builds Wyrcan itself as a bootable container in out/wyrcan.oci.
`)
	machine := here
	f.Var(&machine, "arch", "send the image for this `ARCHITECTURE`, where IMAGE is no layout and has several")
	f.registry()
	rest, err := f.parse(args, 2, false)
	if err != nil {
		return err
	}
	ref, err := name.ParseReference(rest[1])
	if err != nil {
		return usage("%q is not the name of an image: %v", rest[1], err)
	}
	c.access.isFor(rest[1]) // no registry is asked for IMAGE
	source := c.source(rest[1], machine.platform())
	what, digest, done, err := c.toPush(ctx, source, rest[0])
	if err != nil {
		return err
	}
	defer done()
	transport, err := source.TransportFor(ctx, ref.Context(), true)
	if err != nil {
		return fmt.Errorf("cannot push %s: %w", ref, advise(err))
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithTransport(transport)}
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(ref, what, options...)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, what, options...)
	}
	if err != nil {
		return fmt.Errorf("cannot push %s: %w", ref, advise(image.Explain(ctx, ref.Context().RegistryStr(), err)))
	}
	sent, err := digest() // the layers of a docker archive have theirs only now
	if err != nil {
		return err
	}
	fmt.Fprintln(c.stdout, ref.Context().Digest(sent.String()))
	return nil
}

// toPush returns what is to be sent of the image ref: a layout as it is, anything else as one image. digest is called
// when it was sent, and done at last.
func (c *cmd) toPush(ctx context.Context, source *image.Source, ref string) (
	what remote.Taggable, digest func() (v1.Hash, error), done func(), err error,
) {
	if dir, ok := layoutOf(ref); ok {
		// go-containerregistry checks little of what it reads, and would wait for ever for a pipe.
		err := source.VerifyLayout(ctx, dir)
		if err == nil {
			var h v1.Hash
			what, h, err = fromLayout(dir)
			digest = func() (v1.Hash, error) { return h, nil }
		}
		if err != nil {
			err = fmt.Errorf("cannot read the image layout %q: %w", dir, err)
		}
		return what, digest, func() {}, err
	}
	if !local(ref) {
		return nil, nil, nil, usage("push: %s is not on this machine: skopeo copy and crane copy send an image from one "+
			"registry to another", ref)
	}
	at, done, err := c.bring(ctx, ref)
	if err != nil {
		return nil, nil, nil, err
	}
	found, err := find(ctx, source, ref, ref, at)
	if err == nil {
		var img v1.Image
		if img, err = rebuild(ctx, found); err == nil {
			return img, img.Digest, done, nil
		}
	}
	done()
	return nil, nil, nil, err
}

// layoutOf returns the directory of an OCI image layout that ref names as a whole.
func layoutOf(ref string) (string, bool) {
	dir, oci := strings.CutPrefix(ref, "oci:")
	if oci {
		return dir, !strings.Contains(dir, ":")
	}
	info, err := os.Stat(ref)
	if err != nil || !info.IsDir() {
		return "", false
	}
	return ref, !image.IsFlat(ref) // of another directory VerifyLayout says what it misses
}

// fromLayout returns the image of a layout, or the index if it has several images.
func fromLayout(dir string) (remote.Taggable, v1.Hash, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	if len(m.Manifests) == 1 && m.Manifests[0].MediaType.IsImage() {
		img, err := index.Image(m.Manifests[0].Digest)
		return img, m.Manifests[0].Digest, err
	}
	digest, err := index.Digest()
	return index, digest, err
}
