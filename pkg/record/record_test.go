package record

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// whole returns a record that has everything.
func whole() Record {
	return Record{
		Form: Form, Wyrcan: "3.0", By: Wyrboot, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Image: Image{
			Asked: "registry.example/debian", Name: "registry.example/debian:latest", From: "mirror.example/debian",
			Index: digest("a"), Manifest: digest("b"), Config: digest("c"), Platform: "linux/amd64",
		},
		Signers: []string{digest("d")},
		Initrd:  Initrd{RootHash: strings.Repeat("e", 64), Packing: "zstd", Bytes: 5 << 30},
		Memory:  Memory{Total: 1 << 40, Available: 1 << 30, Needed: 1 << 20},
		Stages:  []Stage{{"network", 1.25}, {"pull", 3}},
		Network: []Link{{
			Name: "eth0", MAC: "52:54:00:12:34:56", Driver: "virtio_net", File: "lan", MTU: 1500, Carrier: true, Usable: true,
			Addresses: []string{"192.0.2.2/24"}, Gateways: []string{"192.0.2.1"}, DNS: []string{"192.0.2.3"},
			NTP: []string{"ntp.example"}, Domains: []string{"lan.example"}, Servers: []string{"DHCP server 192.0.2.1"},
			Problem: "<nothing> & more",
		}},
	}
}

// TestRound writes and reads records: nothing is lost, and the same record gives the same bytes.
func TestRound(t *testing.T) {
	least := Record{Image: Image{Asked: "x"}}
	for _, r := range []Record{whole(), least} {
		b, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := r.Marshal()
		if err != nil || !bytes.Equal(b, again) {
			t.Errorf("Marshal gives other bytes at the second time, %v:\n%s\n%s", err, b, again)
		}
		got, err := Parse(b)
		want := r
		want.Form = Form
		want.fill()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(Marshal) = %+v, %v, want %+v", got, err, want)
		}
		if bytes.Contains(b, []byte("null")) || !bytes.HasSuffix(b, []byte("}\n")) {
			t.Errorf("Marshal = %s", b)
		}
	}
	if b, _ := whole().Marshal(); !bytes.Contains(b, []byte(`"time": "2026-01-02T03:04:05Z"`)) ||
		!bytes.Contains(b, []byte(`"<nothing> & more"`)) || !bytes.Contains(b, []byte(`"bytes": 5368709120`)) {
		t.Errorf("Marshal = %s", b)
	}
}

// TestTime has clocks with another zone and with parts of a second.
func TestTime(t *testing.T) {
	r := whole()
	want, _ := r.Marshal()
	r.Time = r.Time.Add(999 * time.Millisecond).In(time.FixedZone("here", 3600))
	if got, err := r.Marshal(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("in another zone Marshal = %s, %v, want %s", got, err, want)
	}
}

// TestDocumented compares the names of the members with those that people and scripts use.
func TestDocumented(t *testing.T) {
	b, err := whole().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"form": 1.0, "wyrcan": "3.0", "by": "wyrboot", "image.asked": "registry.example/debian",
		"image.name": "registry.example/debian:latest", "image.from": "mirror.example/debian", "image.index": digest("a"),
		"image.manifest": digest("b"), "image.config": digest("c"), "image.platform": "linux/amd64",
		"initrd.packing": "zstd", "memory.needed": float64(1 << 20),
	} {
		at := any(got)
		for name := range strings.SplitSeq(path, ".") {
			at = at.(map[string]any)[name]
		}
		if at != want {
			t.Errorf("%s is %v, want %v", path, at, want)
		}
	}
}

// TestDocuments looks for each member in the table of the documents.
func TestDocuments(t *testing.T) {
	b, err := os.ReadFile("../../docs/host-tool.md")
	if err != nil {
		t.Fatal(err)
	}
	var names func(of reflect.Type, prefix string)
	names = func(of reflect.Type, prefix string) {
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[time.Time]() {
				names(f.Type, name+".")
			} else if !strings.Contains(string(b), "`"+prefix+name+"`") {
				t.Errorf("docs/host-tool.md does not have %s%s", prefix, name)
			}
		}
	}
	names(reflect.TypeFor[Record](), "")
}

func TestRefuses(t *testing.T) {
	good, err := whole().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	replaced := func(old, by string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("the record has no %s", old)
		}
		return strings.Replace(string(good), old, by, 1)
	}
	for name, row := range map[string]struct{ text, want string }{
		"empty":              {"", "not the JSON of a record"},
		"cut short":          {string(good[:len(good)/2]), "not the JSON of a record"},
		"more behind":        {string(good) + "{}", "not the JSON of a record"},
		"a list":             {"[]", "not the JSON of a record"},
		"null":               {"null", "form 0"},
		"another form":       {replaced(`"form": 1`, `"form": 2`), "a wyrcan as new as"},
		"no image":           {replaced(`"asked": "registry.example/debian"`, `"asked": ""`), "names no image"},
		"a short digest":     {replaced(digest("b"), "sha256:bb"), `"sha256:bb" in it is not a digest`},
		"not hex":            {replaced(digest("a"), "sha256:"+strings.Repeat("G", 64)), "not a digest"},
		"no algorithm":       {replaced(digest("c"), strings.Repeat("c", 64)), "not a digest"},
		"a strange kind":     {replaced(digest("c"), "md5:"+strings.Repeat("c", 32)), "not a digest"},
		"no root hash":       {replaced(strings.Repeat("e", 64), "e"), `"e" in it is not a root hash`},
		"a bad signer":       {replaced(digest("d"), "me"), `"me" in it is not a digest`},
		"not UTF-8":          {replaced("eth0", "eth\xff"), "not UTF-8"},
		"giant":              {strings.Repeat(" ", MaxSize) + string(good), "at most 1048576"},
		"a number too large": {replaced("5368709120", "99999999999999999999"), "not the JSON of a record"},
	} {
		if r, err := Parse([]byte(row.text)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: Parse = %+v, %v, want an error with %q", name, r, err, row.want)
		}
	}
	for name, change := range map[string]func(*Record){
		"no image": func(r *Record) { r.Image.Asked = "" },
		"giant":    func(r *Record) { r.Network = make([]Link, 1<<14) },
		"digest":   func(r *Record) { r.Image.Config = "x" },
	} {
		r := whole()
		if change(&r); true {
			if b, err := r.Marshal(); err == nil {
				t.Errorf("%s: Marshal wrote %d bytes", name, len(b))
			}
		}
	}
}

// TestLater reads what a later Wyrcan has added.
func TestLater(t *testing.T) {
	b, err := whole().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	later := bytes.Replace(b, []byte("{"), []byte(`{"colour": {"of": "the case"},`), 1)
	if got, err := Parse(later); err != nil || !reflect.DeepEqual(got, whole()) {
		t.Errorf("Parse = %+v, %v", got, err)
	}
}

// FuzzParse reads records of strangers: what is accepted can be written and read again.
func FuzzParse(f *testing.F) {
	b, err := whole().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"form":1,"image":{"asked":"x"}}`))
	f.Add([]byte(`{"form":1,"image":{"asked":"\u0000"},"network":[null,{}],"stages":[{"seconds":1e308}],"time":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		out, err := r.Marshal()
		if err != nil { // a time without a form in RFC 3339, or texts that grow beyond the limit
			return
		}
		again, err := Parse(out)
		r.Time = again.Time
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("Parse(Marshal(%+v)) = %+v, %v", r, again, err)
		}
	})
}
