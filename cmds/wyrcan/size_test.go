package main

import (
	"context"
	"strings"
	"testing"
)

// A size has the same meaning in all commands, and the same as in QEMU.
func TestSize(t *testing.T) {
	for _, row := range []struct {
		text string
		want size // 0: refused
		back string
	}{
		{"100", 100 << 20, "100M"}, {"100M", 100 << 20, "100M"}, {"100m", 100 << 20, "100M"},
		{"100MiB", 100 << 20, "100M"}, {"100MB", 100 << 20, "100M"}, {"2048K", 2 << 20, "2M"},
		{"2049k", 2049 << 10, "2049K"}, {"4G", 4 << 30, "4G"}, {"4 GiB", 4 << 30, "4G"}, {"1.5G", 3 << 29, "1536M"},
		{"1T", 1 << 40, "1024G"}, {"", 0, ""}, {"0", 0, ""}, {"0G", 0, ""}, {"1K", 0, ""}, {"0.5", 0, ""},
		{"-1", 0, ""}, {"+1", 0, ""}, {"much", 0, ""}, {"M", 0, ""}, {"1e3", 0, ""}, {"0x10", 0, ""}, {"100B", 0, ""},
		{"100iB", 0, ""}, {"1,5G", 0, ""}, {"1.G", 0, ""}, {"4GG", 0, ""}, {"99999999999999999999G", 0, ""},
		{"1048577G", 0, ""}, {"NaN", 0, ""}, {"inf", 0, ""},
	} {
		var s size
		err := s.Set(row.text)
		if (err == nil) != (row.want != 0) || s != row.want || err == nil && s.String() != row.back {
			t.Errorf("Set(%q) = %v with %d (%s), want %d (%s)", row.text, err, s, s.String(), row.want, row.back)
		}
	}
	for _, command := range []string{"run", "demo", "check", "morph"} {
		c, _, _ := tool(t, command, "-m", "much", "x")
		if err := c.run(context.Background()); code(err) != 2 ||
			!strings.Contains(err.Error(), "a number alone is MiB") {
			t.Errorf("%s -m much = %v", command, err)
		}
	}
}
