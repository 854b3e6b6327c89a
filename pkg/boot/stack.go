package boot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// MaxOverlays is how many images may lie on another one.
const MaxOverlays = 32

// A Part is one image of a Stack, and the reference by which somebody has asked for it.
type Part struct {
	Image *image.Image
	Asked string
}

// A Stack is the images that make one tree, by the rules for the layers of one image.
type Stack struct {
	// Kernel brings the kernel and its modules, and is laid under the others. It is empty if Image has a kernel.
	Kernel Part
	Image  Part
	// Overlays lie on the image, the last one on top.
	Overlays []Part
}

// parts returns the images from the lowest to the topmost, each with what it is called in an error; the image itself
// has no such name.
func (s Stack) parts() (list []Part, names []string) {
	if s.Kernel.Image != nil {
		list, names = append(list, s.Kernel), append(names, "the kernel image "+s.Kernel.Image.Name)
	}
	list, names = append(list, s.Image), append(names, "")
	for _, o := range s.Overlays {
		list, names = append(list, o), append(names, "the overlay "+o.Image.Name)
	}
	return list, names
}

// Layers returns all layers, the lowest first.
func (s Stack) Layers() (layers []*image.Layer) {
	list, _ := s.parts()
	for _, p := range list {
		layers = append(layers, p.Image.Layers...)
	}
	return layers
}

// Size returns the sum of the sizes of all images.
func (s Stack) Size() (size int64) {
	list, _ := s.parts()
	for _, p := range list {
		size += p.Image.Size()
	}
	return size
}

// Describe adds to a record which images the stack has.
func (s Stack) Describe(r *record.Record) {
	r.Image = Describe(s.Image.Image, s.Image.Asked)
	if s.Kernel.Image != nil {
		d := Describe(s.Kernel.Image, s.Kernel.Asked)
		r.Kernel = &d
	}
	for _, o := range s.Overlays {
		r.Overlays = append(r.Overlays, Describe(o.Image, o.Asked))
	}
}

// check checks that all policies accept each image, and remembers who has signed the image.
func (b *Boot) check(ctx context.Context, s Stack) error {
	b.signers, b.signed = nil, false
	list, names := s.parts()
	for i, p := range list {
		verdict, err := b.Policies.Check(ctx, p.Image)
		if err != nil && !policy.Refused(err) {
			err = fmt.Errorf("cannot verify its signatures: %w", err)
		}
		if err != nil && names[i] != "" {
			err = fmt.Errorf("%s: %w", names[i], err)
		}
		if err != nil {
			return err
		}
		b.signed = b.signed || verdict.Signed
		if verdict.Signed {
			what := names[i]
			if what == "" {
				what = "the image"
			}
			b.logf("%s is signed, as the policy asks: key %s", what, strings.Join(verdict.Keys, ", key "))
		}
		for _, key := range verdict.Keys {
			if id := "sha256:" + key; !slices.Contains(b.signers, id) {
				b.signers = append(b.signers, id)
			}
		}
	}
	return nil
}
