package microcode

import "errors"

// A container for AMD's processors: arch/x86/kernel/cpu/microcode/amd.c.
const (
	amdMagic  = 0x00414d44
	amdHeader = 12 // magic, type and size of the table behind it
	amdTable  = 0  // its type
	amdEntry  = 16 // struct equiv_cpu_entry

	amdSection = 8  // type and size of a patch
	amdPatch   = 1  // its type
	amdLeast   = 64 // struct microcode_header_amd
)

// checkContainers returns why a file is not one container after the other, each with a table of processors and
// patches. Linux would stop at the first place that is not as it should be (parse_container).
func checkContainers(file []byte) error {
	if len(file) == 0 {
		return errors.New("it is empty")
	}
	for len(file) > 0 {
		if len(file) < amdHeader || le.Uint32(file) != amdMagic || le.Uint32(file[4:]) != amdTable {
			return errors.New("it is no container of microcode")
		}
		size := uint64(le.Uint32(file[8:]))
		if size < amdEntry || size > uint64(len(file)-amdHeader) {
			return errors.New("its table of processors is cut short")
		}
		file = file[amdHeader+size:]
		for len(file) >= 4 && le.Uint32(file) != amdMagic {
			if len(file) < amdSection || le.Uint32(file) != amdPatch {
				return errors.New("a patch is of an unknown type")
			}
			size := uint64(le.Uint32(file[4:]))
			if size < amdLeast || size > uint64(len(file)-amdSection) {
				return errors.New("a patch is cut short")
			}
			file = file[amdSection+size:]
		}
	}
	return nil
}
