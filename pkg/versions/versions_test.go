package versions

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestSpecification has the examples of the specification: its order of versions, oldest first, and its pairs.
func TestSpecification(t *testing.T) {
	order := []string{
		"122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1", "123a-1",
		"124-1",
	}
	for i, a := range order {
		for j, b := range order {
			if got, want := Compare(a, b), min(1, max(-1, i-j)); got != want {
				t.Errorf("Compare(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
	for _, c := range []struct {
		a, op, b string
	}{
		{"11", "==", "11"}, {"systemd-123", "==", "systemd-123"}, {"bar-123", "<", "foo-123"},
		{"123a", ">", "123"}, {"123.a", ">", "123"}, {"123.a", "<", "123.b"}, {"123a", ">", "123.a"},
		{"11α", "==", "11β"}, {"A", "<", "a"}, {"", "<", "0"}, {"0.", ">", "0"}, {"0.0", ">", "0"}, {"0", ">", "~"},
		{"", ">", "~"}, {"1_", "==", "1"}, {"_1", "==", "1"}, {"1_", "<", "1.2"}, {"1_2_3", ">", "1.3.3"},
		{"1+", "==", "1"}, {"+1", "==", "1"}, {"1+", "<", "1.2"}, {"1+2+3", ">", "1.3.3"},
	} {
		want := map[string]int{"<": -1, "==": 0, ">": 1}[c.op]
		if got := Compare(c.a, c.b); got != want {
			t.Errorf("Compare(%q, %q) = %d, want %q", c.a, c.b, got, c.op)
		}
	}
}

// TestKernels sorts names of kernels as distributions give them.
func TestKernels(t *testing.T) {
	order := []string{
		"4.18.0-553.el8.x86_64",
		"5.14.0-70.13.1.el9_0.x86_64", "5.14.0-362.8.1.el9_3.x86_64",
		"6.1.0-9-amd64", "6.1.0-10-amd64", "6.1.0-56-amd64",
		"6.6.9-200.fc39.x86_64", "6.6.10-200.fc39.x86_64",
		"6.7.0~rc3-1", "6.7.0-1",
		"6.12.9-arch1-1", "6.12.10-arch1-1",
	}
	mixed := slices.Clone(order)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	if slices.SortFunc(mixed, Compare); !slices.Equal(mixed, order) {
		t.Errorf("sorted, they are %q", mixed)
	}
}

// TestOracle asks systemd, whose algorithm the specification describes, about many pairs.
func TestOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a program for each pair")
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		text := func() string {
			var b strings.Builder
			for range r.IntN(6) + 1 {
				b.WriteByte("019aZ.~-^_"[r.IntN(10)])
			}
			return b.String()
		}
		// A version of one character more than the other one, often: what is the same is compared to its end.
		a := text()
		b := a[:r.IntN(len(a)+1)] + text()
		cmd := exec.Command("systemd-analyze", "compare-versions", "--", a, b)
		out, err := cmd.Output()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatalf("systemd-analyze (Debian: systemd) = %v", err)
		}
		sign := map[int]string{-1: "<", 0: "==", 1: ">"}[Compare(a, b)]
		if want := fmt.Sprintf("%s %s %s", a, sign, b); strings.TrimSpace(string(out)) != want {
			t.Errorf("systemd says %q, we %q", strings.TrimSpace(string(out)), want)
		}
	}
}

// FuzzCompare checks that the order is one: it has two directions and no circles.
func FuzzCompare(f *testing.F) {
	f.Add("1.2~rc1", "1.2", "1.2^1")
	f.Add("6.1.0-9", "6.1.0-10", "\xff00000000000000000000001")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if Compare(a, a) != 0 || Compare(a, b) != -Compare(b, a) {
			t.Errorf("Compare(%q, %q) depends on the direction", a, b)
		}
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Errorf("%q, %q and %q are in a circle", a, b, c)
		}
	})
}
