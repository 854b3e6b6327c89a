package policy

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Media types and other names of what cosign stores (cosign, specs/SIGNATURE_SPEC.md and specs/BUNDLE_SPEC.md).
const (
	simpleSigning  = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureKey   = "dev.cosignproject.cosign/signature" // an annotation of such a layer
	simpleArtifact = "application/vnd.dev.cosign.artifact.sig.v1+json"
	simpleType     = "cosign container image signature"

	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bundleTypeOld = "application/vnd.dev.sigstore.bundle+json;version=0.3" // the same, as it was written first
	intotoType    = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	signPredicate = "https://sigstore.dev/cosign/sign/v1"
)

// A signature has not been verified yet. Its claims must not be read before it is verified.
type signature struct {
	where   string // its place, for messages
	message []byte // what was signed
	value   []byte
	claims  func(message []byte) (claims, error)
}

// claims are what a signature says.
type claims struct {
	digests  []string // "sha256:…", of the signed manifest
	name     string   // of the image; a bundle has none
	nameless bool     // it is a bundle
	notes    notes    // annotations, from cosign sign -a for instance
}

// notes are the annotations of a signature, each with its JSON text.
type notes map[string]json.RawMessage

// text returns a note that is a string.
func (n notes) text(key string) (string, bool, error) {
	raw, ok := n[key]
	if !ok {
		return "", false, nil
	}
	var s string
	if err := assign(raw, &s); err != nil {
		return "", true, fmt.Errorf("its annotation %s is no string", key)
	}
	return s, true, nil
}

// seconds returns a note that is a time in seconds since 1970, as containers/image writes it.
func (n notes) seconds(key string) (time.Time, bool, error) {
	raw, ok := n[key]
	if !ok {
		return time.Time{}, false, nil
	}
	s, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return time.Time{}, true, fmt.Errorf("its %s is no whole number", key)
	}
	return time.Unix(s, 0), true, nil
}

// newSimple returns the signature in the old form: payload is a layer of the manifest, value its annotation.
func newSimple(where string, payload []byte, value string) (signature, error) {
	sig, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(sig) == 0 {
		return signature{}, fmt.Errorf("%s: its signature is not base64", where)
	}
	return signature{where: where, message: payload, value: sig, claims: readSimple}, nil
}

// readSimple reads the payload of a signature in the old form ("simple signing", containers-signature.5). It is as
// strict as containers/image.
func readSimple(payload []byte) (claims, error) {
	var critical, optional, image, identity json.RawMessage
	var kind, digest string
	c := claims{notes: make(notes)}
	err := exact(payload, map[string]any{"critical": &critical, "optional": &optional})
	if err == nil {
		err = exact(critical, map[string]any{"type": &kind, "image": &image, "identity": &identity})
	}
	if err == nil {
		err = exact(image, map[string]any{"docker-manifest-digest": &digest})
	}
	if err == nil {
		err = exact(identity, map[string]any{"docker-reference": &c.name})
	}
	if err == nil && string(optional) != "null" { // what cosign writes without annotations
		err = c.notes.read(optional)
	}
	if err == nil && kind != simpleType {
		err = fmt.Errorf("its type is %q", clip(kind))
	}
	c.digests = []string{digest}
	return c, err
}

// read reads an object of any fields.
func (n notes) read(raw []byte) error {
	values := make(map[string]*json.RawMessage)
	err := object(raw, func(key string) any {
		values[key] = new(json.RawMessage)
		return values[key]
	})
	for key, value := range values {
		n[key] = *value
	}
	return err
}

// newBundle returns the signature in a bundle, which contains a DSSE envelope.
func newBundle(where string, bundle []byte) (signature, error) {
	s := signature{where: where, claims: readStatement}
	wrong := func(err error) (signature, error) {
		return s, fmt.Errorf("%s: its bundle is malformed: %w", where, err)
	}
	var kind, payload, payloadType, value string
	var envelope json.RawMessage
	var list []json.RawMessage
	err := some(bundle, map[string]any{"mediaType": &kind, "dsseEnvelope": &envelope})
	switch {
	case err != nil:
		return wrong(err)
	case kind != bundleType && kind != bundleTypeOld:
		return wrong(fmt.Errorf("its mediaType is %q", clip(kind)))
	case envelope == nil:
		return wrong(errors.New("it has no dsseEnvelope"))
	}
	err = some(envelope, map[string]any{"payload": &payload, "payloadType": &payloadType, "signatures": &list})
	if err == nil && len(list) != 1 { // BUNDLE_SPEC.md: one and no more
		err = fmt.Errorf("it has %d signatures", len(list))
	}
	if err == nil {
		err = some(list[0], map[string]any{"sig": &value})
	}
	if err == nil && payloadType != intotoType {
		err = fmt.Errorf("its payloadType is %q", clip(payloadType))
	}
	if err != nil {
		return wrong(err)
	}
	body, err := base64Text(payload)
	if err == nil {
		s.value, err = base64Text(value)
	}
	if err != nil {
		return wrong(err)
	}
	s.message = authenticated(payloadType, body)
	s.claims = func([]byte) (claims, error) { return readStatement(body) }
	return s, nil
}

// authenticated returns the bytes that the signature of a DSSE envelope covers (github.com/secure-systems-lab/dsse,
// protocol.md, "PAE").
func authenticated(payloadType string, body []byte) []byte {
	head := fmt.Sprintf("DSSEv1 %d %s %d ", len(payloadType), payloadType, len(body))
	return append([]byte(head), body...)
}

// readStatement reads an in-toto statement (in-toto.io/Statement/v1). The same key may sign other kinds of statements
// about the same digest: how the image was built, or what it contains. Those are no permission to boot the image.
func readStatement(raw []byte) (claims, error) {
	c := claims{nameless: true, notes: make(notes)}
	var kind, predicate string
	var subjects []json.RawMessage
	err := some(raw, map[string]any{"_type": &kind, "predicateType": &predicate, "subject": &subjects})
	switch {
	case err != nil:
		return c, err
	case kind != statementType:
		return c, fmt.Errorf("its type is %q", clip(kind))
	case predicate != signPredicate:
		return c,
			fmt.Errorf("it is a statement of another kind (predicate type %q), which is no permission to boot",
				clip(predicate))
	case len(subjects) != 1:
		return c, fmt.Errorf("it has %d subjects, and may have one", len(subjects))
	}
	var digests, annotations json.RawMessage
	err = some(subjects[0], map[string]any{"digest": &digests, "annotations": &annotations})
	if err != nil {
		return c, err
	}
	if annotations != nil && string(annotations) != "null" { // protobuf may write null for none
		if err := c.notes.read(annotations); err != nil {
			return c, err
		}
	}
	byAlgorithm := make(notes)
	if err := byAlgorithm.read(digests); err != nil {
		return c, fmt.Errorf("its subject's digest: %w", err)
	}
	for algorithm := range byAlgorithm {
		hex, _, err := byAlgorithm.text(algorithm)
		if err != nil {
			return c, err
		}
		c.digests = append(c.digests, algorithm+":"+strings.ToLower(hex))
	}
	return c, nil
}
