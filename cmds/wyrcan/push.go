package main

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// push is the command "wyrcan push".
func (c *cmd) push(ctx context.Context, args []string) error {
	f := c.flags("push", "DIR NAME", `Send the image in DIR, an OCI image layout, to a registry as NAME, and print its
name with its digest. If DIR has several images, they are sent as one image for
several platforms. make builds Wyrcan itself as a bootable container in
out/wyrcan.oci.
`)
	f.registry()
	rest, err := f.parse(args, 2, false)
	if err != nil {
		return err
	}
	ref, err := name.ParseReference(rest[1])
	if err != nil {
		return usage("%q is not the name of an image: %v", rest[1], err)
	}
	// go-containerregistry checks little of what it reads, and would wait for ever for a pipe.
	source := c.source(rest[1], v1.Platform{})
	if err := source.VerifyLayout(ctx, rest[0]); err != nil {
		return fmt.Errorf("cannot read the image layout %q: %w", rest[0], err)
	}
	what, digest, err := fromLayout(rest[0])
	if err != nil {
		return fmt.Errorf("cannot read the image layout %q: %w", rest[0], err)
	}
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
	fmt.Fprintln(c.stdout, ref.Context().Digest(digest.String()))
	return nil
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
