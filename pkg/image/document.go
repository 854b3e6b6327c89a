package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// decode parses the JSON object raw into v. A field of the wrong type stays empty and is no error: documents of other
// tools often have such fields, mostly ones that nothing here reads. Code that needs a field checks whether it is
// empty. The types in v must not have an UnmarshalJSON method, since an error from one would end the parsing.
func decode(raw []byte, v any) error {
	err := json.Unmarshal(raw, v)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && mismatch.Field != "" {
		return nil
	}
	return err
}

// present reports whether a field was in its object, and was not null.
func present(field json.RawMessage) bool { return len(field) > 0 && string(field) != "null" }

// elements returns the elements of a JSON list, or nil for anything else.
func elements(list json.RawMessage) []json.RawMessage {
	var all []json.RawMessage
	if json.Unmarshal(list, &all) != nil {
		return nil
	}
	return all
}

// A reference is a descriptor (descriptor.md) as it was found. Its fields have not been checked.
type reference struct {
	MediaType    types.MediaType
	ArtifactType string
	Digest       string
	Size         int64 // -1: none
	URLs         []string
	Annotations  map[string]string
	Platform     v1.Platform // normalized; the zero value if the descriptor has none
}

// readReference parses a descriptor. It never fails: fields that cannot be read are treated as absent.
func readReference(raw json.RawMessage) reference {
	var d struct {
		MediaType    types.MediaType   `json:"mediaType"`
		ArtifactType string            `json:"artifactType"`
		Digest       string            `json:"digest"`
		Size         *int64            `json:"size"`
		URLs         []string          `json:"urls"`
		Annotations  map[string]string `json:"annotations"`
		Platform     struct {
			OS           string   `json:"os"`
			Architecture string   `json:"architecture"`
			Variant      string   `json:"variant"`
			OSFeatures   []string `json:"os.features"`
		} `json:"platform"`
	}
	if decode(raw, &d) != nil {
		return reference{Size: -1}
	}
	r := reference{
		MediaType: d.MediaType, ArtifactType: artifact(d.ArtifactType),
		Digest: d.Digest, Size: -1, URLs: d.URLs, Annotations: d.Annotations,
	}
	if d.Size != nil {
		r.Size = *d.Size
	}
	p := d.Platform
	r.Platform = Normalize(v1.Platform{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSFeatures: p.OSFeatures,
	})
	return r
}

// artifact returns the artifact type t, or "" if t is the media type of an image configuration: some tools set that as
// the artifact type of plain images, as the list of referrers does (distribution-spec, "Listing Referrers").
func artifact(t string) string {
	if types.MediaType(t).IsConfig() {
		return ""
	}
	return t
}

// references parses a list of descriptors.
func references(list json.RawMessage) []reference {
	var all []reference
	for _, raw := range elements(list) {
		all = append(all, readReference(raw))
	}
	return all
}

// hash returns the digest in r.
func (r reference) hash() (v1.Hash, error) {
	if r.Digest == "" {
		return v1.Hash{}, permanent("it has no digest")
	}
	h, err := v1.NewHash(r.Digest)
	if err != nil {
		return v1.Hash{}, permanent("its digest %q is none that can be verified", printable.Line(r.Digest))
	}
	return h, nil
}

// descriptor returns r as a store needs it to open a blob: with a digest and a size.
func (r reference) descriptor() (v1.Descriptor, error) {
	h, err := r.hash()
	if err == nil && r.Size < 0 {
		err = permanent("it has no size")
	}
	return v1.Descriptor{MediaType: r.MediaType, Digest: h, Size: r.Size, URLs: r.URLs}, err
}

// A document is a manifest or an index.
type document struct {
	index     bool
	manifests []reference // of an index

	config       reference // of an image
	layers       []reference
	artifactType string
}

// doubtful reports whether an image may be something else, such as a signature. It goes by media types, which are often
// wrong, so a doubtful image is still used if there is no better one.
func (d *document) doubtful() bool {
	return d.artifactType != "" || slices.ContainsFunc(d.layers, func(l reference) bool {
		t := string(l.MediaType)
		return t != "" && !strings.Contains(t, "tar") && !strings.Contains(t, "layer")
	})
}

// parseManifest parses a manifest or an index. It tells them apart by their fields only, not by the media type that a
// registry or another document gives: a document that can be read as both could be verified as one and used as the
// other (the ambiguity of CVE-2021-41190).
func parseManifest(raw []byte) (*document, error) {
	var d struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		ArtifactType  string          `json:"artifactType"`
		Config        json.RawMessage `json:"config"`
		Layers        json.RawMessage `json:"layers"`
		Manifests     json.RawMessage `json:"manifests"`
		FSLayers      json.RawMessage `json:"fsLayers"`
	}
	if err := decode(raw, &d); err != nil {
		return nil, fmt.Errorf("it is not JSON of the right form: %v", err)
	}
	image, index := present(d.Config) || present(d.Layers), present(d.Manifests)
	switch {
	case d.SchemaVersion == 1 || d.FSLayers != nil || d.MediaType.IsSchema1():
		return nil, fmt.Errorf("it is of Docker's schema 1, which has no digests to verify layers by: " +
			"push the image again with a tool of this decade")
	case image && index:
		return nil, fmt.Errorf("it is both an image and an index")
	case index && d.MediaType.IsImage(), image && d.MediaType.IsIndex():
		return nil, fmt.Errorf("it calls itself %s, which it is not", d.MediaType)
	case index:
		return &document{index: true, manifests: references(d.Manifests)}, nil
	case !present(d.Config):
		return nil, fmt.Errorf("it names no configuration")
	}
	return &document{
		config: readReference(d.Config), layers: references(d.Layers), artifactType: artifact(d.ArtifactType),
	}, nil
}

// parseConfig parses an image's configuration (config.md). Malformed fields stay empty; a malformed digest of a layer
// is an error.
func parseConfig(raw []byte) (*v1.ConfigFile, error) {
	var d struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
		Author       string `json:"author"`
		Created      string `json:"created"`
		RootFS       struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		Config json.RawMessage `json:"config"`
	}
	if err := decode(raw, &d); err != nil {
		return nil, err
	}
	config := &v1.ConfigFile{OS: d.OS, Architecture: d.Architecture, Variant: d.Variant, Author: d.Author}
	config.RootFS.Type = d.RootFS.Type
	for i, id := range d.RootFS.DiffIDs {
		h, err := v1.NewHash(id)
		if err != nil {
			return nil, fmt.Errorf("the digest %q of layer %d is none that can be verified", printable.Line(id), i+1)
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, h)
	}
	if t, err := time.Parse(time.RFC3339, d.Created); err == nil {
		config.Created = v1.Time{Time: t}
	}
	if present(d.Config) {
		_ = decode(d.Config, &config.Config) // as far as it can be read
	}
	return config, nil
}

// madeFor returns the platform in a configuration, as far as the configuration has one.
func madeFor(config *v1.ConfigFile) v1.Platform {
	return Normalize(v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant})
}

// diffIDs returns the digests of the uncompressed layers, which must be as many as there are layers. If they are not,
// the configuration belongs to another image, or the list of layers was lost. docker and containerd refuse such an
// image too, even one with no digests at all.
func diffIDs(config *v1.ConfigFile, layers int) ([]v1.Hash, error) {
	ids := config.RootFS.DiffIDs
	if len(ids) != layers {
		return nil, &unusable{permanent("it has %d layers and digests for %d, so its manifest or its configuration "+
			"is wrong: build, push or save the image again", layers, len(ids))}
	}
	return ids, nil
}

// An unusable error says that a document is not a container image, or a damaged one. The search for the image goes on
// with the next document.
type unusable struct{ error }

func (u *unusable) Unwrap() error { return u.error }
