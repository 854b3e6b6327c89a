package microcode

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

// cpuinfo returns the lines of a processor, as show_cpuinfo prints them.
func cpuinfo(number int, vendor string, family, model int, stepping, flags string) string {
	return fmt.Sprintf("processor\t: %d\nvendor_id\t: %s\ncpu family\t: %d\nmodel\t\t: %d\nmodel name\t: A: B\n"+
		"stepping\t: %s\nflags\t\t: fpu %s\nbugs\t\t: \npower management:\n\n",
		number, vendor, family, model, stepping, flags)
}

func TestHere(t *testing.T) {
	kaby := func(n int) string { return cpuinfo(n, intel, 6, 0x8e, "10", "vme") }
	for name, c := range map[string]struct {
		text  string
		flags map[int]string
		want  []Processor
	}{
		"Intel": {kaby(0) + kaby(1), map[int]string{0: "0x80\n", 1: "0x80\n"}, []Processor{kabyLake}},
		"two steppings": {kaby(0) + cpuinfo(1, intel, 6, 0x8e, "9", ""), map[int]string{0: "0x80\n", 1: "0x2\n"},
			[]Processor{kabyLake, {Vendor: intel, Family: 6, Model: 0x8e, Stepping: 9, Platform: 2}}},
		"no platform": {kaby(0), nil, []Processor{{Vendor: intel, Family: 6, Model: 0x8e, Stepping: 10}}},
		"a strange one": {kaby(0), map[int]string{0: "what\n"},
			[]Processor{{Vendor: intel, Family: 6, Model: 0x8e, Stepping: 10}}},
		"AMD":                {cpuinfo(0, amd, 23, 49, "0", ""), map[int]string{0: "0x1\n"}, []Processor{zen}},
		"AMD's old ones":     {cpuinfo(0, amd, 15, 1, "0", ""), nil, nil},
		"another vendor":     {cpuinfo(0, "HygonGenuine", 24, 1, "0", ""), nil, nil},
		"virtual":            {cpuinfo(0, intel, 6, 0x8e, "10", "hypervisor"), nil, nil},
		"no stepping":        {cpuinfo(0, intel, 6, 0x8e, "unknown", ""), nil, nil},
		"arm64":              {"processor\t: 0\nBogoMIPS\t: 125.00\nCPU part\t: 0xd08\n\n", nil, nil},
		"empty":              {"", nil, nil},
		"no line at its end": {strings.TrimSpace(kaby(0)), map[int]string{0: "0x80"}, []Processor{kabyLake}},
	} {
		root := fstest.MapFS{"proc/cpuinfo": {Data: []byte(c.text)}}
		for n, text := range c.flags {
			name := fmt.Sprintf("sys/devices/system/cpu/cpu%d/microcode/processor_flags", n)
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		got, err := Here(root)
		if err != nil || !reflect.DeepEqual(got.Processors, c.want) || got.All {
			t.Errorf("%s: Here = %+v, %v, want %+v", name, got, err, c.want)
		}
	}
	if w, err := Here(fstest.MapFS{}); err == nil || !w.None() {
		t.Errorf("without /proc Here = %+v, %v", w, err)
	}
	if _, err := Here(os.DirFS("/")); err != nil {
		t.Error(err)
	}
}

func FuzzCPUInfo(f *testing.F) {
	f.Add(cpuinfo(0, intel, 6, 0x8e, "10", "vme"))
	f.Add(cpuinfo(1, amd, 25, 1, "1", "hypervisor"))
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parse(strings.NewReader(text), func(string) uint32 { return 1 })
		if err != nil && list != nil {
			t.Errorf("parse = %v, %v", list, err)
		}
		for _, p := range list {
			if !p.updatable() {
				t.Errorf("parse = %+v", p)
			}
		}
	})
}
