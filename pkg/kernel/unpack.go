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

// maxWindow is the largest zstd window accepted, that of level 22, which Linux packs kernels with ("zstd22" of
// scripts/Makefile.lib): reading a kernel may take so much memory.
const maxWindow = 128 << 20

// parseGzip unpacks the Image.gz that some arm64 distributions ship; their boot loaders did so, kexec does not.
func parseGzip(r io.ReaderAt, size int64) (*Kernel, error) {
	return unpackGzip("gzip'd Image", io.NewSectionReader(r, 0, size))
}

// parseZboot unpacks the payload of an EFI zboot image: header fields payload offset, size and compression at 8, 12, 24.
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
		z, err := zstd.NewReader(payload, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("a damaged EFI zboot kernel: %v", err)
		}
		defer z.Close()
		return unpacked("EFI zboot", z)
	default:
		return nil, fmt.Errorf("an EFI zboot kernel packed with %q, of which this Wyrcan knows gzip and zstd", how)
	}
}

func unpackGzip(format string, r io.Reader) (*Kernel, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("a damaged %s kernel: %w", format, err)
	}
	return unpacked(format, z)
}

// unpacked takes an arm64 Image out of its wrapper. What is none by its first bytes is not unpacked further.
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
	k, err := parseKept(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	k.Format, k.Image = format, f
	return k, nil
}

func parseKept(f *os.File) (*Kernel, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return parseImage(f, info.Size())
}

// keep writes a kernel that comes out of a wrapper to a file in memory, which is then read from its beginning.
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
