//go:build slow

package integration

import (
	"bytes"
	"debug/elf"
	"encoding/base64"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"
	"github.com/u-root/u-root/pkg/dt"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// TestSlowKexecTools holds pkg/kexec on arm64 against kexec-tools, in the same machine: the firmware's kernel starts
// another by kexec-tools, and that one a third by pkg/kexec. Both must find the same machine. A fourth shows that the
// way of pkg/kexec can be gone twice.
func TestSlowKexecTools(t *testing.T) {
	t.Parallel()
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(initrd, relay(t), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, memory string
		cpus         int
		uefi         bool
	}{
		{"device tree 512 MiB", "512M", 1, false},
		{"device tree 5 GiB", "5G", 4, false},
		{"UEFI 512 MiB", "512M", 4, true},
		{"UEFI 1536 MiB", "1536M", 2, true},
		{"UEFI 5 GiB", "5G", 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := vm.Machine{Arch: "arm64", Memory: c.memory, CPUs: c.cpus, Initrd: initrd, NICs: []string{"none"},
				Cmdline: `dyndbg="file machine_kexec.c +p" log_buf_len=1M relay=tools,ours,ours`}
			if c.uefi {
				m.QEMU = blankAAVMF(t)
			}
			v := m.Start(t)
			v.Wait(`^relay: begin firmware`, vm.Patience)
			for _, by := range []string{"tools", "ours", "ours"} {
				v.Wait(`^relay: loaded by `+by+` in `, kexecTime)
				v.Wait(`^relay: begin `+by, kexecTime)
			}
			said := v.Until(`^relay: done`, kexecTime)
			kernels := regexp.MustCompile(`(?ms)^relay: begin .*?^relay: end \S+$`).FindAllString(said, -1)
			if len(kernels) != 4 {
				t.Fatalf("%d kernels have run, want 4", len(kernels))
			}
			tools := finding(t, kernels[1])
			for _, text := range kernels[2:] {
				ours := finding(t, text)
				if diff := cmp.Diff(tools.properties, ours.properties); diff != "" {
					t.Errorf("the device tree differs (-kexec-tools, +ours):\n%s", diff)
				}
				if diff := cmp.Diff(tools.log, ours.log); diff != "" {
					t.Errorf("the kernel says something else (-kexec-tools, +ours):\n%s", diff)
				}
				if tools.initrd != ours.initrd {
					t.Errorf("an initrd of %d bytes, kexec-tools' has %d", ours.initrd, tools.initrd)
				}
				if !slices.Contains(ours.all, "KASLR enabled") || !slices.Contains(ours.all, "random: crng init done") {
					t.Error("the kernel has no random seed")
				}
			}
			if c.uefi != slices.ContainsFunc(tools.log, func(l string) bool { return strings.HasPrefix(l, "ACPI: RSDP ") }) {
				t.Errorf("ACPI: %v", tools.log)
			}
			segments(t, said, kernels)
		})
	}
}

// blankAAVMF returns the options for firmware for arm64 whose variable store is blank.
func blankAAVMF(t *testing.T) []string {
	t.Helper()
	store := filepath.Join(t.TempDir(), "vars.fd")
	if err := os.WriteFile(store, read(t, "/usr/share/AAVMF/AAVMF_VARS.fd"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/AAVMF/AAVMF_CODE.fd",
		"-drive", "if=pflash,format=raw,unit=1,file=" + store}
}

// found is what a kernel has found.
type found struct {
	properties map[string]string // of the device tree
	initrd     uint64            // its size
	log        []string          // about the machine
	all        []string          // everything that the kernel has said
}

// aboutMachine matches what a kernel says about its machine, and not about times, or about what it has allocated.
var aboutMachine = regexp.MustCompile(`^(Machine model:|efi:|secureboot:|ACPI:|SMBIOS|DMI:|Early memory|Initmem|` +
	`Zone ranges|  (node|DMA|DMA32|Normal)\b|psci:|GIC|Root IRQ|smp: Brought|SMP: Total|arch_timer|` +
	`Kernel command line:)`)

// finding reads what relay prints about a kernel.
func finding(t *testing.T, text string) found {
	t.Helper()
	f := found{properties: map[string]string{}}
	hops := regexp.MustCompile(` relay=\S*`)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if log, ok := strings.CutPrefix(line, "relay: log "); ok {
			f.all = append(f.all, log)
			if aboutMachine.MatchString(log) {
				f.log = append(f.log, hops.ReplaceAllString(log, ""))
			}
		}
		flat, ok := strings.CutPrefix(line, "relay: tree ")
		if !ok {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(flat)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := dt.ReadFDT(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range tree.ReserveEntries {
			f.properties["reserved "+strconv.FormatUint(r.Address, 16)] = strconv.FormatUint(r.Size, 16)
		}
		listProperties("", tree.RootNode, f.properties)
	}
	number := func(name string) uint64 {
		b := f.properties["/chosen:"+name]
		delete(f.properties, "/chosen:"+name)
		if len(b) != 8 {
			t.Fatalf("%s is %x", name, b)
		}
		return binary.BigEndian.Uint64([]byte(b))
	}
	f.initrd = number("linux,initrd-end") - number("linux,initrd-start")
	// kexec-tools fills the line up to whole words, and gives no seed if the firmware has given none.
	const line, seed = "/chosen:bootargs", "/chosen:kaslr-seed"
	f.properties[line] = hops.ReplaceAllString(strings.TrimRight(f.properties[line], "\x00"), "")
	delete(f.properties, seed)
	return f
}

func listProperties(path string, n *dt.Node, to map[string]string) {
	for _, p := range n.Properties {
		to[path+":"+p.Name] = string(p.Value)
	}
	for _, child := range n.Children {
		listProperties(path+"/"+child.Name, child, to)
	}
}

// segments compares the segments of the two programs, and ours with the memory of the kernel that has loaded them.
func segments(t *testing.T, said string, kernels []string) {
	t.Helper()
	type segment struct{ from, to uint64 }
	list := func(text, by string) (all []segment) {
		re := regexp.MustCompile(`(?m)^relay: ` + by + ` segment\[\d+\]: ([0-9a-f]+) - ([0-9a-f]+)`)
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			from, err1 := strconv.ParseUint(m[1], 16, 64)
			to, err2 := strconv.ParseUint(m[2], 16, 64)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if s := (segment{from, to}); !slices.Contains(all, s) { // they are listed twice
				all = append(all, s)
			}
		}
		return all
	}
	sizes := func(all []segment) (sizes []uint64) {
		for _, s := range all {
			sizes = append(sizes, s.to-s.from)
		}
		return sizes
	}
	_, first, _ := strings.Cut(said, kernels[0])
	first, second, _ := strings.Cut(first, kernels[1])
	second, third, _ := strings.Cut(second, kernels[2])
	tools := sizes(list(first, "tools"))
	if len(tools) != 4 { // kernel, initrd, device tree, purgatory, in the order of their addresses
		t.Fatalf("kexec-tools' segments have %#x bytes", tools)
	}
	slices.Sort(tools)
	tools = tools[2:] // kernel and initrd
	reserved := regexp.MustCompile(`(?m)^relay: memory +([0-9a-f]+)-([0-9a-f]+) : reserved$`)
	for i, text := range []string{second, third} {
		ours := list(text, "ours")
		if len(ours) < 3 || ours[0].from%(2<<20) != 0 {
			t.Fatalf("our segments are %#x", ours)
		}
		initrd := uint64(0)
		for _, s := range sizes(ours[2:]) {
			initrd += s
		}
		both := []uint64{sizes(ours[:1])[0], initrd}
		if slices.Sort(both); !slices.Equal(both, tools) {
			t.Errorf("kernel and initrd have %#x bytes; kexec-tools' have %#x", both, tools)
		}
		for _, m := range reserved.FindAllStringSubmatch(kernels[i+1], -1) {
			from, _ := strconv.ParseUint(m[1], 16, 64)
			last, _ := strconv.ParseUint(m[2], 16, 64)
			for _, s := range ours {
				if s.from <= last && from < s.to {
					t.Errorf("the segment %#x lies on what is reserved: %s", s, m[0])
				}
			}
		}
	}
}

// relay returns an initramfs for arm64 with the program relay, the kernel, and kexec-tools.
func relay(t *testing.T) []byte {
	t.Helper()
	files := map[string]string{
		"init":   string(vm.ProgramFor(t, "arm64", "./relay")),
		"kernel": string(read(t, vm.Artefact(t, "arm64/wyrcan.kernel"))),
		"loader": "firmware",
	}
	tool := vm.Artefact(t, "kexec-tools/kexec")
	files["sbin/kexec"] = string(read(t, tool))
	addLibraries(t, files, filepath.Dir(tool), files["sbin/kexec"])
	records := console()
	for _, dir := range []string{"proc", "sys"} {
		records = append(records, cpio.Directory(dir, 0o755))
	}
	return archive(t, files, records...)
}

// addLibraries adds the libraries of a program, and their libraries, which are anywhere below dir.
func addLibraries(t *testing.T, files map[string]string, dir, program string) {
	t.Helper()
	f, err := elf.NewFile(strings.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	if f.Section(".interp") != nil {
		names = append(names, "ld-linux-aarch64.so.1")
	}
	for _, name := range names {
		if files["lib/"+name] != "" {
			continue
		}
		at := ""
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Name() == name {
				if _, err := os.Stat(path); err == nil { // some links lead to the root of the system
					at = path
				}
			}
			return err
		})
		if err != nil || at == "" {
			t.Fatalf("%s is nowhere below %s: %v", name, dir, err)
		}
		files["lib/"+name] = string(read(t, at))
		addLibraries(t, files, dir, files["lib/"+name])
	}
}
