package tools

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/tools/document"
)

// What stands in the documents to be typed or copied is tested here and in two other places:
//
//	TestShell            shell commands are run in a directory of their own. Programs that are not there, or need a
//	                     machine, a network or a person, have a stand-in: see standIns, which says why for each.
//	TestKernelArguments  is given to the parser of the boot environment, which must have nothing to say about it.
//	TestSnippets         configuration of other programs is given to these programs where they can check it, and is
//	                     only looked at where they cannot: see each kind.
//	cmds/wyrcan          TestDocuments runs every command of the host tool.
//	integration          TestDocumentedMachines starts every QEMU command, which must take all of its options.
//
// A block that fits no kind fails TestKinds. So nothing is left out without a word.

// notTested are the documents whose blocks are no commands.
var notTested = []string{
	"docs/troubleshooting.md", // messages, which TestTroubleshooting compares with the source
	"docs/architecture.md",    // a picture of the data flow
	"CHANGELOG.md",
}

// others are blocks of no kind, by their first lines, and what they are.
var others = map[string]string{
	"wyr.net.[KIND.]FILE.SECTION.KEY=VALUE":         "the form of an argument",
	"image         registry.example/debian:stable":  "what wyrcan status prints; TestStatusText has its form",
	"{name: \"static4\", files: `-- lan.network --": "a case of the network oracle, which is there in this form",

	"skopeo copy docker://IMAGE oci:oci:x && umoci unpack --image oci:x bundle &&": "what tools/bench runs",
}

const (
	shellBlock     = "shell"
	argumentsBlock = "kernel arguments"
	messageBlock   = "message"
	ipxeBlock      = "iPXE"
	pxelinuxBlock  = "PXELINUX"
	grubBlock      = "GRUB"
	dnsmasqBlock   = "dnsmasq"
	keaBlock       = "Kea"
	policyBlock    = "policy"
	jsonBlock      = "JSON"
	unitBlock      = "systemd"
	containerBlock = "Containerfile"
	otherBlock     = "other"
)

// kinds tell blocks by how they begin.
var kinds = []struct {
	kind  string
	first *regexp.Regexp
}{
	{ipxeBlock, regexp.MustCompile(`^#!ipxe$`)},
	{containerBlock, regexp.MustCompile(`^(FROM|RUN|COPY|ENV) `)},
	{unitBlock, regexp.MustCompile(`^\[(Unit|Service|Timer|Install)\]$`)},
	{keaBlock, regexp.MustCompile(`^"(client-classes|option-def)"`)},
	{policyBlock, regexp.MustCompile(`^\{$`)},
	{jsonBlock, regexp.MustCompile(`^\{"`)},
	{dnsmasqBlock, regexp.MustCompile(`^dhcp-`)},
	{pxelinuxBlock, regexp.MustCompile(`^DEFAULT `)},
	{grubBlock, regexp.MustCompile(`^set timeout`)},
	{messageBlock, regexp.MustCompile(`^wyr(boot|init): `)},
	{argumentsBlock, regexp.MustCompile(`^(# .*|(quiet )?(wyr|uroot)\..*)$`)},
	{shellBlock, regexp.MustCompile(`^(\$ |\()?[A-Z_0-9]*=?[a-z_./0-9-]+( |$)`)},
}

func kind(b document.Block) string {
	if others[b.First()] != "" {
		return otherBlock
	}
	for _, k := range kinds {
		if k.first.MatchString(b.First()) {
			return k.kind
		}
	}
	return ""
}

// blocks returns the blocks of a kind in all documents that are tested.
func blocks(t *testing.T, kinds ...string) []document.Block {
	t.Helper()
	list, err := document.All("..", notTested...)
	if err != nil {
		t.Fatal(err)
	}
	list = slices.DeleteFunc(list, func(b document.Block) bool { return !slices.Contains(kinds, kind(b)) })
	if len(list) == 0 {
		t.Fatalf("there is no block of %q", kinds)
	}
	return list
}

// TestKinds finds blocks that no test knows, and entries of others that are in no document.
func TestKinds(t *testing.T) {
	list, err := document.All("..", notTested...)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, b := range list {
		seen[b.First()] = true
		if kind(b) == "" {
			t.Errorf("%s: no test knows what this is: %s", b, b.First())
		}
	}
	for first := range others {
		if !seen[first] {
			t.Errorf("others has %q, which stands in no document", first)
		}
	}
}

// stands are what an argument has where the documents leave a place for something else.
var stands = strings.NewReplacer(
	"sha256=DIGEST", "sha256="+strings.Repeat("0", 64), "sha256:DIGEST", "sha256:"+strings.Repeat("0", 64),
	"sha256:…", "sha256:"+strings.Repeat("0", 64), "ADDRESS", "192.0.2.1", "wyr.net.FILE.", "wyr.net.lan.",
	`\${`, "${", "${net0/mac:hexhyp}", "52-54-00-12-34-56", "${net0/mac}", "52:54:00:12:34:56",
)

// kernelLines returns the command lines for Wyrcan's kernel that a block has, of whatever kind the block is.
func kernelLines(b document.Block) []string {
	switch kind(b) {
	case argumentsBlock:
		return b.Lines()
	case ipxeBlock, pxelinuxBlock, grubBlock:
		line := regexp.MustCompile(`(?m)^\s*(?:kernel \S+|APPEND|linux \S+) (.*)$`)
		var list []string
		for _, m := range line.FindAllStringSubmatch(b.Text, -1) {
			list = append(list, m[1])
		}
		return list
	case shellBlock:
		// In a shell they are a quoted text behind an option or a variable; or all that a line has.
		quoted := regexp.MustCompile(`(?:-append|--unicode|--command-line=|-C|CMDLINE=) ?["']([^"']*)["']`)
		var list []string
		for _, line := range b.Lines() {
			if strings.HasPrefix(line, "wyr.") {
				list = append(list, line)
			}
			for _, m := range quoted.FindAllStringSubmatch(line, -1) {
				list = append(list, m[1])
			}
		}
		return list
	}
	return nil
}

// TestKernelArguments gives each command line to the parser of the boot environment. None may have an argument that it
// does not know, or a value that it cannot use, and those that name an image must be complete on each machine.
func TestKernelArguments(t *testing.T) {
	self := config.Machine{MAC: "52:54:00:12:34:56", UUID: "4c4c4544-0042-3510-8054-b4c04f435032", Serial: "1",
		Hostname: "web1", Arch: "amd64"}
	n := 0
	for _, b := range blocks(t, argumentsBlock, ipxeBlock, pxelinuxBlock, grubBlock, shellBlock) {
		for _, line := range kernelLines(b) {
			line = stands.Replace(line)
			if strings.HasPrefix(line, "# ") || line == "@1" { // a comment; a profile of the menu
				continue
			}
			n++
			args := cmdline.Parse(line)
			for _, a := range args { // those that u-root's init would give to wyrboot
				if a.Key == "uroot.uinitargs" {
					args = append(args, cmdline.Parse(a.Value)...)
				}
			}
			found, err := config.Load(args)
			if err != nil && strings.Contains(line, "wyr.img=") {
				t.Errorf("%s: %s: %v", b, line, err)
			}
			for _, w := range found.Warnings {
				t.Errorf("%s: %s: %v", b, line, w)
			}
			if found.Image != "" {
				if _, err := found.For(self); err != nil {
					t.Errorf("%s: %s: %v", b, line, err)
				}
			}
		}
	}
	if n < 25 {
		t.Errorf("only %d command lines were found", n)
	}
}

// TestNamedArguments looks at each argument of Wyrcan that stands anywhere in the documents: it must exist.
func TestNamedArguments(t *testing.T) {
	argument := regexp.MustCompile("`(wyr(?:can)?\\.[a-z]+)(=[^`… ]*)?`")
	credentials := []string{"wyr.auth", "wyr.ca", "wyr.policy", "wyr.key"} // these are no arguments
	known := func(key, value string) bool {
		given := strings.TrimPrefix(value, "=")
		found, _ := config.Load([]cmdline.Arg{{Key: key, Value: given, HasValue: true}})
		return !slices.ContainsFunc(found.Warnings, func(w string) bool { return strings.Contains(w, "no such argument") })
	}
	if known("wyr.nonsense", "=1") {
		t.Fatal("an argument that does not exist is known")
	}
	n := 0
	for name, text := range documents(t) {
		for _, m := range argument.FindAllStringSubmatch(text, -1) {
			n++
			if name != "CHANGELOG.md" && !slices.Contains(credentials, m[1]) && m[1] != "wyr.net" && m[1] != "wyrcan.kernel" &&
				!known(m[1], m[2]) && !artefact.MatchString(m[1]) {
				t.Errorf("%s: %s is no argument", name, m[0])
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d arguments were found", n)
	}
}

// artefact are names of files that look like arguments.
var artefact = regexp.MustCompile(`^wyrcan\.(kernel|initrd|efi|iso|oci|demo)$`)
