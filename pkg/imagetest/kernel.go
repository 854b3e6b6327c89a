package imagetest

import "encoding/binary"

// BzImage returns the smallest file with the header of a 64-bit x86 kernel (Documentation/arch/x86/boot.rst). It does
// not boot.
func BzImage(version string) []byte {
	b := make([]byte, 3*512+160)
	le := binary.LittleEndian
	b[0x1f1] = 2 // setup_sects
	le.PutUint32(b[0x1f4:], 10)
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x20f)
	le.PutUint16(b[0x20e:], 0x200)
	copy(b[0x400:], version+" (builder@host) #1 SMP\x00")
	le.PutUint16(b[0x236:], 1)
	le.PutUint32(b[0x238:], 2047)
	return b
}

// Arm64Image returns a file with the header of an arm64 kernel (Documentation/arch/arm64/booting.rst) and a banner far
// behind it. It does not boot.
func Arm64Image(version string) []byte {
	b := make([]byte, 3<<20)
	binary.LittleEndian.PutUint64(b[16:], 5<<20) // image_size
	b[24] = 1 << 1                               // pages of 4 KiB
	copy(b[56:], "ARM\x64")
	copy(b[1<<20-7:], "Linux version "+version+" (builder@host)")
	return b
}
