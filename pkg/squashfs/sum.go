package squashfs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
)

// sum tells the contents of a packer's layers apart: two that differ have different ones, so that no content is read
// again to be compared. To do that for small files with the same content, in any order, took five times as long as to
// compress them: each time a whole block was unpacked.
//
// It is the tag of GCM (NIST SP 800-38D) for data that are not encrypted, under a random key that is never used for
// anything else. For any two blocks, chosen by somebody who does not know the key, the tags are the same with a
// probability of at most 2^-111: that is the quotient of their length, in units of 16 bytes, and of the size of GHASH's
// field. A content of several blocks has the tag of their tags. That is made with another key, because GHASH is linear:
// with one key for both, the same bit in the wrong block would make up for a bit in the wrong place. No tag leaves the
// program. Processors compute GHASH faster than any hash without a key.
type sum struct {
	tag  [16]byte
	size int64
}

// summer computes sums. Several goroutines may use it.
type summer struct {
	blocks, lists cipher.AEAD
	nonce         []byte // always the same: nobody sees two tags
}

func newSummer() (summer, error) {
	blocks, err := newKey()
	if err != nil {
		return summer{}, err
	}
	lists, err := newKey()
	return summer{blocks, lists, make([]byte, blocks.NonceSize())}, err
}

// newKey returns GCM with a random key.
func newKey() (cipher.AEAD, error) {
	key := make([]byte, 16)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// add appends the tag of a block to tags.
func (s summer) add(tags, block []byte) []byte { return s.blocks.Seal(tags, s.nonce, nil, block) }

// of returns the sum of a content with these tags of its blocks.
func (s summer) of(tags []byte, size int64) sum {
	sum := sum{size: size}
	if len(tags) > len(sum.tag) {
		tags = s.lists.Seal(nil, s.nonce, nil, tags)
	}
	copy(sum.tag[:], tags)
	return sum
}
