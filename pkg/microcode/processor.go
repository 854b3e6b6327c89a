package microcode

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// Wanted says whose microcode is wanted. The zero value wants none.
type Wanted struct {
	All        bool // of every processor that there is
	Processors []Processor
}

// None reports whether no microcode is wanted.
func (w Wanted) None() bool { return !w.All && len(w.Processors) == 0 }

// Processor is what decides which microcode a processor takes.
type Processor struct {
	Vendor                  string // as CPUID has it
	Family, Model, Stepping uint32
	Platform                uint32 // Intel: one bit, by IA32_PLATFORM_ID; 0 if that is not known
}

// Vendors whose processors Linux updates: load_ucode_bsp.
const (
	intel = "GenuineIntel"
	amd   = "AuthenticAMD"
)

// updatable reports whether Linux updates processors of this family.
func (p Processor) updatable() bool {
	return p.Vendor == intel && p.Family >= 6 || p.Vendor == amd && p.Family >= 0x10
}

// signature returns EAX of CPUID leaf 1.
func (p Processor) signature() uint32 {
	family, more := p.Family, uint32(0)
	if family > 0xf {
		family, more = 0xf, family-0xf
	}
	return more<<20 | p.Model>>4<<16 | family<<8 | p.Model&0xf<<4 | p.Stepping
}

// Here returns the processors of the running machine, one of each kind. In a virtual machine it returns none: Linux
// updates no processor there (check_loader_disabled_bsp), for the machine that it runs on has done so. root is the
// machine's root directory.
func Here(root fs.FS) (Wanted, error) {
	f, err := root.Open("proc/cpuinfo")
	if err != nil {
		return Wanted{}, fmt.Errorf("cannot tell which processor this is: %w", err)
	}
	defer f.Close()
	platform := func(number string) uint32 {
		// Linux has this file where it updates processors: pf_show.
		b, err := smallfile.Read(root, "sys/devices/system/cpu/cpu"+number+"/microcode/processor_flags", 64)
		n, perr := strconv.ParseUint(strings.TrimSpace(string(b)), 0, 32)
		if err != nil || perr != nil {
			return 0
		}
		return uint32(n)
	}
	list, err := parse(f, platform)
	if err != nil {
		return Wanted{}, fmt.Errorf("cannot tell which processor this is: /proc/cpuinfo: %w", err)
	}
	return Wanted{Processors: list}, nil
}

// parse reads /proc/cpuinfo: show_cpuinfo in arch/x86/kernel/cpu/proc.c. platform returns the Platform of the processor
// with a number.
func parse(r io.Reader, platform func(number string) uint32) ([]Processor, error) {
	var list []Processor
	keys := map[string]string{}
	add := func() {
		p, ok := processor(keys)
		number := keys["processor"]
		clear(keys)
		if !ok {
			return
		}
		if p.Vendor == intel && strings.Trim(number, "0123456789") == "" {
			p.Platform = platform(number)
		}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	s := bufio.NewScanner(r)
	for s.Scan() {
		key, value, ok := strings.Cut(s.Text(), ":")
		if !ok { // an empty line ends a processor
			add()
			continue
		}
		keys[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	add()
	if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, errors.New("a line is too long")
	} else if err != nil {
		return nil, err
	}
	return list, nil
}

// processor returns the processor of some lines, if Linux updates it.
func processor(keys map[string]string) (Processor, bool) {
	p := Processor{Vendor: keys["vendor_id"]}
	for key, to := range map[string]*uint32{"cpu family": &p.Family, "model": &p.Model, "stepping": &p.Stepping} {
		n, err := strconv.ParseUint(keys[key], 10, 8)
		if err != nil {
			return p, false
		}
		*to = uint32(n)
	}
	return p, p.updatable() && !slices.Contains(strings.Fields(keys["flags"]), "hypervisor")
}
