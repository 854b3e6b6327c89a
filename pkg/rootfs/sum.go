package rootfs

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// sums are a layer's digests: of what is stored, and of the archive in it ("": not known, or not to be checked).
type sums struct{ stored, archive string }

// A check is the hash of an archive that must come to a digest. The nil check lets everything pass.
type check struct {
	hash.Hash
	algorithm, want string
}

// check returns the check for the archive of a layer that is compressed as format says, "" being not at all: its stored
// bytes are the archive then, and whoever gave them has verified them already.
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
		return nil, fmt.Errorf("has the uncompressed digest %q, of a kind that is not known", s.archive)
	}
	return c, nil
}

// write returns what takes the bytes, nil if nobody wants them.
func (c *check) write() func([]byte) {
	if c == nil {
		return nil
	}
	return func(b []byte) { c.Write(b) } // a hash takes everything
}

// end judges what was written.
func (c *check) end() error {
	if c == nil {
		return nil
	}
	if got := hex.EncodeToString(c.Sum(nil)); got != c.want {
		return fmt.Errorf("is another one than the image was made with: "+
			"uncompressed it has the digest %s:%s, not %s:%s as the image's configuration says", c.algorithm, got, c.algorithm, c.want)
	}
	return nil
}
