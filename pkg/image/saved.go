package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// An entry is an image in the manifest.json of an archive that docker saved.
type entry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// names returns the names of an entry.
func (e entry) names() []string { return e.RepoTags }

// called reports whether ref is a name of the entry.
func (e entry) called(ref string) bool {
	return slices.ContainsFunc(e.RepoTags, func(tag string) bool { return sameImage(tag, ref) })
}

// oneImage reports whether all entries have the same names, so that they are one image for several platforms.
func oneImage(list []entry) bool {
	return len(list) == 1 || len(list) > 0 && !slices.ContainsFunc(list, func(e entry) bool {
		return len(e.RepoTags) == 0 || !slices.Equal(e.RepoTags, list[0].RepoTags)
	})
}

// saved finds the image that ref names in an archive that docker saved ("": the only one; "@0": the first). called is
// the full name that the image gets.
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
		_ = decode(row, &list[i]) // a malformed entry stays empty
	}
	if ref == "" && !oneImage(list) {
		return nil, permanent("it holds %d images: name one of %s", len(list), quoted(allNames(list), len(list)))
	}
	if list, err = pick(list, ref); err != nil {
		return nil, err
	}
	r := &resolver{want: s.platform(), track: s.Progress}
	for i, e := range list { // several if one image was saved for several platforms
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

// savedImage returns the image of an entry, or nil if the entry is for another platform.
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
	// There is no manifest, so docker identifies such an image by the digest of its configuration.
	img := &Image{Digest: id, ConfigDigest: id, Platform: made, Config: config}
	for i, file := range e.Layers {
		l, err := s.savedLayer(r, f, file, ids[i], i+1)
		if err != nil {
			return nil, err
		}
		img.Layers = append(img.Layers, l)
	}
	return img, nil
}

// savedLayer returns a layer of an archive that docker saved. Only the digest of the uncompressed content is known, so
// the layer's Open decompresses a compressed one.
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
			if rc, err = s.decompressed(rc); err != nil {
				return nil, err
			}
		}
		rc, err = verify(&contextReader{rc, ctx}, diffID, size, func(err error) error { return &fault{text: err.Error()} })
		return r.tracked(l, rc), err
	}
	return l, nil
}

// decompressed returns a reader of the content of rc, a compressed file. Closing it closes rc too.
func (s *Source) decompressed(rc io.ReadCloser) (io.ReadCloser, error) {
	zr, _, err := compression.NewReader(rc, s.Formats...)
	if err != nil {
		rc.Close()
		return nil, permanent("it %v", err)
	}
	return &content{zr, rc}, nil
}

// content is the content of a compressed file.
type content struct {
	io.ReadCloser
	packed io.Closer
}

func (c *content) Close() error { return errors.Join(c.ReadCloser.Close(), c.packed.Close()) }
