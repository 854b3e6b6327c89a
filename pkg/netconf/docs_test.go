package netconf

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of keys into docs/networking.md")

// TestDocs checks that the tables in docs/networking.md are those of the code. This writes them:
// go test ./pkg/netconf -run TestDocs -update.
func TestDocs(t *testing.T) {
	const path, begin, end = "../../docs/networking.md",
		"<!-- keys: written by go test ./pkg/netconf -run TestDocs -update -->\n", "<!-- end of keys -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the two lines that enclose the tables", path)
	}
	want := support()
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != want {
		t.Errorf("the tables of keys in %s are not those of the code: run go test ./pkg/netconf -run TestDocs -update",
			path)
	}
}

// support returns the tables of supported keys as Markdown.
func support() string {
	var b strings.Builder
	count := tables(&b, Network, networkTable())
	count += tables(&b, NetDev, netDevTable())
	count += tables(&b, Link, linkTable())
	fmt.Fprintf(&b, "These are %d keys.\n", count)
	return b.String()
}

// tables writes the tables of one kind of file and returns how many keys have an effect.
func tables[T any](b *strings.Builder, kind Kind, table []section[T]) (count int) {
	fmt.Fprintf(b, "\n### .%s\n", kind)
	for _, s := range table {
		fmt.Fprintf(b, "\n**[%s]**", s.name)
		if s.open != nil {
			b.WriteString(" (may occur more than once)")
		}
		b.WriteString("\n\n| key | meaning |\n| --- | --- |\n")
		var silent []string
		for _, k := range s.keys {
			if k.set == nil {
				silent = append(silent, k.name)
				continue
			}
			if !strings.HasPrefix(k.doc, "not supported") {
				count++
			}
			fmt.Fprintf(b, "| %s | %s |\n", k.name, k.doc)
		}
		if len(silent) > 0 {
			fmt.Fprintf(b, "\nAccepted without effect: %s.\n", strings.Join(silent, ", "))
		}
	}
	b.WriteString("\n")
	return count
}

// TestKnown compares the tables with systemd's own list: a key that systemd does not have is a typing error.
func TestKnown(t *testing.T) {
	check(t, Network, networkTable())
	check(t, NetDev, netDevTable())
	check(t, Link, linkTable())
}

func check[T any](t *testing.T, kind Kind, table []section[T]) {
	for _, s := range table {
		seen := map[string]bool{}
		for _, k := range s.keys {
			if seen[k.name] {
				t.Errorf(".%s [%s] %s= stands twice in the table", kind, s.name, k.name)
			}
			seen[k.name] = true
			if !known(kind, s.name, k.name) && k.name != "ProxyARP" {
				t.Errorf(".%s [%s] %s= is in the table, but systemd does not know it", kind, s.name, k.name)
			}
		}
	}
}
