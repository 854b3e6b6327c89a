package policy

import (
	"errors"
	"fmt"
	"time"
)

// Annotations and labels that say how old an image is (image-spec, annotations.md). containers/image writes the time of
// signing as timestampKey.
const (
	versionKey   = "org.opencontainers.image.version"
	createdKey   = "org.opencontainers.image.created"
	timestampKey = "timestamp"
)

// fresh returns nil if the image is new enough for the requirement. The signature of an old image stays valid, so
// whoever controls the registry can serve the old image again. Therefore the age must be signed too. It comes from the
// annotations of the signature (cosign sign -a org.opencontainers.image.version=1.4.2). If there is none, it comes from
// the image's configuration: the signed manifest contains the digest of the configuration. An image without either is
// refused.
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

// madeAt returns the signed time of the image, or zero if there is none.
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
