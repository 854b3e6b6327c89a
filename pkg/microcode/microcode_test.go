package microcode

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	ulikunitz "github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// made returns an update for a signature and platforms, with further signatures, whose checksums are right.
func made(signature, platforms, revision uint32, more ...[2]uint32) []byte {
	const data = 64
	b := make([]byte, intelHeader+data)
	for at, v := range map[int]uint32{0: 1, 4: revision, 8: 0x01022024, 12: signature, 20: 1, 24: platforms, 28: data} {
		le.PutUint32(b[at:], v)
	}
	copy(b[intelHeader:], fmt.Sprintf("update %x", revision))
	total := len(b)
	if len(more) > 0 {
		total += intelTable + intelEntry*len(more)
	}
	le.PutUint32(b[32:], uint32(total))
	le.PutUint32(b[16:], -sum(b))
	if len(more) == 0 {
		return b
	}
	table := make([]byte, total-len(b))
	le.PutUint32(table, uint32(len(more)))
	for i, m := range more {
		e := table[intelTable+intelEntry*i:]
		le.PutUint32(e, m[0])
		le.PutUint32(e[4:], m[1])
		le.PutUint32(e[8:], signature+platforms+le.Uint32(b[16:])-m[0]-m[1])
	}
	le.PutUint32(table[4:], -sum(table))
	return append(b, table...)
}

// container returns a container with one processor and one patch.
func container(processor uint32, patch string) []byte {
	b := le.AppendUint32(nil, amdMagic)
	b = le.AppendUint32(b, amdTable)
	b = le.AppendUint32(b, 2*amdEntry)
	table := make([]byte, 2*amdEntry) // the last entry is zero
	le.PutUint32(table, processor)
	b = append(b, table...)
	content := make([]byte, amdLeast+16)
	copy(content[amdLeast:], patch)
	b = le.AppendUint32(b, amdPatch)
	b = le.AppendUint32(b, uint32(len(content)))
	return append(b, content...)
}

func zstded(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

func xzed(b []byte, dictionary int) []byte {
	var out bytes.Buffer
	c := ulikunitz.WriterConfig{DictCap: dictionary, Matcher: lzma.HashTable4}
	w, err := c.NewWriter(&out)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}

// files is an image.
type files map[string][]byte

func (f files) Names(dir string) ([]string, error) {
	var names []string
	for name := range f {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			names = append(names, rest)
		}
	}
	if names == nil {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	slices.Sort(names)
	return names, nil
}

func (f files) Read(name string, limit int64) ([]byte, error) {
	if b := f[name]; int64(len(b)) <= limit {
		return b, nil
	}
	return nil, errors.New("too large")
}

// The processors of the tests: 06-8e-0a of platform 0xc0, and family 17h.
var (
	kabyLake = Processor{Vendor: intel, Family: 6, Model: 0x8e, Stepping: 10, Platform: 0x80}
	zen      = Processor{Vendor: amd, Family: 0x17, Model: 0x31, Stepping: 0}
)

const (
	kabyLakeSignature = 0x806ea
	zenSignature      = 0x830f10
)

func TestSignature(t *testing.T) {
	for _, c := range []struct {
		p    Processor
		want uint32
	}{
		{kabyLake, kabyLakeSignature}, {zen, zenSignature},
		{Processor{Vendor: intel, Family: 6, Model: 0x0f, Stepping: 11}, 0x6fb},
		{Processor{Vendor: intel, Family: 15, Model: 4, Stepping: 3}, 0xf43},
	} {
		if got := c.p.signature(); got != c.want {
			t.Errorf("%+v has signature %#x, want %#x", c.p, got, c.want)
		}
	}
}

func TestGather(t *testing.T) {
	const dir, amdDir = "/lib/firmware/intel-ucode/", "/lib/firmware/amd-ucode/"
	mine := made(kabyLakeSignature, 0xc0, 0xf4)
	older := made(kabyLakeSignature, 0xc0, 0xf0)
	otherPlatform := made(kabyLakeSignature, 0x02, 0xf5)
	listed := made(0x806e9, 0x10, 7, [2]uint32{0x806ec, 0x94}, [2]uint32{kabyLakeSignature, 0x80})
	listedElse := made(0x806e9, 0x10, 8, [2]uint32{kabyLakeSignature, 0x02})
	zen17 := container(zenSignature, "zen 2")
	join := func(all ...[]byte) []byte { return bytes.Join(all, nil) }
	unknown := kabyLake
	unknown.Platform = 0
	one := func(p ...Processor) Wanted { return Wanted{Processors: p} }
	damaged := bytes.Clone(mine)
	damaged[60]++

	for name, c := range map[string]struct {
		img        files
		wanted     Wanted
		intel, amd []byte
		trouble    string
	}{
		"no image":     {nil, one(kabyLake, zen), nil, nil, ""},
		"nothing":      {files{dir + "06-8e-09": mine}, one(kabyLake), nil, nil, ""},
		"nobody":       {files{dir + "06-8e-0a": mine}, Wanted{}, nil, nil, ""},
		"mine":         {files{dir + "06-8e-0a": mine, dir + "06-8e-09": older}, one(kabyLake), mine, nil, ""},
		"for initrds":  {files{dir + "06-8e-0a.initramfs": mine}, one(kabyLake), mine, nil, ""},
		"zstd":         {files{dir + "06-8e-0a.zst": zstded(mine)}, one(kabyLake), mine, nil, ""},
		"xz":           {files{dir + "06-8e-0a.xz": xzed(mine, 1<<20)}, one(kabyLake), mine, nil, ""},
		"xz initramfs": {files{dir + "06-8e-0a.initramfs.xz": xzed(mine, 1<<20)}, one(kabyLake), mine, nil, ""},
		"both forms": {files{dir + "06-8e-0a": mine, dir + "06-8e-0a.xz": xzed(mine, 1<<20)}, one(kabyLake), mine,
			nil, ""},
		"by platform": {files{dir + "06-8e-0a": join(otherPlatform, mine)}, one(kabyLake), mine, nil, ""},
		"any platform": {files{dir + "06-8e-0a": join(otherPlatform, mine)}, one(unknown), join(otherPlatform, mine),
			nil, ""},
		"listed":        {files{dir + "06-8e-0a": join(listedElse, listed)}, one(kabyLake), listed, nil, ""},
		"all revisions": {files{dir + "06-8e-0a": join(older, mine)}, one(kabyLake), join(older, mine), nil, ""},
		"usr/lib":       {files{"/usr" + dir + "06-8e-0a": mine}, one(kabyLake), mine, nil, ""},
		"the first folder": {
			files{dir + "06-8e-0a": mine, "/usr" + dir + "06-8e-0a": older}, one(kabyLake), mine, nil, ""},
		"the second folder": {
			files{dir + "06-8e-09": older, "/usr" + dir + "06-8e-0a": mine}, one(kabyLake), mine, nil, ""},
		"damaged": {files{dir + "06-8e-0a": damaged}, one(kabyLake), nil, nil,
			"06-8e-0a of the image is not used: the checksum"},
		"damaged at its end": {files{dir + "06-8e-0a": join(mine, damaged)}, one(kabyLake), mine, nil, "checksum"},
		"more at its end": {files{dir + "06-8e-0a": join(mine, []byte("more"))}, one(kabyLake), mine, nil,
			"4 bytes at its end"},
		"cut short": {files{dir + "06-8e-0a": mine[:len(mine)-4]}, one(kabyLake), nil, nil, "cut short"},
		"large":     {files{dir + "06-8e-0a": make([]byte, maxFile+1)}, one(kabyLake), nil, nil, "too large"},
		"a bomb": {files{dir + "06-8e-0a.zst": zstded(make([]byte, maxFile+1))}, one(kabyLake), nil, nil,
			"more than 16384 KiB"},
		"a large dictionary": {
			files{dir + "06-8e-0a.xz": xzed(mine, 96<<20)}, one(kabyLake), nil, nil, "dictionary"},
		"no xz": {files{dir + "06-8e-0a.xz": []byte("\xfd7zXZ\x00 and no more")}, one(kabyLake), nil, nil, "not used"},

		"AMD":     {files{amdDir + "microcode_amd_fam17h.bin": zen17, dir + "06-8e-0a": mine}, one(zen), nil, zen17, ""},
		"AMD, xz": {files{amdDir + "microcode_amd_fam17h.bin.xz": xzed(zen17, 1<<20)}, one(zen), nil, zen17, ""},
		"AMD, before": {files{amdDir + "microcode_amd.bin": zen17}, one(Processor{Vendor: amd, Family: 0x14}), nil, zen17,
			""},
		"AMD, other": {files{amdDir + "microcode_amd_fam19h.bin": zen17}, one(zen), nil, nil, ""},
		"AMD, cut": {
			files{amdDir + "microcode_amd_fam17h.bin": zen17[:len(zen17)-1]}, one(zen), nil, nil, "a patch is cut short"},
		"AMD, text": {files{amdDir + "microcode_amd_fam17h.bin": []byte("hello, world")}, one(zen), nil, nil, "no container"},
		"all": {files{
			dir + "06-8e-0a": mine, dir + "06-8e-0b": join(mine, older), dir + "LICENSE": []byte("text"),
			dir + "06-8e-0c": otherPlatform, amdDir + "README": []byte("text"),
			amdDir + "microcode_amd.bin": zen17, amdDir + "microcode_amd_fam19h.bin": container(1, "zen 3"),
			amdDir + "microcode_amd_fam19h.bin.asc": []byte("a signature"),
		}, Wanted{All: true}, join(mine, older, otherPlatform), join(zen17, container(1, "zen 3")), ""},
		"two processors": {files{dir + "06-8e-0a": mine, dir + "06-8e-09": made(0x806e9, 0xc0, 1)},
			one(kabyLake, Processor{Vendor: intel, Family: 6, Model: 0x8e, Stepping: 9}),
			join(made(0x806e9, 0xc0, 1), mine), nil, ""},
	} {
		set, troubles := Gather(c.img, c.wanted)
		if !bytes.Equal(set.Intel, c.intel) || !bytes.Equal(set.AMD, c.amd) {
			t.Errorf("%s: %d bytes for Intel and %d for AMD, want %d and %d", name,
				len(set.Intel), len(set.AMD), len(c.intel), len(c.amd))
		}
		if said := strings.Join(troubles, "\n"); said != "" != (c.trouble != "") || !strings.Contains(said, c.trouble) {
			t.Errorf("%s: %q, want a sentence with %q", name, troubles, c.trouble)
		}
	}
}

// TestGatherLimits has more files than anybody wants to read about, or to have in memory.
func TestGatherLimits(t *testing.T) {
	img := files{}
	for i := range 100 {
		img[fmt.Sprintf("/lib/firmware/intel-ucode/06-00-%02x", i)] = []byte("damaged")
	}
	if set, troubles := Gather(img, Wanted{All: true}); set.Size() != 0 || len(troubles) != most {
		t.Errorf("Gather of damaged files = %d bytes, %d sentences", set.Size(), len(troubles))
	}
	img = files{}
	patch := container(1, "x")
	for i := range 6 {
		file := bytes.Repeat(patch, maxFile/len(patch))
		le.PutUint32(file[amdHeader:], uint32(i)) // another file each
		img[fmt.Sprintf("/lib/firmware/amd-ucode/microcode_amd%d.bin", i)] = file
	}
	set, troubles := Gather(img, Wanted{All: true})
	if set.Size() > maxAll || set.Size() < maxAll/2 || len(troubles) == 0 || !strings.Contains(troubles[0], "64 MiB") {
		t.Errorf("Gather of large files = %d bytes, %q", set.Size(), troubles)
	}
}

// find returns what find_cpio_data in lib/earlycpio.c finds, and where that is.
func find(data []byte, path string) (content []byte, at int) {
	hex := func(i, field int) int {
		n, err := strconv.ParseUint(string(data[i+6+8*field:i+14+8*field]), 16, 32)
		if err != nil {
			return -1
		}
		return int(n)
	}
	for i := 0; len(data)-i > 110; {
		if data[i] == 0 {
			i += 4
			continue
		}
		if string(data[i:i+6]) != "070701" {
			return nil, 0
		}
		name := hex(i, 11)
		from := (i + 110 + name + 3) &^ 3
		next := (from + hex(i, 6) + 3) &^ 3
		if name < 0 || from > len(data) || next > len(data) {
			return nil, 0
		}
		if hex(i, 1)&0o170000 == 0o100000 && name >= len(path) && string(data[i+110:i+110+len(path)]) == path {
			if name-len(path) >= 18 { // MAX_CPIO_FILE_NAME: it would warn
				return nil, 0
			}
			return data[from : from+hex(i, 6)], from
		}
		i = next
	}
	return nil, 0
}

func TestArchive(t *testing.T) {
	if b := (Set{}).Archive(); b != nil {
		t.Errorf("an archive of nothing has %d bytes", len(b))
	}
	for size := 1; size < 40; size++ {
		set := Set{Intel: bytes.Repeat([]byte("i"), size), AMD: bytes.Repeat([]byte("a"), 40-size)}
		b := set.Archive()
		if len(b)%512 != 0 {
			t.Fatalf("%d bytes", len(b))
		}
		// Whatever follows, Linux finds both.
		b = append(b, "\x28\xb5\x2f\xfd, a frame of zstd"...)
		for path, want := range map[string][]byte{
			"kernel/x86/microcode/GenuineIntel.bin": set.Intel, "kernel/x86/microcode/AuthenticAMD.bin": set.AMD,
		} {
			if got, at := find(b, path); !bytes.Equal(got, want) || at%16 != 0 {
				t.Errorf("%d: %s has %d bytes at %d, want %d at a multiple of 16", size, path, len(got), at, len(want))
			}
		}
	}
	if got, _ := find((Set{AMD: []byte("amd")}).Archive(), "kernel/x86/microcode/GenuineIntel.bin"); got != nil {
		t.Errorf("an archive without Intel's microcode has %q", got)
	}
}

func FuzzUpdates(f *testing.F) {
	f.Add(made(kabyLakeSignature, 0xc0, 1))
	f.Add(append(made(1, 2, 3, [2]uint32{kabyLakeSignature, 0x80}), made(4, 5, 6)...))
	f.Fuzz(func(t *testing.T, file []byte) {
		all, err := Wanted{All: true}.updates(nil, file, map[string]bool{})
		if len(all) > len(file) {
			t.Fatalf("%d bytes of %d", len(all), len(file))
		}
		// What is taken is never refused: one damaged byte would have Linux take nothing at all.
		again, aerr := Wanted{All: true}.updates(nil, all, map[string]bool{})
		if aerr != nil || !bytes.Equal(all, again) {
			t.Fatalf("%d bytes, %v; again %d, %v", len(all), err, len(again), aerr)
		}
		one, _ := Wanted{Processors: []Processor{kabyLake}}.updates(nil, file, map[string]bool{})
		if len(one) > len(all) {
			t.Fatalf("one processor takes %d bytes, all take %d", len(one), len(all))
		}
	})
}

func FuzzContainers(f *testing.F) {
	f.Add(container(zenSignature, "patch"))
	f.Add(append(container(1, "a"), container(2, "b")...))
	f.Fuzz(func(t *testing.T, file []byte) {
		if checkContainers(file) == nil && checkContainers(append(bytes.Clone(file), container(1, "a")...)) != nil {
			t.Error("two good files are not good together")
		}
	})
}
