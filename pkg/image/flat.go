package image

import (
	"context"
	"os"
	"path/filepath"
)

// A directory that skopeo has written as dir: holds one image: manifest.json, which is a manifest or an index, and
// beside it the blobs, by the digits of their digests. An index's manifests are DIGITS.manifest.json. There is no
// specification: this is what containers/image does (directory/directory_transport.go).
const (
	flatVersion = "version" // says "Directory Transport Version: 1.1"
	flatSuffix  = ".manifest.json"
)

// IsFlat reports whether a directory is one that skopeo has written as dir:.
func IsFlat(dir string) bool {
	for _, name := range []string{flatVersion, dockerTable} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// flat finds the image in the files f of such a directory. called is the full name that the image gets.
func (s *Source) flat(ctx context.Context, called string, f files) (*Image, error) {
	raw, err := readSmall(f, dockerTable)
	if err != nil {
		return nil, err
	}
	if _, err := parseManifest(raw); err != nil {
		return nil, permanent("its %s is no manifest: %v", dockerTable, err)
	}
	store := blobs{files: f, flat: true}
	r := &resolver{store: store, want: s.platform(), logf: s.logf, track: s.Progress}
	img, err := r.image(ctx, called, raw)
	if err != nil {
		return nil, err
	}
	return img, store.checkComplete(ctx, img)
}
