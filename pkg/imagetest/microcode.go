package imagetest

import "encoding/binary"

// Microcode returns an update of microcode for Intel's processors with that signature (EAX of CPUID leaf 1), on all
// platforms, as Linux takes it: intel_microcode_sanity_check in arch/x86/kernel/cpu/microcode/intel.c. A processor
// would refuse it.
func Microcode(signature, revision uint32) []byte {
	const header, size = 48, 2048
	b := make([]byte, size)
	for at, v := range map[int]uint32{
		0: 1, 4: revision, 8: 0x01022024 /* its date */, 12: signature, 20: 1, 24: 0xff, 28: size - header, 32: size,
	} {
		binary.LittleEndian.PutUint32(b[at:], v)
	}
	var sum uint32
	for i := 0; i < size; i += 4 {
		sum += binary.LittleEndian.Uint32(b[i:])
	}
	binary.LittleEndian.PutUint32(b[16:], -sum)
	return b
}
