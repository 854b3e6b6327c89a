package bundle

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
)

// unpack unpacks archives in a row as the kernel does: each one compressed or not, with zeros between them. It returns
// the names in the last one and the content of the record.
func unpack(t *testing.T, b []byte) (last []string, record string) {
	t.Helper()
	const magic = "070701"
	start := bytes.LastIndex(b, []byte(magic)) // of the trailer
	if start = bytes.LastIndex(b[:start], []byte(magic)); start < 0 || start%4 != 0 {
		t.Fatalf("the record's archive begins at %d: the kernel finds it only at a multiple of 4", start)
	}
	cmd := exec.Command("cpio", "-i", "--quiet", "--to-stdout")
	cmd.Stdin = bytes.NewReader(b[start:])
	content, err := cmd.Output()
	if err != nil {
		t.Fatalf("cpio = %v", err)
	}
	cmd = exec.Command("cpio", "-t", "--quiet")
	cmd.Stdin = bytes.NewReader(b[start:])
	names, err := cmd.Output()
	if err != nil {
		t.Fatalf("cpio = %v", err)
	}
	return strings.Fields(string(names)), string(content)
}

// TestRecord adds records of several lengths to initrds of each form.
func TestRecord(t *testing.T) {
	for packing, room := range map[initrd.Compression]Room{
		initrd.None: room(4<<30, 4<<30), initrd.Zstd: {},
	} {
		for n := range 5 {
			data := imagetest.File("data", strings.Repeat("x", 1<<20+n))
			content := "record" + strings.Repeat("!", n)
			var told Bundle
			opt := Options{Wyrinit: []byte("wyrinit"), Room: room, Record: func(b *Bundle) []byte {
				told = *b
				return []byte(content)
			}}
			p := inspect(t, opt, bootable(data)...)
			if p.Packing != packing {
				t.Fatalf("the packing is %v, want %v", p.Packing, packing)
			}
			b, err := p.Make(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(io.NewSectionReader(b.Initrd, 0, 1<<30))
			if err != nil {
				t.Fatal(err)
			}
			names, got := unpack(t, all)
			if want := []string{inTree(handover.Record)}; fmt.Sprint(names) != fmt.Sprint(want) || got != content {
				t.Errorf("%v: the last archive has %q with %q, want %q with %q", packing, names, got, want, content)
			}
			// Before it is what there would be without it.
			opt.Record = nil
			plain, err := inspect(t, opt, bootable(data)...).Make(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			before, err := io.ReadAll(io.NewSectionReader(plain.Initrd, 0, 1<<30))
			if err != nil || !bytes.HasPrefix(all, before) {
				t.Errorf("%v: the record changes the archive before it, %v", packing, err)
			}
			if told.Size != plain.Size || told.Packing != packing || told.Memory != plain.Memory ||
				told.Version != version {
				t.Errorf("%v: the record is told %+v, want what %+v has", packing, told, plain)
			}
			if int64(len(all)) != b.Size || b.Cmdline != plain.Cmdline {
				t.Errorf("%v: the bundle says %d bytes and %q, want %d and %q",
					packing, b.Size, b.Cmdline, len(all), plain.Cmdline)
			}
			plain.Close()
			b.Close()
		}
	}
}

// TestNoRecord makes bundles in which there is nobody to leave a record, and such as want none.
func TestNoRecord(t *testing.T) {
	calls := 0
	asked := func(*Bundle) []byte { calls++; return []byte("record") }
	none := func(*Bundle) []byte { calls++; return nil }
	wyrinit, taken := []byte("wyrinit"), "the path is taken"
	for name, row := range map[string]struct {
		opt   Options
		calls int
	}{
		"wyr.root=initramfs":   {Options{Record: asked}, 0},
		"one archive":          {Options{Record: asked, Wyrinit: wyrinit, Single: true}, 0},
		taken:                  {Options{Record: asked, Wyrinit: wyrinit}, 0},
		"not asked for":        {Options{Wyrinit: wyrinit}, 0},
		"it cannot be written": {Options{Wyrinit: wyrinit, Record: none}, 1},
	} {
		calls = 0
		row.opt.Room = room(4<<30, 4<<30) // so that nothing is compressed
		var more []imagetest.Entry
		if name == taken {
			more = append(more, imagetest.Dir(".wyrcan"))
		}
		b, err := inspect(t, row.opt, bootable(more...)...).Make(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names, _ := records(t, b.Initrd)
		if calls != row.calls {
			t.Errorf("%s: the record was asked for %d times, want %d", name, calls, row.calls)
		}
		all, err := io.ReadAll(io.NewSectionReader(b.Initrd, 0, 1<<30))
		if err != nil || bytes.Contains(all, []byte(inTree(handover.Record))) {
			t.Errorf("%s: the initrd with %q has a record, %v", name, names, err)
		}
		b.Close()
	}
}
