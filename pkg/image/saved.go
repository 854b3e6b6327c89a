package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// An entry is an image in the table of an archive that docker saved.
type entry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// saved finds the image called ref ("": the only one; "@0": the first) in what docker saved.
func (s *Source) saved(_ context.Context, called string, f files, ref string) (*Image, error) {
	raw, err := readSmall(f, dockerTable)
	if err != nil {
		return nil, err
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(raw, &rows); err != nil {
		return nil, permanent("its %s is no list of images", dockerTable)
	}
	list := make([]entry, len(rows))
	for i, row := range rows {
		_ = decode(row, &list[i]) // one that is broken has nothing in it
	}
	if list, err = chosen(list, ref); err != nil {
		return nil, err
	}
	r := &resolver{want: s.platform(), track: s.Progress}
	for i, e := range list { // of one name for several platforms, or one
		if i == maxManifests {
			return nil, permanent("its %s lists more than %d images of one name", dockerTable, maxManifests)
		}
		img, err := s.savedImage(r, f, e)
		if err != nil {
			return nil, err
		}
		if img != nil {
			return r.found(img, called, img.Digest, nil)
		}
	}
	return r.found(nil, "", v1.Hash{}, nil)
}

// chosen returns the entries that are called ref.
func chosen(list []entry, ref string) ([]entry, error) {
	number, numbered, err := sourceIndex(ref, len(list))
	switch {
	case err != nil:
		return nil, err
	case numbered:
		return list[number : number+1], nil
	}
	var names []string
	same := true
	for _, e := range list {
		names = append(names, e.RepoTags...)
		same = same && len(e.RepoTags) > 0 && slices.Equal(e.RepoTags, list[0].RepoTags)
	}
	if ref == "" {
		if len(list) != 1 && !same || len(list) == 0 {
			return nil, permanent("it holds %d images: name one of %s", len(list), quoted(names, len(list)))
		}
		return list, nil
	}
	list = slices.DeleteFunc(list, func(e entry) bool {
		return !slices.ContainsFunc(e.RepoTags, func(tag string) bool { return sameImage(tag, ref) })
	})
	if len(list) == 0 {
		return nil, permanent("no image of that name is in it, only %s", quoted(names, 0))
	}
	return list, nil
}

// savedImage makes an Image of an entry, or returns nil if that is for another platform.
func (s *Source) savedImage(r *resolver, f files, e entry) (*Image, error) {
	raw, err := readSmall(f, e.Config)
	if err != nil {
		return nil, err
	}
	config, err := parseConfig(raw)
	if err != nil {
		return nil, permanent("its configuration %q cannot be read: %v", printable.Line(e.Config), err)
	}
	id, err := digest("sha256", raw)
	if err != nil {
		return nil, err
	}
	made := madeFor(config)
	if _, ok := platformRank(made, r.want); !ok && made.Architecture != "" {
		r.offers = append(r.offers, platformText(made))
		return nil, nil
	}
	ids, err := diffIDs(config, len(e.Layers))
	if err != nil {
		return nil, err
	}
	// There is no manifest: the configuration's digest is what docker calls such an image by.
	img := &Image{Digest: id, Platform: made, Config: config}
	for i, file := range e.Layers {
		l, err := s.savedLayer(r, f, file, ids[i], i+1)
		if err != nil {
			return nil, err
		}
		img.Layers = append(img.Layers, l)
	}
	return img, nil
}

// savedLayer is a layer of an archive that docker saved. Only the digest of its uncompressed content is known, so one
// that was compressed comes uncompressed.
func (s *Source) savedLayer(r *resolver, f files, file string, diffID v1.Hash, number int) (*Layer, error) {
	rc, size, err := f.open(file)
	if err != nil {
		return nil, &fault{text: fmt.Sprintf("layer %d (%q) is not in it", number, printable.Line(file)), cause: err}
	}
	defer rc.Close()
	zr, format, err := compression.NewReader(rc, s.Formats...)
	if err != nil {
		return nil, permanent("layer %d (%q) %v", number, printable.Line(file), err)
	}
	zr.Close()
	if format != "" {
		size = -1
	}
	l := &Layer{Number: number, Digest: diffID, Size: size, DiffID: diffID}
	l.open = func(ctx context.Context) (io.ReadCloser, error) {
		rc, _, err := f.open(file)
		if err != nil {
			return nil, err
		}
		if format != "" {
			if rc, err = s.undo(rc); err != nil {
				return nil, err
			}
		}
		rc, err = verify(&bound{rc, ctx}, diffID, size, func(err error) error { return &fault{text: err.Error()} })
		return r.tracked(l, rc), err
	}
	return l, nil
}

// undo decompresses rc and closes it with itself.
func (s *Source) undo(rc io.ReadCloser) (io.ReadCloser, error) {
	zr, _, err := compression.NewReader(rc, s.Formats...)
	if err != nil {
		rc.Close()
		return nil, permanent("it %v", err)
	}
	return &undone{zr, rc}, nil
}

// undone is the content of something compressed.
type undone struct {
	io.ReadCloser
	packed io.Closer
}

func (u *undone) Close() error { return errors.Join(u.ReadCloser.Close(), u.packed.Close()) }

// sameImage reports whether two names mean the same image, with what docker implies.
func sameImage(a, b string) bool {
	x, err := name.ParseReference(a)
	if err != nil {
		return false
	}
	y, err := name.ParseReference(b)
	return err == nil && x.Name() == y.Name()
}
