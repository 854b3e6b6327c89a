// Package verity makes the hash tree by which the kernel checks a file system image each time that it reads a part of
// it from its device: dm-verity, Documentation/admin-guide/device-mapper/verity.rst. One hash, that of the root of the
// tree, stands for the whole image.
//
// The tree follows the image, in one block for each 127 of the image. The form is the one of veritysetup(8): version 1,
// SHA-256, blocks of 4096 bytes, with a superblock in front. wyrinit does not read that. It is for a person, who can
// check the image with veritysetup and knows nothing but the hash:
//
//	veritysetup verify IMAGE IMAGE HASH --hash-offset=BYTES
package verity

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Block is the size of the blocks of image and tree in bytes.
const Block = 4096

// fan is how many hashes are in a block of the tree.
const fan = Block / sha256.Size

// Seal says what an image has to be. The tree's superblock is the block after those of the image, and the tree comes
// after that.
type Seal struct {
	Hash   [sha256.Size]byte // of the root of the tree
	Salt   [sha256.Size]byte // comes before each block where it is hashed
	Blocks int64             // of the image
}

// Append appends the hash tree to an image that fills a file from its beginning to its end, on all processors. It is
// the same for the same image: what a machine will be started with can be known before. So the salt, which makes it
// useless to look for collisions in many images at once, comes from the image too: it is the hash of the first block,
// which has the sizes of everything else. grow is called for each MiB or so of the tree, and says whether it may take
// more memory; nil always says yes.
func Append(ctx context.Context, f *os.File, grow func() error) (Seal, error) {
	s, err := appendTree(ctx, f, grow)
	if err != nil {
		return Seal{}, fmt.Errorf("cannot make the hash tree of the root's image (wyr.verity): %w", err)
	}
	return s, nil
}

func appendTree(ctx context.Context, f *os.File, grow func() error) (Seal, error) {
	info, err := f.Stat()
	if err != nil {
		return Seal{}, err
	}
	if info.Size() == 0 {
		return Seal{}, errors.New("the image is empty")
	}
	s := Seal{Blocks: (info.Size() + Block - 1) / Block}
	from, count, levels := int64(0), s.Blocks, levels(s.Blocks)
	if err := f.Truncate((s.Blocks + 1 + sum(levels)) * Block); err != nil {
		return Seal{}, err
	}
	first := make([]byte, Block)
	if _, err := f.ReadAt(first, 0); err != nil {
		return Seal{}, err
	}
	s.Salt = sha256.Sum256(first)
	if _, err := f.WriteAt(s.superblock(), s.Blocks*Block); err != nil {
		return Seal{}, err
	}
	for i, n := range levels {
		to := s.Blocks + 1 + sum(levels[i+1:]) // the root comes first
		if err := s.level(ctx, f, from, count, to, grow); err != nil {
			return Seal{}, err
		}
		from, count = to, n
	}
	if _, err := f.ReadAt(first, from*Block); err != nil {
		return Seal{}, err
	}
	s.Hash = s.hash(first)
	return s, nil
}

// levels returns how many blocks each level of the tree has, the lowest level first: verity_ctr in
// drivers/md/dm-verity-target.c. An image of one block has no tree.
func levels(blocks int64) (list []int64) {
	for blocks > 1 {
		blocks = (blocks + fan - 1) / fan
		list = append(list, blocks)
	}
	return list
}

func sum(list []int64) (n int64) {
	for _, i := range list {
		n += i
	}
	return n
}

func (s *Seal) hash(block []byte) [sha256.Size]byte {
	return sha256.Sum256(append(s.Salt[:len(s.Salt):len(s.Salt)], block...))
}

// level makes the level of the tree that begins at the block to, for the count blocks that begin at from.
func (s *Seal) level(ctx context.Context, f *os.File, from, count, to int64, grow func() error) error {
	var next atomic.Int64
	workers, ctx := errgroup.WithContext(ctx)
	for range min(int64(runtime.GOMAXPROCS(0)), (count+fan-1)/fan) {
		workers.Go(func() error { return s.work(ctx, f, from, count, to, &next, grow) })
	}
	return workers.Wait()
}

// work makes blocks of a level, whichever is next, until there is none.
func (s *Seal) work(
	ctx context.Context, f *os.File, from, count, to int64, next *atomic.Int64, grow func() error,
) error {
	const often = 1 << 20 / Block
	in, out, h := make([]byte, fan*Block), make([]byte, 0, Block), sha256.New()
	for {
		i := next.Add(1) - 1
		if i >= (count+fan-1)/fan {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if grow != nil && i%often == 0 {
			if err := grow(); err != nil {
				return err
			}
		}
		blocks := in[:min(fan, count-i*fan)*Block]
		if _, err := f.ReadAt(blocks, (from+i*fan)*Block); err != nil {
			return fmt.Errorf("cannot read it: %w", unexpected(err))
		}
		out = out[:0]
		for block := range slices.Chunk(blocks, Block) {
			h.Reset()
			h.Write(s.Salt[:])
			h.Write(block)
			out = h.Sum(out)
		}
		clear(out[len(out):Block])
		if _, err := f.WriteAt(out[:Block], (to+i)*Block); err != nil {
			return fmt.Errorf("cannot keep it: %w", err)
		}
	}
}

// unexpected returns the error about a file that has become shorter.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// superblock returns what veritysetup reads: struct verity_sb in cryptsetup's lib/verity/verity.c. Its UUID is the
// beginning of the salt.
func (s *Seal) superblock() []byte {
	b := append(make([]byte, 0, Block), "verity\x00\x00"...)
	b = binary.LittleEndian.AppendUint32(b, 1) // version of the superblock
	b = binary.LittleEndian.AppendUint32(b, 1) // version of the tree: the salt comes first
	b = append(b, s.Salt[:16]...)
	algorithm := [32]byte{}
	copy(algorithm[:], "sha256")
	b = append(b, algorithm[:]...)
	b = binary.LittleEndian.AppendUint32(b, Block)
	b = binary.LittleEndian.AppendUint32(b, Block)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Blocks))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s.Salt)))
	b = append(b, make([]byte, 6)...)
	b = append(b, s.Salt[:]...)
	return b[:Block]
}
