package kernel

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
)

// maxWindow is the largest zstd window that is accepted, and the memory that decompression may take. It is the window
// of level 22, with which Linux compresses kernels ("zstd22" in scripts/Makefile.lib).
const maxWindow = 128 << 20

// parseGzip decompresses the Image.gz that some arm64 distributions ship. Boot loaders decompress it, but kexec does
// not.
func parseGzip(r io.ReaderAt, size int64) (*Kernel, error) {
	return unpackGzip("gzip'd Image", io.NewSectionReader(r, 0, size))
}

// parseZboot decompresses the payload of an EFI zboot image. The header has the payload's offset at 8, its size at 12
// and the name of its compression at 24.
func parseZboot(r io.ReaderAt, size int64, head []byte) (*Kernel, error) {
	if len(head) < 56 {
		return nil, fmt.Errorf("an EFI zboot kernel that ends after %d bytes", size)
	}
	at, n := int64(binary.LittleEndian.Uint32(head[8:])), int64(binary.LittleEndian.Uint32(head[12:]))
	if at+n > size {
		return nil, fmt.Errorf("an EFI zboot kernel cut short: %d of at least %d bytes", size, at+n)
	}
	payload := io.NewSectionReader(r, at, n)
	switch how := firstWord(head[24:56]); how {
	case "gzip":
		return unpackGzip("EFI zboot", payload)
	case "zstd", "zstd22":
		z, err := zstd.NewReader(payload, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("a damaged EFI zboot kernel: %v", err)
		}
		defer z.Close()
		return unpacked("EFI zboot", z)
	default:
		return nil, fmt.Errorf("an EFI zboot kernel packed with %q, and this Wyrcan knows only gzip and zstd", how)
	}
}

func unpackGzip(format string, r io.Reader) (*Kernel, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("a damaged %s kernel: %w", format, err)
	}
	return unpacked(format, z)
}

// unpacked extracts an arm64 Image from its wrapper. It stops after the first bytes if they are not those of an Image.
func unpacked(format string, z io.Reader) (*Kernel, error) {
	head := make([]byte, 64)
	n, err := io.ReadFull(z, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("a damaged %s kernel: %w", format, err)
	}
	if !has(head[:n], 56, "ARM\x64") {
		return nil, fmt.Errorf("a %s file with no kernel for a known architecture inside", format)
	}
	f, err := keep(format, io.MultiReader(bytes.NewReader(head), z))
	if err != nil {
		return nil, err
	}
	k, err := parseKept(f, head)
	if err != nil {
		f.Close()
		return nil, err
	}
	k.Format, k.Image = format, f
	return k, nil
}

func parseKept(f *os.File, head []byte) (*Kernel, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return parseImage(f, info.Size(), head)
}

// keep copies a kernel that comes out of a wrapper to a memory file, and seeks to its beginning.
func keep(format string, r io.Reader) (*os.File, error) {
	f, err := memory.File("kernel")
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(f, io.LimitReader(r, maxImage+1))
	switch {
	case err != nil:
		err = fmt.Errorf("a damaged %s kernel: %w", format, err)
	case n > maxImage:
		err = fmt.Errorf("a %s kernel of more than %d MiB", format, maxImage>>20)
	default:
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
