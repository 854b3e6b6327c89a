package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
)

// saved finds the image called ref ("": the only one) in an archive that docker saved.
func (s *Source) saved(called string, a *archive, ref string) (*Image, error) {
	raw, err := readSmall(a, "manifest.json")
	if err != nil {
		return nil, err
	}
	var list []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, permanent("its manifest.json cannot be read: %v", err)
	}
	var names []string
	chosen := -1
	for i, e := range list {
		names = append(names, e.RepoTags...)
		if ref == "" && len(list) == 1 || slices.ContainsFunc(e.RepoTags, func(tag string) bool { return sameImage(tag, ref) }) {
			chosen = i
			break
		}
	}
	switch {
	case chosen < 0 && ref == "":
		return nil, permanent("it holds %d images: name one of %s", len(list), quoted(names))
	case chosen < 0:
		return nil, permanent("no image of that name is in it, only %s", quoted(names))
	}
	entry := list[chosen]
	raw, err = readSmall(a, entry.Config)
	if err != nil {
		return nil, err
	}
	config := new(v1.ConfigFile)
	if err := json.Unmarshal(raw, config); err != nil {
		return nil, permanent("its configuration %q cannot be read: %v", entry.Config, err)
	}
	id, err := digest("sha256", raw)
	if err != nil {
		return nil, err
	}
	if len(entry.Layers) != len(config.RootFS.DiffIDs) {
		return nil, permanent("it has %d layers and digests for %d", len(entry.Layers), len(config.RootFS.DiffIDs))
	}
	r := &resolver{want: s.platform(), track: s.Progress}
	made := v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}
	if _, ok := platformRank(made, r.want); !ok && made.Architecture != "" {
		r.offers = []string{platformText(made)}
		return r.found(nil, "", v1.Hash{}, nil)
	}
	// There is no manifest: the configuration's digest is what docker calls such an image by.
	img := &Image{Name: called, Digest: id, Root: id, Platform: made, Config: config}
	for i, file := range entry.Layers {
		l, err := r.savedLayer(a, file, config.RootFS.DiffIDs[i], i+1)
		if err != nil {
			return nil, err
		}
		img.Layers = append(img.Layers, l)
	}
	return img, nil
}

// savedLayer is a layer of an archive that docker saved. Only the digest of its uncompressed content is known, so one
// that was compressed comes uncompressed.
func (r *resolver) savedLayer(a *archive, file string, diffID v1.Hash, number int) (*Layer, error) {
	rc, size, err := a.open(file)
	if err != nil {
		return nil, &fault{text: fmt.Sprintf("layer %d (%q) is not in it", number, file), cause: err}
	}
	defer rc.Close()
	magic := make([]byte, 2)
	if _, err := io.ReadFull(rc, magic); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	compressed := bytes.Equal(magic, []byte{0x1f, 0x8b}) // RFC 1952, section 2.3.1
	if compressed {
		size = -1
	}
	l := &Layer{Number: number, Digest: diffID, Size: size, DiffID: diffID}
	l.open = func(context.Context) (io.ReadCloser, error) {
		rc, _, err := a.open(file)
		if err != nil {
			return nil, err
		}
		if compressed {
			if rc, err = gunzip(rc); err != nil {
				return nil, err
			}
		}
		rc, err = verify(rc, diffID, size, func(err error) error { return &fault{text: err.Error()} })
		return r.tracked(l, rc), err
	}
	return l, nil
}

// gunzip decompresses rc and closes it with itself.
func gunzip(rc io.ReadCloser) (io.ReadCloser, error) {
	zr, err := gzip.NewReader(rc)
	if err != nil {
		rc.Close()
		return nil, permanent("it cannot be decompressed: %v", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{zr, rc}, nil
}

// sameImage tells whether two names mean the same image, with what docker implies.
func sameImage(a, b string) bool {
	x, err := name.ParseReference(a)
	if err != nil {
		return false
	}
	y, err := name.ParseReference(b)
	return err == nil && x.Name() == y.Name()
}
