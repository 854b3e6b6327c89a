package debian

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// An occupied memory is what a booted system takes, in MiB, with the image that lies beside the kernel's memory.
type occupied struct {
	// inUse is MemTotal less MemAvailable: what the kernel estimates that a new program cannot have. The estimate leaves
	// out what the kernel keeps free for itself, and a part of the caches: si_mem_available in mm/show_mem.c.
	inUse float64
	// bound is what is neither free nor in a cache that the kernel gives up when a program needs memory.
	bound float64
	// dropped is what is not free after all caches were dropped except what programs have mapped.
	dropped float64
}

func (o occupied) String() string {
	return fmt.Sprintf("%.0f MiB | %.0f MiB | %.0f MiB", o.inUse, o.bound, o.dropped)
}

// than compares it with another one.
func (o occupied) than(other occupied) occupied {
	return occupied{o.inUse / other.inUse, o.bound / other.bound, o.dropped / other.dropped}
}

// occupies returns what the report says of the memory.
func occupies(t testing.TB, log string) occupied {
	t.Helper()
	image := 0.0
	if strings.Contains(log, "report: image: ") {
		image = number(t, log, `^report: image: (\d+) kB`)
	}
	kb := func(when, key string) float64 {
		t.Helper()
		return number(t, log, `^report: `+when+`: `+regexp.QuoteMeta(key)+`: +(\d+) kB`)
	}
	taken := func(when string) float64 {
		t.Helper()
		return kb(when, "MemTotal") - kb(when, "MemFree") - kb(when, "Listed") + image
	}
	return occupied{
		inUse: (kb("memory", "MemTotal") - kb("memory", "MemAvailable") + image) / 1024,
		bound: (taken("memory") - kb("memory", "Active(file)") - kb("memory", "Inactive(file)") -
			kb("memory", "SReclaimable")) / 1024,
		dropped: taken("dropped") / 1024,
	}
}

// BenchmarkResident compares what the forms of a root have in memory after a boot in which nothing but the system
// itself has read files: with little memory, and with 1 GiB. Packed files must bind no more than goal of what unpacked
// ones do. With 1 GiB the kernel keeps so much free for itself in any form that only little memory has the same goal
// for what is in use. The benchmark prints a table, and /proc/meminfo of each system.
func BenchmarkResident(b *testing.B) {
	const goal, little = 0.45, "464M"
	refs, _ := published(b)
	for b.Loop() {
		table := "\n| form | `-m` | in use | bound | caches dropped |\n| --- | ---: | ---: | ---: | ---: |\n"
		var unpacked occupied
		for _, f := range []measured{
			{"tmpfs", "tmpfs", little, false, ""},
			{"squashfs, loop", "squashfs", little, true, ""},
			{"squashfs, in place", "squashfs", little, false, ""},
			{"tmpfs", "tmpfs", "1G", false, ""},
			{"squashfs, loop", "squashfs", "1G", true, ""},
			{"squashfs, in place", "squashfs", "1G", false, ""},
			{"erofs, in place", "erofs", "1G", false, ""},
		} {
			has := f.resident(b, refs[f.loop])
			if f.root == "tmpfs" {
				unpacked = has
			}
			is := has.than(unpacked)
			table += fmt.Sprintf("| %s | %s | %.0f MiB (%.2f) | %.0f MiB (%.2f) | %.0f MiB (%.2f) |\n", f.name, f.memory,
				has.inUse, is.inUse, has.bound, is.bound, has.dropped, is.dropped)
			if f.root == "squashfs" && (is.bound > goal || f.memory == little && is.inUse > goal) {
				b.Errorf("%s, -m %s: %+v, %+v of the unpacked files", f.name, f.memory, has, is)
			}
		}
		fmt.Print(table) // go test shows ten lines of b.Log
	}
}

// resident boots that form and returns what it has in memory.
func (f measured) resident(b *testing.B, ref string) occupied {
	b.Helper()
	log := vm.Machine{Kernel: vm.Unpacked(b), Memory: f.memory, Long: true,
		Cmdline: arguments(ref) + " wyr.root=" + f.root + " wyr.arg=unread=yes"}.Start(b).Until(over, patience)
	lines(b, log, map[string]bool{
		`^report: systemd is running$`:                 true,
		`^report: failed: `:                            false,
		`^wyrinit: `:                                   false,
		`^report: image: `:                             f.root != "tmpfs" && !f.loop,
		`^report: record: +"root": "` + f.root + `",$`: true,
	})
	b.Logf("%s, -m %s: %+v\n%s", f.name, f.memory, occupies(b, log),
		strings.Join(regexp.MustCompile(`(?m)^report: (?:memory|image): .*$`).FindAllString(log, -1), "\n"))
	return occupies(b, log)
}
