package registries

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

// plain returns a value as the library's decoder gives it: nil for what is neither a string, a bool, an array nor a
// table.
func plain(v any) any {
	list := func(n int, at func(int) any) any {
		out := make([]any, n)
		for i := range out {
			out[i] = plain(at(i))
		}
		return out
	}
	entries := func(m map[string]any) any {
		out := map[string]any{}
		for k, v := range m {
			out[k] = plain(v)
		}
		return out
	}
	switch v := v.(type) {
	case string, bool:
		return v
	case *table:
		return entries(v.values)
	case map[string]any:
		return entries(v)
	case array:
		return list(len(v), func(i int) any { return v[i] })
	case []any:
		return list(len(v), func(i int) any { return v[i] })
	case tables:
		return list(len(v), func(i int) any { return v[i] })
	}
	return nil
}

// documents are TOML files, some of them wrong.
var documents = []string{
	"", "a = 1", "a = 'x'\nb = \"y\\tz\"\nc = true\nd = false", "a.b.c = 'x'\na.b.d = 'y'",
	"[a]\nb = 'x'\n[a.c]\nd = 'y'\n[e.f.g]\nh = 'z'", "[[a]]\nb = '1'\n[[a.c]]\nd = '2'\n[[a.c]]\nd = '3'\n[[a]]\nb = '4'",
	"a = [ 'x', # why\n 'y', ]\nb = [[], ['z']]", "a = {b = 'x', c.d = true}\nb = [{c = 'x'}, {}]",
	"[[a]]\n[a.b]\nc = 'x'\n[[a]]\n[a.b]\nc = 'y'", "\"a b\" = 'x'\n'c.d' = 'y'",
	"a = '''\nx\ny'''\nb = \"\"\"\\\n  z\"\"\"",
	"a = 1979-05-27T07:32:00Z\nb = 0x10\nc = 1.5\nd = inf", "[a.b]\n[a]\nc = 'x'",
	// wrong ones
	"a", "a =", "= 'x'", "a = x", "[a", "[[a]", "a = 'x", "a = 'x' b = 'y'", "a = 'x'\na = 'y'", "[a]\n[a]", "[a]\n[[a]]",
	"[[a]]\n[a]", "a = ['x']\n[[a]]", "a = {}\n[a]", "a = {}\n[a.b]", "a = {}\na.b = 'x'", "a = 'x'\na.b = 'y'",
	"a = 1\n[a]", "a = 1\na.b = 1", "a = 1\na = 2", "a = {b = 'x', b = 'y'}", "a = \"\\q\"", "a = [1 2]",
}

// parseTOML reads what the library's own decoder reads, and refuses what it refuses.
func TestTOML(t *testing.T) {
	for _, text := range documents {
		got, err := parseTOML(text)
		want := map[string]any{}
		if wrong := toml.Unmarshal([]byte(text), &want); wrong != nil || err != nil {
			if (wrong == nil) != (err == nil) {
				t.Errorf("%q: parseTOML says %v, the library's decoder %v", text, err, wrong)
			}
			continue
		}
		if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	}
}

func FuzzTOML(f *testing.F) {
	for _, text := range documents {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTOML(text)
		want := map[string]any{}
		if wrong := toml.Unmarshal([]byte(text), &want); wrong != nil || err != nil {
			return // the decoder also refuses numbers and dates, which have no meaning here
		}
		if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	})
}
