package netconf

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	one := func(entries ...Entry) []Section { return []Section{{"Network", entries}} }
	for _, tt := range []struct {
		name, text string
		want       []Section
		warnings   int
	}{
		{"empty", "", nil, 0},
		{"plain", "[Network]\nDHCP=yes\n", one(Entry{"DHCP", "yes"}), 0},
		{"no newline at the end", "[Network]\nDHCP=yes", one(Entry{"DHCP", "yes"}), 0},
		{"carriage returns", "[Network]\r\nDHCP=yes\r\n", one(Entry{"DHCP", "yes"}), 0},
		{"byte order mark", "\ufeff[Network]\nDHCP=yes\n", one(Entry{"DHCP", "yes"}), 0},
		{"spaces", "  [Network]\n\t DHCP \t=  yes \n", one(Entry{"DHCP", "yes"}), 0},
		{"comments", "# a\n[Network]\n; b\n  # c\nDNS=1.1.1.1 # no comment\n",
			one(Entry{"DNS", "1.1.1.1 # no comment"}), 0},
		{"value with equals sign", "[Network]\nA=b=c\n", one(Entry{"A", "b=c"}), 0},
		{"empty value", "[Network]\nA=\n", one(Entry{"A", ""}), 0},
		{"continued", "[Network]\nDNS=1.1.1.1 \\\n2.2.2.2\n", one(Entry{"DNS", "1.1.1.1  2.2.2.2"}), 0},
		{"continued over a comment", "[Network]\nDNS=1.1.1.1 \\\n# no\n2.2.2.2\n",
			one(Entry{"DNS", "1.1.1.1  2.2.2.2"}), 0},
		{"continued to the end", "[Network]\nDNS=1.1.1.1\\", one(Entry{"DNS", "1.1.1.1"}), 0},
		{"repeated key and section", "[A]\nx=1\nx=2\n[A]\nx=3\n",
			[]Section{{"A", []Entry{{"x", "1"}, {"x", "2"}}}, {"A", []Entry{{"x", "3"}}}}, 0},
		{"before any section", "DHCP=yes\n[Network]\n", []Section{{Name: "Network"}}, 1},
		{"no assignment", "[Network]\nDHCP\n", []Section{{Name: "Network"}}, 1},
		{"no key", "[Network]\n=yes\n", []Section{{Name: "Network"}}, 1},
		{"broken heading hides what follows", "[Network]\nA=1\n[Link\nB=2\n[C]\nD=4\n",
			[]Section{{"Network", []Entry{{"A", "1"}}}, {"C", []Entry{{"D", "4"}}}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, warnings, err := Read(strings.NewReader(tt.text), "lan", Network)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, f.Sections); diff != "" {
				t.Errorf("sections of %q (-want +got):\n%s", tt.text, diff)
			}
			if len(warnings) != tt.warnings {
				t.Errorf("warnings of %q = %q, want %d", tt.text, warnings, tt.warnings)
			}
		})
	}
	if _, _, err := Read(strings.NewReader("[A]\n"+strings.Repeat("x=1\\\n", 1<<19)), "lan", Network); err == nil {
		t.Error("a line without end was taken")
	}
}

func TestReadDirs(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	root := fstest.MapFS{
		"etc/systemd/network/20-b.network":              file("[Match]\nName=b\n"),
		"etc/systemd/network/10-a.network":              file("[Match]\nName=a\n"),
		"etc/systemd/network/10-a.network.d/2.conf":     file("[Network]\nDNS=2.2.2.2\n"),
		"etc/systemd/network/10-a.network.d/1.conf":     file("[Network]\nDNS=1.1.1.1\n"),
		"etc/systemd/network/10-a.network.d/README":     file("nothing\n"),
		"usr/lib/systemd/network/10-a.network.d/1.conf": file("[Network]\nDNS=9.9.9.9\n"),
		"usr/lib/systemd/network/10-a.network.d/3.conf": file("[Network]\nDNS=3.3.3.3\n"),
		"usr/lib/systemd/network/20-b.network":          file("[Match]\nName=hidden\n"),
		"usr/lib/systemd/network/99-default.link":       file("[Match]\nOriginalName=*\n"),
		"usr/lib/systemd/network/80-vm.netdev":          file("[NetDev]\nName=x\nKind=dummy\n"),
		"etc/systemd/network/80-vm.netdev":              file(""),
		"etc/systemd/network/notes.txt":                 file("x"),
	}
	files, warnings := ReadDirs(root, Dirs)
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	var got []string
	for _, f := range files {
		got = append(got, strings.ReplaceAll(strings.TrimSpace(f.fileName()+" "+f.String()), "\n", " "))
	}
	want := []string{
		"10-a.network [Match] Name=a  [Network] DNS=1.1.1.1  [Network] DNS=2.2.2.2  [Network] DNS=3.3.3.3",
		"20-b.network [Match] Name=b",
		"80-vm.netdev",
		"99-default.link [Match] OriginalName=*",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// FuzzRead checks that any text is read without a panic, and that a file that was read stays the same when it is
// written and read again.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"[Network]\nDHCP=yes\n", "[A]\nb=c\\\nd\n", "[\n=\n#\n;\n", "\ufeff[x]y=z\n[x]\n=",
		"[Match]\nName=!eth0 \"e t\" *\n[Address]\nAddress=::/0\n"} {
		f.Add(s)
	}
	for _, kind := range knownKeys { // every key once, with difficult values
		for section, keys := range kind {
			for _, value := range []string{"", `""`, "!", "-", "::", "99999999999999999999", "a:b:c", "yes"} {
				text := "[" + section + "]\n"
				for key := range strings.FieldsSeq(keys) {
					text += key + "=" + value + "\n"
				}
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, _, err := Read(strings.NewReader(s), "f", Network)
		if err != nil {
			return
		}
		for _, kind := range []Kind{Link, NetDev, Network} {
			a.Kind = kind
			Parse([]File{a})
		}
		a.Kind = Network
		b, warnings, err := Read(strings.NewReader(a.String()), "f", Network)
		if err != nil {
			t.Fatal(err)
		}
		// Only in a joined line can a key start like a comment or a heading. Such a key does not survive.
		for _, sec := range a.Sections {
			for _, e := range sec.Entries {
				if e.Key != "" && strings.ContainsAny(e.Key[:1], "#;[\ufeff") || strings.HasSuffix(e.Value, `\`) {
					return
				}
			}
			if strings.HasSuffix(sec.Name, `\`) {
				return
			}
		}
		if diff := cmp.Diff(a.Sections, b.Sections); diff != "" || len(warnings) > 0 {
			t.Errorf("%q was read as %q and then (-first +second):\n%s%v", s, a.Sections, diff, warnings)
		}
	})
}
