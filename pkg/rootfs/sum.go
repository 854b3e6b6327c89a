package rootfs

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// sums are the digests of a layer: of the stored bytes, and of the archive in them. An empty one is not known, or not
// checked.
type sums struct{ stored, archive string }

// check compares the hash of an archive with a digest. The nil check accepts everything.
type check struct {
	hash.Hash
	algorithm, want string
}

// check returns the check for the archive of a layer. format is how the layer is compressed; "" is not compressed.
// Then the stored bytes are the archive, and were verified already.
func (s sums) check(format string) (*check, error) {
	if s.archive == "" || format == "" && s.archive == s.stored {
		return nil, nil
	}
	algorithm, want, _ := strings.Cut(s.archive, ":")
	c := &check{algorithm: algorithm, want: want}
	switch algorithm { // image-spec, descriptor.md, "Registered Algorithms"
	case "sha256":
		c.Hash = sha256.New()
	case "sha512":
		c.Hash = sha512.New()
	default:
		return nil, fmt.Errorf("has the uncompressed digest %q, of a kind that is not known; "+
			"known are sha256 and sha512", s.archive)
	}
	return c, nil
}

// write returns a function that takes the bytes of the archive, or nil if there is nothing to check.
func (c *check) write() func([]byte) {
	if c == nil {
		return nil
	}
	return func(b []byte) { c.Write(b) } // a hash takes everything
}

// end returns an error if the bytes have another digest.
func (c *check) end() error {
	if c == nil {
		return nil
	}
	if got := hex.EncodeToString(c.Sum(nil)); got != c.want {
		return fmt.Errorf("is another one than the image was made with: "+
			"uncompressed it has the digest %s:%s, not %s:%s as the image's configuration says",
			c.algorithm, got, c.algorithm, c.want)
	}
	return nil
}
