package kernel

import (
	"bytes"
	"compress/gzip"
	"debug/pe"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

func gzipped(b []byte) []byte {
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestSpeed)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

func zstded(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

func zboot(how string, payload []byte) []byte {
	b := make([]byte, 64, 64+len(payload))
	copy(b, "MZ\x00\x00zimg")
	binary.LittleEndian.PutUint32(b[8:], 64)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(payload)))
	copy(b[24:], how)
	return append(b, payload...)
}

// efi returns a PE file with the given sections, like a unified kernel image that objcopy makes.
func efi(sections map[string][]byte) []byte {
	var b bytes.Buffer
	b.WriteString("MZ")
	b.Write(make([]byte, 0x3a))
	binary.Write(&b, binary.LittleEndian, uint32(0x40))
	b.WriteString("PE\x00\x00")
	header := pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: uint16(len(sections))}
	binary.Write(&b, binary.LittleEndian, header)
	at := b.Len() + 40*len(sections)
	var content []byte
	for name, s := range sections {
		h := pe.SectionHeader32{
			VirtualSize: uint32(len(s)), SizeOfRawData: uint32(len(s)+511) &^ 511, PointerToRawData: uint32(at + len(content)),
		}
		copy(h.Name[:], name)
		binary.Write(&b, binary.LittleEndian, h)
		content = append(content, s...)
		content = append(content, make([]byte, (512-len(s)%512)%512)...)
	}
	return append(b.Bytes(), content...)
}

func TestParse(t *testing.T) {
	old := imagetest.BzImage("2.6.20")
	binary.LittleEndian.PutUint16(old[0x206:], 0x205)
	bz, arm := imagetest.BzImage("6.1.0-40-amd64"), imagetest.Arm64Image("6.12.1")
	x86 := Kernel{Format: "bzImage", Arch: "amd64", Version: "6.1.0-40-amd64", MaxCmdline: 2047, Page: 4096}
	inUKI := x86
	inUKI.Format, inUKI.Cmdline = "unified kernel image (bzImage)", "quiet rw"
	arm64 := func(format string) Kernel {
		return Kernel{Format: format, Arch: "arm64", Version: "6.12.1", MaxCmdline: 2047, Room: 5 << 20, Page: 4096}
	}
	large, wide, before := bytes.Clone(arm), arm64("Image"), bytes.Clone(arm)
	large[24], wide.Page, before[24] = 3<<1, 64<<10, 0
	middling, wider := bytes.Clone(arm), arm64("gzip'd Image")
	middling[24], wider.Page = 2<<1|1<<3, 16<<10
	for name, c := range map[string]struct {
		file  []byte
		want  Kernel
		image []byte // nil: the file itself
	}{
		"bzImage":     {bz, x86, nil},
		"signed":      {append(bytes.Clone(bz), "signature"...), x86, nil},
		"old bzImage": {old, Kernel{Format: "bzImage", Arch: "386", Version: "2.6.20", MaxCmdline: 255, Page: 4096}, nil},
		"Image":       {arm, arm64("Image"), nil},
		"64 KiB":      {large, wide, nil},
		"16 KiB":      {gzipped(middling), wider, middling},
		"no page":     {before, arm64("Image"), nil},
		"Image.gz":    {gzipped(arm), arm64("gzip'd Image"), arm},
		"zboot gzip":  {zboot("gzip", gzipped(arm)), arm64("EFI zboot"), arm},
		"zboot zstd":  {zboot("zstd22", zstded(arm)), arm64("EFI zboot"), arm},
		"UKI": {efi(map[string][]byte{".linux": bz, ".cmdline": []byte("quiet  rw\n\x00"), ".osrel": []byte("ID=x\n")}),
			inUKI, bz},
		"UKI of zboot": {efi(map[string][]byte{".linux": zboot("gzip", gzipped(arm))}),
			arm64("unified kernel image (EFI zboot)"), arm},
	} {
		got, err := Parse(bytes.NewReader(c.file), int64(len(c.file)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (got.Image == nil) != (c.image == nil) {
			t.Errorf("%s: Image = %v, want one: %v", name, got.Image, c.image != nil)
		} else if c.image != nil {
			if b, err := io.ReadAll(got.Image); err != nil || !bytes.Equal(b, c.image) {
				t.Errorf("%s: Image has %d bytes, %v, want the %d that were wrapped", name, len(b), err, len(c.image))
			}
		}
		got.Image = nil
		if *got != c.want {
			t.Errorf("%s: Parse = %+v, want %+v", name, *got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	bz, arm := imagetest.BzImage("6.1"), imagetest.Arm64Image("6.1")
	uki := efi(map[string][]byte{".linux": bz})
	huge := bytes.Clone(arm)
	binary.LittleEndian.PutUint64(huge[16:], 1<<64-1)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":                  {nil, "an empty file"},
		"text":                   {[]byte("#!/bin/sh\n"), "not a Linux kernel"},
		"vmlinux":                {[]byte("\x7fELF\x02\x01\x01"), "an ELF file"},
		"bzImage cut":            {bz[:len(bz)-1], "cut short: 1695 of 1696 bytes"},
		"bzImage header only":    {bz[:0x210], "ends after 528 bytes"},
		"gzip cut":               {gzipped(arm)[:500], "damaged"},
		"gzip of something else": {gzipped([]byte("hello")), "no kernel"},
		"Image of 16 EiB":        {huge, "needs 17592186044415 MiB"},
		"gzip of such an Image":  {gzipped(huge), "needs 17592186044415 MiB"},
		"zboot cut":              {zboot("gzip", gzipped(arm))[:100], "cut short"},
		"zboot damaged":          {zboot("zstd", []byte("nonsense")), "damaged"},
		"zboot xz":               {zboot("xzkern", make([]byte, 9)), "gzip and zstd"},
		"EFI program":            {efi(map[string][]byte{".text": bz}), "without a Linux kernel"},
		"UKI cut":                {uki[:len(uki)-600], "cut short"},
		"UKI of text":            {efi(map[string][]byte{".linux": []byte("hello")}), "whose kernel is not a Linux kernel"},
		"UKI in UKI":             {efi(map[string][]byte{".linux": uki}), "inside another"},
		"MZ alone":               {[]byte("MZ"), "cannot be read"},
	} {
		k, err := Parse(bytes.NewReader(c.file), int64(len(c.file)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Parse = %+v, %v, want an error with %q", name, k, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	bz := imagetest.BzImage("6.1")
	f.Add(bz)
	f.Add(zboot("gzip", gzipped([]byte("x"))))
	f.Add(zboot("zstd22", zstded([]byte("x"))))
	f.Add(gzipped(make([]byte, 64)))
	f.Add(efi(map[string][]byte{".linux": bz, ".cmdline": []byte("quiet")}))
	f.Add(efi(map[string][]byte{".linux": zboot("gzip", gzipped(image(64)))}))
	f.Add(linuxAt(1024, 0, 1024))
	f.Add(append(linuxAt(512, 512, 512), linuxAt(512, 0, 512)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := Parse(bytes.NewReader(b), int64(len(b)))
		if (k == nil) == (err == nil) {
			t.Errorf("Parse = %v, %v", k, err)
		}
		if k == nil || k.Image == nil {
			return
		}
		defer k.Image.Close()
		if info, err := k.Image.Stat(); err != nil || info.Size() > maxImage {
			t.Errorf("%v is %d bytes, %v", k, info.Size(), err)
		}
	})
}
