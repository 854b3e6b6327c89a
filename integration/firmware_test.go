package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/ovmf"
	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// wyrcanGUID is the vendor GUID of the EFI variable Wyrcan, which holds the configuration.
const wyrcanGUID = "6987e713-a5ff-4ec2-ad55-c1fca471ed2d"

// consoles are the arguments that make Wyrcan and the demo container use the serial console, and the demo power off.
const consoles = "console=ttyS0 wyr.arg=console=ttyS0 wyr.arg=demo=once"

// demo serves the demo container and returns its name for a machine.
func demo(t *testing.T) string {
	t.Helper()
	return fromGuest(imagetest.Serve(t).Push(t, "demo", imagetest.Image(t, kernelLayer(t), initLayer(t))))
}

// registryOf returns the registry of an image.
func registryOf(image string) string {
	registry, _, _ := strings.Cut(image, "/")
	return registry
}

// allowed returns image as the value of wyr.img, followed by the argument that allows plain HTTP for its registry.
func allowed(image string) string { return image + " wyr.insecure=" + registryOf(image) }

// spoke waits until the demo container has printed its message, and returns its kernel's command line.
func spoke(t *testing.T, v *vm.VM) string {
	t.Helper()
	line := v.Wait(`wyrcan-demo: command line +(.*)\n`, vm.Patience)[1]
	v.Wait(`wyrcan-demo: the container's own words`, 10*time.Second)
	return line
}

// An nvram is the name of a file with OVMF's variable store.
type nvram string

// newNVRAM returns a fresh store with these variables.
func newNVRAM(t *testing.T, vars ...ovmf.Variable) nvram {
	t.Helper()
	return newNVRAMOf(t, "/usr/share/OVMF/OVMF_VARS_4M.fd", vars...)
}

// newNVRAMOf returns a store with the variables of a file, and these.
func newNVRAMOf(t *testing.T, from string, vars ...ovmf.Variable) nvram {
	t.Helper()
	s, err := ovmf.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	return filled(t, s, vars...)
}

// filled adds the variables to a store and returns it.
func filled(t *testing.T, s *ovmf.Store, vars ...ovmf.Variable) nvram {
	t.Helper()
	for _, v := range vars {
		if err := s.Add(v); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "vars.fd")
	if err := s.WriteFile(file); err != nil {
		t.Fatal(err)
	}
	return nvram(file)
}

// configured returns a stored configuration that boots the image, in the format of Wyrcan 2.1.
func configured(t *testing.T, image string) ovmf.Variable {
	t.Helper()
	data, err := json.Marshal(map[string]any{"network": map[string]any{},
		"cmdline": []string{"console=ttyS0", "demo=once"}, "image": image, "insecure": []string{registryOf(image)}})
	if err != nil {
		t.Fatal(err)
	}
	return ovmf.Variable{Name: "Wyrcan", GUID: wyrcanGUID, Attributes: 7, Data: data}
}

// wyrcan returns the stored configuration, or nil if there is none.
func (n nvram) wyrcan(t *testing.T) []byte {
	t.Helper()
	s, err := ovmf.Open(string(n))
	if err != nil {
		t.Fatal(err)
	}
	v, _ := s.Lookup("Wyrcan", wyrcanGUID)
	return v.Data
}

// efi returns the options for a machine with OVMF and this store.
func (n nvram) efi() []string {
	return []string{"-machine", "q35",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
		"-drive", "if=pflash,format=raw,unit=1,file=" + string(n)}
}

// from returns an EFI machine that boots from the devices in options. Its network card is not a boot device.
func (n nvram) from(options ...string) vm.Machine {
	return vm.Machine{CPUs: 1, NICs: []string{}, Firmware: append(n.efi(), options...),
		QEMU: []string{"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="}}
}

// The ways to attach a medium. With bootindex OVMF does not try the network first.
const (
	asCD    = "ide-cd,drive=medium,bootindex=1"
	asDisk  = "virtio-blk-pci,drive=medium,bootindex=1"
	asStick = "usb-storage,drive=medium,bootindex=1"
)

func medium(t *testing.T, file, device string) []string {
	t.Helper()
	drive := "if=none,id=medium,format=raw,readonly=on,file=" + file
	if device == asCD {
		drive += ",media=cdrom"
	}
	return []string{"-device", "qemu-xhci", "-drive", drive, "-device", device}
}

// documented returns a code block of docs/booting.md: the first one below the heading that contains the word. The
// replacements, pairs of old and new text, adapt it to this network.
func documented(t *testing.T, heading, word string, replacements ...string) string {
	t.Helper()
	return documentedIn(t, "docs/booting.md", heading, word, replacements...)
}

// documentedIn does the same with any document.
func documentedIn(t *testing.T, document, heading, word string, replacements ...string) string {
	t.Helper()
	b, err := os.ReadFile("../" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", document, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range regexp.MustCompile(`(?m)(^    .*\n)+`).FindAllString(section, -1) {
		block = regexp.MustCompile(`(?m)^    `).ReplaceAllString(block, "")
		if strings.Contains(block, word) {
			return strings.NewReplacer(replacements...).Replace(block)
		}
	}
	t.Fatalf("%s has no lines with %q under %q", document, word, heading)
	return ""
}

// Names in the documentation, and the arguments that make both systems use the serial console.
const (
	docImage  = "registry.example/debian"
	docServer = "server.example"
	docQuiet  = "quiet"
)

// serveDir serves the files of a directory over HTTP and returns the address for machines. QEMU itself serves TFTP.
func serveDir(t *testing.T, dir string) string {
	t.Helper()
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return fromGuest(s.Listener.Addr().String())
}

// bootDir returns a directory with Wyrcan's kernel and initrd, and these files. A value of files is the text of a file
// or, if it is an absolute path, the file to link to.
func bootDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{"wyrcan.kernel": vm.Artefact(t, "wyrcan.kernel"),
		"wyrcan.initrd": vm.Artefact(t, "wyrcan.initrd")}
	for name, what := range files {
		all[name] = what
	}
	for name, what := range all {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if filepath.IsAbs(what) {
			err = os.Symlink(what, to)
		} else {
			err = os.WriteFile(to, []byte(what), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// netboot returns the options for a network card that boots a file from QEMU's TFTP server, which serves dir.
func netboot(dir, file string) []string {
	return []string{"-netdev", fmt.Sprintf("user,id=net,tftp=%s,bootfile=%s", dir, file), "-device",
		"virtio-net-pci,netdev=net,bootindex=1"}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs a program in a directory.
func run(t *testing.T, dir string, argv ...string) {
	t.Helper()
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
}
