package netboot

import (
	"debug/pe"
	"encoding/binary"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/uki"
)

// testUKI returns a unified kernel image for x86-64 with the command line "quiet".
func testUKI(t *testing.T) []byte {
	t.Helper()
	le := binary.LittleEndian
	stub := make([]byte, 1024)
	copy(stub, "MZ")
	le.PutUint32(stub[0x3c:], 0x40)
	copy(stub[0x40:], "PE\x00\x00")
	le.PutUint16(stub[0x44:], pe.IMAGE_FILE_MACHINE_AMD64)
	le.PutUint16(stub[0x54:], 240)   // SizeOfOptionalHeader
	le.PutUint16(stub[0x58:], 0x20b) // Magic
	le.PutUint32(stub[0x78:], 4096)  // SectionAlignment
	le.PutUint32(stub[0x7c:], 512)   // FileAlignment
	le.PutUint32(stub[0x94:], 1024)  // SizeOfHeaders
	le.PutUint32(stub[0xc4:], 16)    // NumberOfRvaAndSizes

	kernel := make([]byte, 3*512+160)
	kernel[0x1f1] = 2
	le.PutUint32(kernel[0x1f4:], 10)
	copy(kernel[0x202:], "HdrS")
	le.PutUint16(kernel[0x206:], 0x20f)
	le.PutUint16(kernel[0x236:], 1)
	le.PutUint32(kernel[0x238:], 2047)

	b, err := (&uki.Image{Stub: stub, Cmdline: "quiet", Initrd: []byte("initrd"), Kernel: kernel}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
