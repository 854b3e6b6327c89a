package tools

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/tools/document"
)

// accepts runs a program that must accept what the document has.
func accepts(t *testing.T, b document.Block, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s: %s: %v\n%s%s", b, name, err, b.Text, out)
	}
}

func temporary(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestSnippets gives each piece of configuration to the program that it is for.
func TestSnippets(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the programs that make test-unit installs")
	}
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	for _, b := range blocks(t, dnsmasqBlock, keaBlock, grubBlock, unitBlock) {
		switch kind(b) {
		case dnsmasqBlock:
			accepts(t, b, "dnsmasq", "--test", "--conf-file="+temporary(t, "dnsmasq.conf", b.Text))
		case keaBlock:
			checkKea(t, b)
		case grubBlock:
			accepts(t, b, "grub-script-check", temporary(t, "grub.cfg", b.Text))
		case unitBlock:
			checkUnit(t, b)
		}
	}
}

// checkKea has Kea read a part of its configuration. The document says before it for which of the two servers it is.
func checkKea(t *testing.T, b document.Block) {
	t.Helper()
	server, program := "Dhcp4", "kea-dhcp4"
	if strings.Contains(b.Before, "Dhcp6") {
		server, program = "Dhcp6", "kea-dhcp6"
	}
	text := `{"` + server + `": {"lease-database": {"type": "memfile", "persist": false}, ` + b.Text + "}}"
	accepts(t, b, program, "-t", temporary(t, "kea.conf", text))
}

// checkUnit has systemd verify a drop-in for the unit that the examples have, without the program that it runs.
func checkUnit(t *testing.T, b document.Block) {
	t.Helper()
	dir := t.TempDir()
	unit, err := os.ReadFile("../examples/status/wyrcan-status.service")
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.ReplaceAll(unit, []byte("/usr/local/bin/wyrcan"), []byte("/bin/true"))
	whole = append(whole, "\n"+b.Text...)
	file := filepath.Join(dir, "wyrcan-status.service")
	if err := os.WriteFile(file, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput()
	// systemd warns about what it does not know, and succeeds.
	if err != nil || bytes.Contains(out, []byte("wyrcan-status.service")) {
		t.Errorf("%s: %v\n%s", b, err, out)
	}
}

// TestJSON gives policies and logins to the parsers that read them.
func TestJSON(t *testing.T) {
	for _, b := range blocks(t, policyBlock, jsonBlock) {
		if kind(b) == jsonBlock {
			if list, err := credentials.Parse([]byte(b.Text), b.String()); err != nil || len(list) == 0 {
				t.Errorf("%s: %d logins, %v", b, len(list), err)
			}
			continue
		}
		key := temporary(t, "team.pub", publicKey)
		text := strings.ReplaceAll(b.Text, "/etc/wyrcan/team.pub", key)
		if _, err := policy.Parse([]byte(text), b.String()); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
	// What curl sends to a server with Redfish.
	body := regexp.MustCompile(`(?s)-d '(\{.*?\})'`)
	n := 0
	for _, b := range blocks(t, shellBlock) {
		for _, m := range body.FindAllStringSubmatch(b.Text, -1) {
			n++
			if !json.Valid([]byte(m[1])) {
				t.Errorf("%s: %s is not JSON", b, m[1])
			}
		}
	}
	if n == 0 {
		t.Error("no body of a request was found")
	}
}

const publicKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMaXQwEyH+KTTBMUHVP/fqd0kOEok
2xIo744cp7WasW3hg2mlZqRcH5fL+IKCt4JsgCrWiKVawmGzCyavvHEIfg==
-----END PUBLIC KEY-----
`

// TestLoaders looks at what no program can check here: iPXE and PXELINUX have no checker. TestIPXE and
// TestSlowPXELINUX of integration boot such files; TestKernelArguments reads the command lines.
func TestLoaders(t *testing.T) {
	known := map[string]*regexp.Regexp{
		ipxeBlock:     regexp.MustCompile(`^(#!ipxe|kernel \S+( \S+)+|initrd \S+|boot|set \S+ \S+)$`),
		pxelinuxBlock: regexp.MustCompile(`^(DEFAULT \S+|LABEL \S+|  (KERNEL|INITRD) \S+|  APPEND .+)$`),
	}
	for _, b := range blocks(t, ipxeBlock, pxelinuxBlock) {
		for _, line := range b.Lines() {
			if !known[kind(b)].MatchString(line) {
				t.Errorf("%s: %s: this is not known to be a line for %s", b, line, kind(b))
			}
		}
	}
}

// TestContainerfiles looks at parts of Containerfiles. They are not built: that takes images of distributions, and is
// done with the examples. Commands must be commands of a shell, and the files that are copied from this tree exist.
func TestContainerfiles(t *testing.T) {
	for _, b := range blocks(t, containerBlock) {
		for _, line := range b.Lines() {
			verb, rest, _ := strings.Cut(line, " ")
			switch verb {
			case "FROM", "ENV":
			case "RUN":
				if out, err := exec.Command("sh", "-n", "-c", rest).CombinedOutput(); err != nil {
					t.Errorf("%s: %s: %s", b, line, out)
				}
			case "COPY":
				words := strings.Fields(rest)
				for _, from := range words[:len(words)-1] {
					made := strings.HasPrefix(from, "out/")
					found, err := filepath.Glob(filepath.Join("..", from))
					if err != nil || len(found) == 0 && !made {
						t.Errorf("%s: %s does not exist", b, from)
					}
				}
			default:
				t.Errorf("%s: %s is no line of a Containerfile", b, line)
			}
		}
	}
}

// TestQuotedMessages compares what the documents say that Wyrcan says with what it can say.
func TestQuotedMessages(t *testing.T) {
	var list []*regexp.Regexp
	for m := range messages(t) {
		list = append(list, regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(m), "…", ".*")))
	}
	for _, b := range blocks(t, messageBlock) {
		said := strings.Join(strings.Fields(b.Text), " ")
		if !slices.ContainsFunc(list, func(r *regexp.Regexp) bool { return r.MatchString(said) }) {
			t.Errorf("%s: no program says: %s", b, said)
		}
	}
}
