package policy

import (
	"errors"
	"fmt"
	"time"
)

// What a signer or an image says of its age (image-spec, annotations.md). containers/image adds the time of a signature
// itself, as timestampKey.
const (
	versionKey   = "org.opencontainers.image.version"
	createdKey   = "org.opencontainers.image.created"
	timestampKey = "timestamp"
)

// fresh returns nil if the image is new enough for the requirement. An old image keeps its signature: whoever
// controls the registry can serve it again, so its age must be under the signature too. It is what the signer has
// said in the signature (cosign sign -a org.opencontainers.image.version=1.4.2), else what the image's configuration
// says, which the signature vouches for: the signed manifest names the configuration by its digest. What says nothing
// is too old.
func (j *judge) fresh(n notes) error {
	if j.minVersion != "" {
		if err := j.newVersion(n); err != nil {
			return err
		}
	}
	if j.notBefore.IsZero() {
		return nil
	}
	at, err := j.madeAt(n)
	switch {
	case err != nil:
		return err
	case at.IsZero():
		return errors.New("neither the signature nor the image says when it was made, and notBefore asks for that")
	case at.Before(j.notBefore):
		return fmt.Errorf("it is of %s, before %s as notBefore says",
			at.UTC().Format(time.RFC3339), j.notBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// newVersion returns nil if the image's version is minVersion or a later one.
func (j *judge) newVersion(n notes) error {
	text, ok, err := n.text(versionKey)
	if err != nil {
		return err
	}
	if !ok {
		text = j.subject.version
	}
	if text == "" {
		return errors.New("neither the signature nor the image says its version, and minVersion asks for that")
	}
	have, err := parseVersion(text)
	if err != nil {
		return err
	}
	least, err := parseVersion(j.minVersion)
	if err != nil {
		return err
	}
	if have.compare(least) < 0 {
		return fmt.Errorf("it is version %s, older than %s as minVersion says", text, j.minVersion)
	}
	return nil
}

// madeAt returns the time of the image that the signature vouches for, zero if there is none.
func (j *judge) madeAt(n notes) (time.Time, error) {
	text, ok, err := n.text(createdKey)
	if ok && err == nil {
		return parseTime(text)
	}
	if err != nil {
		return time.Time{}, err
	}
	if at, ok, err := n.seconds(timestampKey); ok {
		return at, err
	}
	return j.subject.created, nil
}
