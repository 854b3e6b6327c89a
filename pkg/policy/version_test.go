package policy

import "testing"

func TestVersions(t *testing.T) {
	// Each is older than the next. Those in one row are equal.
	order := [][]string{
		{"0", "0.0.0", "v0"}, {"0.1"}, {"0.9.9"}, {"1.0.0-alpha"}, {"1.0.0-alpha.1"}, {"1.0.0-alpha.beta"},
		{"1.0.0-beta"}, {"1.0.0-beta.2"},
		{"1.0.0-beta.11"}, {"1.0.0-rc.1"}, {"1.0.0", "1", "1.0", "v1", "1+build.7", "01.00"}, {"1.0.0.1"}, {"1.2"},
		{"1.10"}, {"2024.02.29"},
		{"2024.11"}, {"99999999999999999999999999"}, {"100000000000000000000000000"},
	}
	for i, row := range order {
		for j, other := range order {
			for _, a := range row {
				for _, b := range other {
					va, err := parseVersion(a)
					if err != nil {
						t.Fatal(err)
					}
					vb, err := parseVersion(b)
					if err != nil {
						t.Fatal(err)
					}
					if c := va.compare(vb); (c < 0) != (i < j) || (c > 0) != (i > j) {
						t.Errorf("%s compared with %s gives %d", a, b, c)
					}
				}
			}
		}
	}
	for _, bad := range []string{"", "v", "latest", "1.", ".1", "1..2", "1.x", "-1", "1-", "1.0-rc..1", "1+", "1 2",
		"1.0-é", "vv1", "1.0_1", "+1"} {
		if v, err := parseVersion(bad); err == nil {
			t.Errorf("parseVersion(%q) = %v", bad, v)
		}
	}
}
