package bundle

import (
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestSetAside reads what kernels reserve: Documentation/admin-guide/kernel-parameters.txt and kdump/kdump.rst.
func TestSetAside(t *testing.T) {
	const mib = 1 << 20
	for line, want := range map[string]int64{
		"":                                 0,
		"quiet crashkernelx=1":             0,
		"crashkernel=256M":                 256,
		"crashkernel=256M@16M":             256,
		"crashkernel=0x100000":             1,
		"crashkernel=64M crashkernel=128m": 128, // the last one
		"crashkernel=1G,high":              1024,
		"crashkernel=1G,high crashkernel=128M,low": 1152,
		"crashkernel=512M-2G:64M,2G-:128M":         128, // 2000 MiB are 2 GiB
		"crashkernel=512M-2G:64M,4G-:128M":         0,
		"crashkernel=512M-:64M,2G-:128M":           64, // the first one that fits
		"crashkernel=2G-512M:64M":                  0,
		"crashkernel=auto":                         0,
		"crashkernel=":                             0,
		"crashkernel=99999999999999999999G":        0,
		"crashkernel=9999999999G":                  1900,
		"mem=1500M":                                500,
		"mem=4G":                                   0,
		"mem=nopentium":                            0,
		"mem=1900M mem=1G":                         976,
		"hugepages=100":                            200,
		"hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=10": 1044,
		"default_hugepagesz=1G hugepages=1":                    1024,
		"hugepagesz=x hugepages=2":                             4,
		"hugepages=0:2,1:3":                                    10,
		"hugepages=x":                                          0,
		"hugepages=-1":                                         0,
		"hugepages=2147483647 default_hugepagesz=1P hugepages=2147483647": 1900,
		"crashkernel=256M hugepages=100 mem=1500M":                        956,
		"-- crashkernel=256M":                                             256, // the kernel looks at the whole line for this one
	} {
		if got := setAside(line, 1900*mib, 2000*mib); got != want*mib {
			t.Errorf("%s: %d bytes, want %d MiB", line, got, want)
		}
	}
}

// TestSetAsideRefused refuses a container whose kernel would keep the memory back that its files need, and says so. Where
// there is enough, it counts for the limit of the root.
func TestSetAsideRefused(t *testing.T) {
	entries := bootable(imagetest.File("usr/data", strings.Repeat("x", 200<<20)))
	r := room(600<<20, 500<<20)
	for line, want := range map[string]string{"": "", "crashkernel=350M": "and the machine has 600 MiB, of which the container's " +
		"command line keeps 350 MiB back; "} {
		p, err := Inspect(t.Context(), tree(t, entries...), Options{Room: r, Args: []string{line}})
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: Inspect = %v, want %q", line, err, want)
		}
		if err == nil {
			p.Close()
		}
	}
	r = room(1000<<20, 500<<20)
	for line, lifts := range map[string]bool{"": false, "crashkernel=600M": true} {
		p := inspect(t, Options{Room: r, Args: []string{line}}, entries...)
		made, err := p.Make(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(made.Cmdline, liftCap); got != lifts {
			t.Errorf("%q: the line is %q", line, made.Cmdline)
		}
		made.Close()
	}
}

// FuzzSetAside reads any line. The result is between nothing and everything.
func FuzzSetAside(f *testing.F) {
	f.Add("crashkernel=1G-2G:64M,2G-:128M@16M,high hugepagesz=1G hugepages=0:1 mem=1G", int64(1<<30), int64(2<<30))
	f.Fuzz(func(t *testing.T, line string, total, all int64) {
		total, all = max(total, 0), max(all, 0)
		if n := setAside(line, total, all); n < 0 || n > total {
			t.Errorf("of %d bytes it takes %d", total, n)
		}
	})
}
