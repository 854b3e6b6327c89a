//go:build slow

package integration

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/integration/ovmf"
	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// menu is the first text that the medium shows.
const menu = `Boot in \d`

// edit waits for the menu, and appends text to the options of its entry.
func edit(t *testing.T, v *vm.VM, text string) {
	t.Helper()
	v.Wait(menu, vm.Patience)
	v.Send("e")
	time.Sleep(time.Second)
	v.Send("\x1b[F") // End: the editor begins at the start of the line
	time.Sleep(time.Second)
	v.Send(" " + text + "\r")
}

// A person types the arguments once, with wyr.efi=write, and answers yes. This boot and the next one then need no key.
// Finally wyr.efi=clear removes the configuration.
func TestSlowPersist(t *testing.T) {
	t.Parallel()
	vars := newNVRAM(t)
	m := vars.from(medium(t, vm.Artefact(t, "wyrcan.iso"), asCD)...)
	m.First = menu
	image := demo(t)

	m.Reboots = true
	v := m.Start(t)
	edit(t, v, vm.Boot(image)+" wyr.arg=console=ttyS0 wyr.efi=write")
	v.Wait(`wyrboot: Wyrcan`, vm.Patience)
	v.Wait(`(?i)brick`, stepTime)
	v.Wait(`\[yes/no\]`, stepTime)
	v.Send("yes\r")
	v.Wait(`wyrboot: NVRAM holds the configuration`, vm.Patience)
	v.Wait(`wyrboot: reboots`, stepTime)
	v.Wait(menu, vm.Patience)
	if line := spoke(t, v); line != "console=ttyS0" {
		t.Errorf("the container's command line is %q", line)
	}
	v.Wait(`press Enter to power off`, stepTime)
	v.Send("\r")
	v.Exit(stepTime)
	stored, err := config.Unmarshal(vars.wyrcan(t))
	if want := (config.Config{Image: image, Args: []string{"console=ttyS0"},
		Insecure: []string{registryOf(image)}}); err != nil || !cmp.Equal(stored, want) {
		t.Errorf("NVRAM holds %+v, %v, want %+v", stored, err, want)
	}
	if want := fmt.Sprintf(`"version":%q`, vm.Version(t)); !strings.Contains(string(vars.wyrcan(t)), want) {
		t.Errorf("NVRAM holds %s, want %s in it", vars.wyrcan(t), want)
	}

	m.Reboots = false
	v = m.Start(t)
	edit(t, v, "wyr.efi=clear")
	v.Wait(`wyrboot: Wyrcan`, vm.Patience)
	v.Wait(`\[yes/no\]`, stepTime)
	v.Send("yes\r")
	v.Wait(`wyrboot: NVRAM is cleared`, stepTime)
	v.Exit(stepTime)
	if got := vars.wyrcan(t); got != nil {
		t.Errorf("after wyr.efi=clear NVRAM holds %s", got)
	}
}

// EFI's runtime services still work after kexec: Wyrcan, booted as a container, finds its image only in NVRAM.
func TestSlowChainNVRAM(t *testing.T) {
	t.Parallel()
	image, wyrcan := demo(t), itself(t)
	m := vm.Machine{Cmdline: "console=ttyS0 wyr.arg=console=ttyS0 " + vm.Boot(wyrcan),
		QEMU: newNVRAM(t, configured(t, image)).efi()}
	v := m.Start(t)
	v.Wait(`wyrboot: starts kernel \S+ of `+wyrcan, vm.Patience)
	v.Wait(`wyrboot: starts kernel \S+ of `+image, vm.Patience)
	if line := spoke(t, v); line != "console=ttyS0 demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
}

// After any answer other than yes, NVRAM stays unchanged and the machine still boots.
func TestSlowPersistNot(t *testing.T) {
	t.Parallel()
	vars := newNVRAM(t)
	m := vm.Machine{Cmdline: consoles + " wyr.efi=write " + vm.Boot(demo(t)), QEMU: vars.efi()}
	v := m.Start(t)
	v.Wait(`\[yes/no\]`, vm.Patience)
	v.Send("y\r")
	spoke(t, v)
	v.Exit(stepTime)
	if got := vars.wyrcan(t); got != nil {
		t.Errorf("after another answer NVRAM holds %s", got)
	}
}

// The medium, written to a stick.
func TestSlowStick(t *testing.T) {
	t.Parallel()
	m := newNVRAM(t, configured(t, demo(t))).from(medium(t, vm.Artefact(t, "wyrcan.iso"), asStick)...)
	spoke(t, m.Start(t))
}

// The firmware boots the unified kernel image from a medium with only that file, and from the network.
func TestSlowUKI(t *testing.T) {
	t.Parallel()
	t.Run("signed CD", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.Symlink(filepath.Dir(vm.Artefact(t, "wyrcan.efi")), filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
		for _, step := range []string{"openssl req", "sbsign"} {
			run(t, dir, "sh", "-e", "-c", documented(t, "Signing it with your own keys", step))
		}
		iso := filepath.Join(dir, "signed.iso")
		run(t, "..", "go", "run", "./tools/iso", "-boot", filepath.Join(dir, "wyrcan.signed.efi"), "-o", iso)
		spoke(t, newNVRAM(t, configured(t, demo(t))).from(medium(t, iso, asCD)...).Start(t))
	})
	t.Run("TFTP", func(t *testing.T) {
		t.Parallel()
		dir := bootDir(t, map[string]string{"wyrcan.efi": vm.Artefact(t, "wyrcan.efi")})
		card := netboot(dir, "wyrcan.efi")
		card[len(card)-1] += ",romfile=" // not iPXE
		m := vm.Machine{NICs: []string{}, Firmware: append(newNVRAM(t, configured(t, demo(t))).efi(), card...)}
		spoke(t, m.Start(t))
	})
	for _, name := range []string{"wyrcan.efi", "wyrcan.iso"} {
		t.Run("HTTP "+name, func(t *testing.T) {
			t.Parallel()
			dir := bootDir(t, map[string]string{name: vm.Artefact(t, name)})
			url := "http://" + serveDir(t, dir) + "/" + name
			const messaging, uri = 3, 24
			vars := newNVRAM(t, append(bootEntry(messaging, uri, []byte(url), ""), configured(t, demo(t)))...)
			spoke(t, vars.from().Start(t))
		})
	}
}

// A boot entry, as efibootmgr writes it, names a program on a disk that firmware would not start by itself, and a
// command line that replaces the program's own. The disk also has what the image needs: systemd-stub hands over the
// login, which is for this program, and the certificate of the registry's authority, which is for all programs.
func TestSlowBootEntry(t *testing.T) {
	t.Parallel()
	host, authority := private(t)
	pushPrivate(t, host, authority, "team/demo:1", imagetest.Image(t, kernelLayer(t), initLayer(t)))
	place := fromGuest(host)
	_, auth := loginFor(place + "/team")
	entry := documented(t, "UEFI PXE and HTTP boot", "efibootmgr", docImage, place+"/team/demo:1", docQuiet, consoles)
	words := regexp.MustCompile(`--loader '(.*)'[^']*--unicode '(.*)'`).FindStringSubmatch(entry)
	if words == nil {
		t.Fatalf("no program and no command line in %q", entry)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "auth.json"), auth)
	ca, _ := authority.PEM(t)
	write(t, filepath.Join(dir, "ca.pem"), string(ca))
	program := strings.ReplaceAll(strings.Trim(words[1], `\`), `\`, "/")
	disk := fat(t, map[string]string{
		program:                            vm.Artefact(t, "wyrcan.efi"),
		program + ".extra.d/wyr.auth.cred": filepath.Join(dir, "auth.json"),
		"loader/credentials/wyr.ca.cred":   filepath.Join(dir, "ca.pem"),
	})

	const media, file = 4, 4
	vars := newNVRAM(t, bootEntry(media, file, ucs2(words[1]), words[2])...)
	v := vars.from(medium(t, disk, "virtio-blk-pci,drive=medium")...).Start(t)
	v.Wait(`^wyrboot: logins for `+regexp.QuoteMeta(place)+
		`/team: from credential wyr\.auth of /\.extra/credentials/wyr\.auth\.cred$`, vm.Patience)
	v.Wait(`^wyrboot: certificate authorities: 1 from credential wyr\.ca of `+
		`/\.extra/global_credentials/wyr\.ca\.cred$`, stepTime)
	if line := spoke(t, v); line != "console=ttyS0 demo=once" {
		t.Errorf("the container's command line is %q", line)
	}
}

// fat returns the name of a disk with a FAT file system that has copies of these files, by their paths.
func fat(t *testing.T, files map[string]string) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk")
	run(t, ".", "mkfs.vfat", "-C", disk, fmt.Sprint(64<<10))
	made := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		parts := strings.Split(name, "/")
		for i := range parts[1:] {
			if dir := strings.Join(parts[:i+1], "/"); !made[dir] {
				made[dir] = true
				run(t, ".", "mmd", "-i", disk, "::"+dir)
			}
		}
		run(t, ".", "mcopy", "-i", disk, files[name], "::"+name)
	}
	return disk
}

// bootEntry returns the EFI variables of a machine with one boot entry (UEFI 2.10, 3.1.3). The entry's path is a single
// node, a short form that firmware can expand, and its options are the line.
func bootEntry(kind, subtype byte, node []byte, line string) []ovmf.Variable {
	le := binary.LittleEndian
	path := le.AppendUint16([]byte{kind, subtype}, uint16(4+len(node)))
	path = append(append(path, node...), 0x7f, 0xff, 4, 0)
	option := le.AppendUint32(nil, 1) // active
	option = le.AppendUint16(option, uint16(len(path)))
	option = append(append(option, ucs2("Wyrcan")...), path...)
	if line != "" {
		option = append(option, ucs2(line)...)
	}
	const global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	return []ovmf.Variable{
		{Name: "Boot0077", GUID: global, Attributes: 7, Data: option},
		{Name: "BootOrder", GUID: global, Attributes: 7, Data: []byte{0x77, 0}},
	}
}

// ucs2 returns a text in EFI's encoding, with a NUL at the end.
func ucs2(text string) []byte {
	var b []byte
	for _, c := range append(utf16.Encode([]rune(text)), 0) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

// A lab is an Ethernet with a DHCP server and this host, each in a network namespace.
type lab struct {
	t     *testing.T
	space string // the namespace of this host, which has the address 10.77.0.1 on the bridge "lab"
}

// newLab sets up a lab. Its DHCP server is dnsmasq; booting is the part of its configuration about network boot.
func newLab(t *testing.T, booting string) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a network of its own needs root")
	}
	name := fmt.Sprintf("%d-%s", os.Getpid(), strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()))
	l := &lab{t: t, space: "wyrcan-lab-" + name}
	dhcp := "wyrcan-dhcp-" + name
	t.Cleanup(func() {
		for _, space := range []string{l.space, dhcp} {
			exec.Command("ip", "netns", "delete", space).Run() // it may not be there yet
		}
	})
	for _, line := range []string{
		"netns add " + l.space,
		"netns add " + dhcp,
		"-n " + l.space + " link set lo up",
		"-n " + l.space + " link add lab type bridge",
		"-n " + l.space + " address add 10.77.0.1/24 dev lab",
		"-n " + l.space + " link set lab up",
		"-n " + l.space + " link add port type veth peer name dhcp netns " + dhcp,
		"-n " + l.space + " link set port master lab up",
		"-n " + l.space + " tuntap add tap0 mode tap",
		"-n " + l.space + " link set tap0 master lab up",
		"-n " + dhcp + " address add 10.77.0.2/24 dev dhcp",
		"-n " + dhcp + " link set dhcp up",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	conf := filepath.Join(t.TempDir(), "dnsmasq.conf")
	write(t, conf, booting)
	// Two servers that start at the same time must not share a PID file: one of them would fail.
	l.background(dhcp, "dnsmasq", "--keep-in-foreground", "--pid-file=", "--conf-file="+conf, "--port=0",
		"--interface=dhcp", "--bind-interfaces",
		"--dhcp-range=10.77.0.100,10.77.0.199", "--dhcp-option=option:router,10.77.0.1", "--dhcp-leasefile="+
			filepath.Join(t.TempDir(), "leases"))
	return l
}

// background runs a program in a network namespace until the test ends. Its output is logged if the test fails.
func (l *lab) background(space string, argv ...string) {
	l.t.Helper()
	c := exec.Command("ip", append([]string{"netns", "exec", space}, argv...)...)
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		if l.t.Failed() {
			l.t.Logf("%s said\n%s", argv[0], said.Bytes())
		}
	})
}

// demo serves the demo container in the lab, and returns its name there.
func (l *lab) demo() string {
	l.t.Helper()
	registry := imagetest.Serve(l.t)
	registry.Push(l.t, "demo", imagetest.Image(l.t, kernelLayer(l.t), initLayer(l.t)))
	listener, err := l.listen("10.77.0.1:5000")
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { listener.Close() })
	go vm.Forward(listener, registry.Host)
	return "10.77.0.1:5000/demo"
}

// listen is net.Listen in the lab.
func (l *lab) listen(address string) (listener net.Listener, err error) {
	err = vm.InNetNS(l.space, func() (err error) { listener, err = net.Listen("tcp4", address); return err })
	return listener, err
}

// Network cards that boot: QEMU's own with iPXE, and those without a ROM, for which OVMF has PXE and HTTP boot.
const (
	cardIPXE = "virtio-net-pci,netdev=net,bootindex=1"
	cardPXE  = "virtio-net-pci,netdev=net,bootindex=1,romfile="
)

// onlyHTTP disables everything in OVMF except HTTP boot.
func onlyHTTP() []string {
	return []string{"-device", "virtio-net-pci,netdev=net,romfile=",
		"-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=no", "-fw_cfg",
		"name=opt/org.tianocore/IPv6PXESupport,string=no"}
}

// boot starts a machine in the lab, and waits for the container.
func (l *lab) boot(firmware ...string) {
	l.t.Helper()
	m := vm.Machine{NICs: []string{},
		Firmware: append([]string{"-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no"}, firmware...),
		NetNS:    l.space}
	if line := spoke(l.t, m.Start(l.t)); line != "console=ttyS0 demo=once" {
		l.t.Errorf("the container's command line is %q", line)
	}
}

// serve runs wyrcan serve in the lab.
func (l *lab) serve(more ...string) {
	l.t.Helper()
	l.background(l.space,
		append([]string{vm.Artefact(l.t, "wyrcan"), "serve", "-tls-verify=false", l.demo(), "-arg", "console=ttyS0",
			"-arg", "demo=once", "-append", "console=ttyS0"}, more...)...)
}

// wyrcan serve -dhcp, beside a DHCP server without options for network boot, boots every kind of machine.
func TestSlowServe(t *testing.T) {
	t.Parallel()
	for name, firmware := range map[string]func(t *testing.T) []string{
		"iPXE on BIOS": func(t *testing.T) []string { return []string{"-device", cardIPXE} },
		"iPXE on EFI":  func(t *testing.T) []string { return append(newNVRAM(t).efi(), "-device", cardIPXE) },
		"UEFI PXE":     func(t *testing.T) []string { return append(newNVRAM(t).efi(), "-device", cardPXE) },
		"UEFI HTTP":    func(t *testing.T) []string { return append(newNVRAM(t).efi(), onlyHTTP()...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "")
			l.serve("-dhcp", "lab")
			l.boot(firmware(t)...)
		})
	}
}

// With the documented lines in its configuration, a DHCP server boots machines without wyrcan serve -dhcp.
func TestSlowDocumentedDHCP(t *testing.T) {
	t.Parallel()
	lines := documented(t, "UEFI PXE and HTTP boot", "dhcp-boot", docServer, "10.77.0.1")
	for name, firmware := range map[string][]string{"PXE": {"-device", cardPXE}, "HTTP": onlyHTTP()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, lines)
			l.serve()
			l.boot(append(newNVRAM(t).efi(), firmware...)...)
		})
	}
}
