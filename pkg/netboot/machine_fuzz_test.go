package netboot

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

func FuzzMachineName(f *testing.F) {
	for _, s := range []string{testUUID, "{" + testUUID + "}", testMAC, "../" + testUUID, "525400123456"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := machineName(s)
		if name == "" {
			return
		}
		if !fs.ValidPath(name) || strings.ContainsAny(name, "/.") || machineName(name) != name {
			t.Errorf("machineName(%q) = %q", s, name)
		}
		if again := machineName(strings.ToUpper(name)); again != name {
			t.Errorf("machineName of %q in capital letters is %q", name, again)
		}
	})
}

func FuzzMerge(f *testing.F) {
	f.Add("quiet wyr.img=x", "wyr.img=y\n# wyr.arg=z\n")
	f.Add(`a="b c" wyrcan.arg=1`, "wyr.arg=\"x y\"\r\nwyr.config=z")
	f.Add(`a"b`, `x"y`)
	f.Fuzz(func(t *testing.T, common, text string) {
		line, err := merge(common, []byte(text))
		if err != nil {
			return
		}
		var own []cmdline.Arg
		for l := range strings.Lines(text) {
			if l = strings.TrimSpace(l); !strings.HasPrefix(l, "#") {
				own = append(own, cmdline.Parse(l)...)
			}
		}
		all := cmdline.Parse(line)
		if len(all) < len(own) || !slices.Equal(all[len(all)-len(own):], own) {
			t.Errorf("merge of %q and %q is %q, which does not end with the arguments of the second", common, text, line)
		}
		for _, a := range all[:len(all)-len(own)] {
			if slices.ContainsFunc(own, func(b cmdline.Arg) bool { return argument(a) == argument(b) }) {
				t.Errorf("merge of %q and %q is %q, which still has %v of the first", common, text, line, a)
			}
		}
	})
}
