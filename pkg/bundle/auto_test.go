package bundle

import (
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// TestPrefer has the rule as a table.
func TestPrefer(t *testing.T) {
	files := func(mib int64) Sizes {
		return Sizes{Files: rootfs.Stat{Pages: mib << 20, Bytes: mib << 20, Inodes: 1000, Page: 4096}}
	}
	processors := func(n int, s Sizes) Sizes {
		s.Processors = n
		return s
	}
	for name, c := range map[string]struct {
		total  int64 // MiB
		s      Sizes
		engine string
		want   Root
		why    string
	}{
		"unknown memory":            {0, files(270), "", Tmpfs, "not known"},
		"plenty":                    {960, files(270), "", Tmpfs, "at least half of the memory free"},
		"just enough for that":      {622, files(270), "", Tmpfs, "at least half"},
		"no longer":                 {621, files(270), "", SquashFS, "less than half of the 621 MiB of memory free"},
		"unpacked would boot":       {450, files(270), "", SquashFS, "less than half"},
		"unpacked would not":        {200, files(270), "", SquashFS, "less than half"},
		"larger than the memory":    {1024, files(2000), "", SquashFS, "less than half"},
		"an engine":                 {621, files(270), "podman", Tmpfs, "podman, which cannot keep its images on an overlay"},
		"an engine, little memory":  {350, files(270), "podman", SquashFS, "less than half"},
		"an engine, plenty":         {960, files(270), "podman", Tmpfs, "at least half"},
		"a small one":               {160, files(10), "", Tmpfs, "at least half"},
		"small, less than it takes": {99, files(10), "", SquashFS, "less than half"},
		"64 processors":             {600, processors(64, files(270)), "", SquashFS, "less than half"},
		"240 processors":            {550, processors(240, files(240)), "", Tmpfs, "more memory, 163 MiB of it for 240 processors"},
		"an image even so":          {600, processors(240, files(300)), "", SquashFS, "less than half"},
		"unpacked would still not":  {300, processors(240, files(240)), "", SquashFS, "less than half"},
		"plenty for any number":     {960, processors(240, files(240)), "", Tmpfs, "at least half"},
	} {
		forms, why := prefer(c.total<<20, c.s, c.engine)
		if forms[0] != c.want || !strings.Contains(why, c.why) || forms[len(forms)-1] != Tmpfs {
			t.Errorf("%s: %q, because %s; want %s, %s", name, forms, why, c.want, c.why)
		}
	}
}

// TestExpect is the same rule before the download, by the sizes of layers.
func TestExpect(t *testing.T) {
	for _, c := range []struct {
		total, size int64 // MiB
		want        Root
	}{
		{0, 1000, Tmpfs}, {960, 132, Tmpfs}, {640, 132, SquashFS}, {2048, 132, Tmpfs}, {2048, 500, SquashFS}, {960, 0, Tmpfs},
	} {
		if got := room(c.total<<20, c.total<<20).Expect(c.size << 20); got != c.want {
			t.Errorf("of layers with %d MiB, on a machine with %d, it expects %s, want %s", c.size, c.total, got, c.want)
		}
	}
}

// TestNeeds says of each form what it needs, and where it is chosen.
func TestNeeds(t *testing.T) {
	data := imagetest.File("data", strings.Repeat("0123456789abcdef", 64<<16)) // 64 MiB
	for name, c := range map[string]struct {
		entries []imagetest.Entry
		engine  bool
		why     string
	}{
		"all":         {mountable(data), false, ""},
		"an engine":   {mountable(data, imagetest.File("usr/bin/dockerd", "x")), true, ""},
		"no squashfs": {bootable(data), false, "has no module loop"},
	} {
		p, err := squashed(t, Options{Wyrinit: []byte("wyrinit"), Room: room(4<<30, 4<<30)}, c.entries...)
		if err != nil {
			t.Fatal(err)
		}
		forms, err := p.Forms(t.Context())
		list := p.Needs(forms, p.Sizes(100<<20, nil))
		if err != nil || len(list) != 3 || list[0].Root != Tmpfs || list[1].Root != SquashFS ||
			list[2].Root != EROFS || list[2].Why == nil || list[2].Auto != 0 {
			t.Fatalf("%s: %+v, %v", name, list, err)
		}
		unpacked, image := list[0], list[1]
		if unpacked.Resident < 64<<20 || unpacked.Resident > 66<<20 || image.Resident > 23<<20 {
			t.Errorf("%s: the files take %d and %d bytes", name, unpacked.Resident, image.Resident)
		}
		// The layers have to arrive, or what an image has of them.
		if unpacked.Least < 100<<20+reserve+environment || image.Least < image.Resident+reserve+environment {
			t.Errorf("%s: it boots with %d bytes, or %d", name, unpacked.Least, image.Least)
		}
		if c.why != "" {
			if image.Why == nil || !strings.Contains(image.Why.Error(), c.why) || image.Auto != 0 ||
				unpacked.Auto != unpacked.Least {
				t.Errorf("%s: %+v", name, list)
			}
			continue
		}
		// What is said of a machine's memory is what is chosen there.
		for memory, want := range map[int64]Root{unpacked.Auto: Tmpfs, unpacked.Auto - 2<<20: SquashFS} {
			q, err := squashed(t, Options{Root: Auto, Wyrinit: []byte("wyrinit"), Room: room(Usable(memory), 4<<30)},
				c.entries...)
			if c.engine && want == SquashFS {
				continue // the layers might not even arrive
			}
			if err != nil || q.Root != want {
				t.Errorf("%s: with %d MiB the root is %v, %v, want %s", name, memory>>20, q.Root, err, want)
			}
		}
		made, err := p.Make(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer made.Close()
		again := p.Needs(forms, p.Sizes(0, made))
		if again[1].Resident > 2<<20 || again[1].Least >= image.Least {
			t.Errorf("%s: with the true size %+v", name, again)
		}
	}
}

// TestProcessors counts what a mounted image takes for each processor: before the download, when the form is chosen,
// and at the end, when a machine with too little is refused.
func TestProcessors(t *testing.T) {
	data := imagetest.File("data", strings.Repeat("0123456789abcdef", 64<<16)) // 64 MiB
	for _, c := range []struct {
		processors int
		expect     Root
		chosen     Root
		err        string
	}{
		{0, SquashFS, SquashFS, ""},
		{32, SquashFS, SquashFS, ""},
		{128, Tmpfs, Tmpfs, ""},
		{240, Tmpfs, Tmpfs, "163 MiB for 240 processors) and the machine has 200 MiB; use a smaller image"},
	} {
		r := room(200<<20, 4<<30)
		r.Processors = c.processors
		if got := r.Expect(26 << 20); got != c.expect {
			t.Errorf("with %d processors it expects %s, want %s", c.processors, got, c.expect)
		}
		p, err := squashed(t, Options{Root: Auto, Wyrinit: []byte("wyrinit"), Room: r}, mountable(data)...)
		if err != nil || p.Root != c.chosen {
			t.Errorf("with %d processors the root is %v, %v, want %s", c.processors, p.Root, err, c.chosen)
		}
		p, err = squashed(t, Options{Wyrinit: []byte("wyrinit"), Room: r}, mountable(data)...)
		if err != nil {
			t.Fatal(err)
		}
		made, err := p.Make(t.Context())
		if err == nil {
			made.Close()
		}
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("with %d processors Make says %v, want %q", c.processors, err, c.err)
		}
	}
}

// TestTwiceInMemory needs more memory where the image is in the initrd.
func TestTwiceInMemory(t *testing.T) {
	s := Sizes{Stored: 100 << 20, Files: rootfs.Stat{Bytes: 300 << 20, Pages: 300 << 20}}
	once := s.Least(SquashFS)
	s.inFile = true
	if twice := s.Least(SquashFS); twice < once+80<<20 || twice > once+110<<20 {
		t.Errorf("a machine needs %d bytes, or %d if the image of 100 MiB is in the initrd", once, twice)
	}
}

// TestEngines knows what cannot keep images on an overlay, also behind a link.
func TestEngines(t *testing.T) {
	for path, want := range map[string]string{"usr/bin/podman": "podman", "usr/sbin/containerd": "containerd",
		"usr/local/bin/k3s": "k3s", "usr/bin/runc": ""} {
		opt := Options{Root: Auto, Wyrinit: []byte("wyrinit"), Room: room(4<<30, 4<<30)}
		p, err := squashed(t, opt, mountable(imagetest.File(path, "x"))...)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.engine(); got != want {
			t.Errorf("of %s it says %q, want %q", path, got, want)
		}
	}
}

// TestUsable is true of the machines that were measured, and of one with next to none.
func TestUsable(t *testing.T) {
	for machine, most := range map[int64]int64{288: 239, 448: 405, 32: 0} {
		got := Usable(machine << 20)
		if got>>20 > most || got>>20 < most-8 || got < 1 {
			t.Errorf("of %d MiB a kernel has %d, want about %d", machine, got>>20, most)
		}
	}
	for usable := int64(0); usable < 4<<30; usable += 7<<20 + 12345 {
		m := machineWith(usable)
		if Usable(m) < usable || m > 1<<20 && Usable(m-1<<20) >= usable && usable > 0 {
			t.Errorf("for %d bytes it says %d, of which a kernel has %d", usable, m, Usable(m))
		}
	}
}
