package network_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// udevd is the real systemd-udevd, which decides what a .link file means.
const udevd = "/lib/systemd/systemd-udevd"

// linkCases are .link files that must have the same result with wyrnet and systemd-udevd, on the cards of a guest.
var linkCases = []struct{ name, files string }{
	{"default", `-- 99-default.link --
[Match]
OriginalName=*
[Link]
NamePolicy=keep kernel database onboard slot path
AlternativeNamesPolicy=database onboard slot path
MACAddressPolicy=persistent
`},
	{"all names", `-- 73-usb-net-by-mac.link --
[Match]
Path=*-usb-*
[Link]
NamePolicy=mac
-- 99-default.link --
[Match]
OriginalName=*
[Link]
NamePolicy=path
AlternativeNamesPolicy=onboard slot path mac
`},
	{"given names", `-- a.link --
[Match]
MACAddress=02:00:00:00:00:11 02-00-00-00-00-99
[Link]
Name=lan0
-- b.link --
[Match]
PermanentMACAddress=02:00:00:00:00:13
[Link]
NamePolicy=onboard
Name=lan1
-- c.link --
[Match]
MACAddress=02:00:00:00:00:14
[Link]
NamePolicy=onboard slot
Name=uplink0
MACAddress=02:00:00:00:00:98
-- d.link --
[Match]
OriginalName=eth[0-3]
[Link]
AlternativeName=one two
AlternativeName=a-name-that-is-longer-than-fifteen
AlternativeName=no%name
`},
	{"settings", `-- a.link --
[Match]
Driver=virtio_net
[Link]
MTUBytes=1280
Alias=a word or two
TransmitQueueLength=500
-- b.link --
[Match]
Driver=e1000*
[Link]
Alias=one
MTUBytes=1300
-- b.link.d/10-more.conf --
[Link]
Alias=two
`},
	{"matches", `-- 10.link --
[Match]
Path=pci-0000:00:05.0
[Link]
Name=first0
-- 15.link --
[Link]
Alias=nobody
-- 20.link --
[Match]
Driver=!virtio_net e1000
[Link]
Alias=others
-- 30.link --
[Match]
OriginalName=*
KernelVersion=<3
[Link]
Alias=old
-- 40.link --
[Match]
Type=ether
OriginalName=eth*
Architecture=x86-64
KernelVersion=>=4.0
[Link]
Alias=ethernet
`},
	{"hardware", `-- 1.link --
[Match]
Driver=virtio_net vmxnet3
[Link]
TCPSegmentationOffload=no
TCP6SegmentationOffload=no
GenericSegmentationOffload=no
GenericReceiveOffload=no
TransmitChecksumOffload=no
LargeReceiveOffload=no
BitsPerSecond=2500M
Duplex=half
-- 2.link --
[Match]
Driver=e1000
[Link]
WakeOnLan=magic unicast
ReceiveChecksumOffload=no
ReceiveVLANCTAGHardwareAcceleration=no
TransmitVLANCTAGHardwareAcceleration=no
RxBufferSize=512
TxBufferSize=max
RxFlowControl=no
TxFlowControl=no
AutoNegotiationFlowControl=no
-- 3.link --
[Match]
Driver=*
[Link]
AutoNegotiation=no
BitsPerSecond=10M
Duplex=half
WakeOnLan=off
RxBufferSize=max
TxBufferSize=128
ReceiveVLANCTAGFilter=no
NTupleFilter=yes
`},
	{"bad values", `-- a.link --
[Match]
OriginalName=nothing
OriginalName=
Driver=e1000*
[Link]
NamePolicy=path
NamePolicy=
AlternativeName=gone
AlternativeName=
-- b.link --
[Match]
Path=pci-0000:00:05.0
[Link]
MTUBytes=many
MACAddress=zero
TransmitQueueLength=-1
WakeOnLan=whistle
Duplex=quarter
RxBufferSize=0
NoSuchKey=1
NamePolicy=beauty path
Alias=good
[NoSuchSection]
A=b
`},
}

// slots is a machine with cards in slots. One card has two functions, one is behind a bridge, one is called onboard
// by the firmware, and one is on USB.
var slots = []string{"-M", "pc",
	"-device", "virtio-net-pci,addr=5,mac=02:00:00:00:00:11,romfile=",
	"-device", "e1000,addr=6.0,multifunction=on,mac=02:00:00:00:00:12,romfile=",
	"-device", "virtio-net-pci,addr=6.1,mac=02:00:00:00:00:13,romfile=",
	"-device", "pci-bridge,id=bridge,chassis_nr=1,addr=7",
	"-device", "rtl8139,bus=bridge,addr=3,mac=02:00:00:00:00:14,romfile=",
	"-device", "vmxnet3,addr=8,mac=02:00:00:00:00:15,romfile=",
	"-device", "virtio-net-pci,addr=9,acpi-index=7,mac=02:00:00:00:00:16,romfile=",
	"-device", "qemu-xhci,addr=a", "-device", "usb-net,mac=40:00:00:00:00:17"}

// TestLinks gives the same .link files to wyrnet and to systemd-udevd, on a machine whose network cards are as after
// power-on, and compares the resulting names and settings.
func TestLinks(t *testing.T) {
	needRoot(t, "qemu-system-x86_64", "depmod", "udevadm", "ethtool", udevd)
	if os.Getenv("IN_GUEST") == "" {
		t.Parallel()
		linksPass(t, slots)
		return
	}
	t.Setenv("SYSTEMD_IGNORE_CHROOT", "1") // otherwise udevadm silently does nothing
	cards := findCards(t)
	for _, c := range linkCases {
		t.Run(c.name, func(t *testing.T) {
			files := split(t, c.files)
			cards.renew(t)
			cards.hardware = c.name == "hardware"
			want, theirs := cards.udevd(t, files)
			cards.renew(t)
			w := &world{t: t, dir: t.TempDir()}
			w.writeFiles(filepath.Join(w.dir, "root/etc/systemd/network"), files)
			w.writeFiles(filepath.Join(w.dir, "root/etc/systemd/network"),
				map[string]string{"none.network": "[Match]\nName=*\n[Link]\nUnmanaged=yes\n"})
			// .link files are applied before wyrnet finds
			ours := exec.Command(wyrnet, "-C", filepath.Join(w.dir, "root"), "-r", w.resolvConf(), "-t", "1s")
			// that there is nothing to wait for
			said, _ := ours.CombinedOutput()
			if diff := cmp.Diff(want, cards.facts(t)); diff != "" {
				t.Errorf("systemd-udevd (-) and wyrnet (+) differ:\n%s\nwyrnet says:\n%s\nsystemd-udevd says:\n%s",
					diff, said, theirs)
			}
		})
	}
}

// linksPass runs TestLinks in a guest with the cards.
func linksPass(t *testing.T, cards []string) {
	t.Helper()
	var names []string
	for _, c := range linkCases {
		names = append(names, strings.ReplaceAll(c.name, " ", "_"))
	}
	passInGuest(t, "TestLinks", names, cards...)
}

// cards holds the PCI devices that have network links: their directories in sysfs, with the directories of their
// drivers.
type cards struct {
	drivers  map[string]string
	links    int
	hardware bool // compare the output of ethtool(8), too
}

// hardLinks returns the directories of the network links that hardware has.
func hardLinks(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("/sys/class/net/*/device")
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func findCards(t *testing.T) cards {
	t.Helper()
	c := cards{drivers: map[string]string{}}
	time.Sleep(pace(1)) // USB is slow
	for _, link := range hardLinks(t) {
		c.links++
		dir, err := filepath.EvalSymlinks(link)
		if err != nil {
			t.Fatal(err)
		}
		for ; ; dir = filepath.Dir(dir) {
			if subsystem, _ := os.Readlink(filepath.Join(dir, "subsystem")); filepath.Base(subsystem) == "pci" {
				break
			}
			if dir == "/" {
				t.Fatalf("%s is not a PCI device's", link)
			}
		}
		if c.drivers[dir], err = filepath.EvalSymlinks(filepath.Join(dir, "driver")); err != nil {
			t.Fatal(err)
		}
	}
	if c.links < 6 {
		t.Fatalf("there are %d network cards", c.links)
	}
	return c
}

// renew takes all cards from their drivers and gives them back one by one, so that the kernel names them anew.
func (c cards) renew(t *testing.T) {
	t.Helper()
	for _, what := range []string{"unbind", "bind"} {
		for _, card := range slices.Sorted(maps.Keys(c.drivers)) {
			if err := os.WriteFile(filepath.Join(c.drivers[card], what), []byte(filepath.Base(card)),
				0o200); err != nil {
				t.Fatal(err)
			}
		}
		deadline := time.Now().Add(pace(10))
		for want := map[string]int{"unbind": 0,
			"bind": c.links}[what]; len(hardLinks(t)) != want; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after %s there are %d links, want %d", what, len(hardLinks(t)), want)
			}
		}
	}
}

// udevd lets systemd-udevd apply only these files to the cards, and returns the result and its output.
func (c cards) udevd(t *testing.T, files map[string]string) (got map[string]string, said string) {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	conf, empty, rules := filepath.Join(w.dir, "conf"), filepath.Join(w.dir, "empty"), filepath.Join(w.dir, "rules")
	w.writeFiles(conf, files)
	w.writeFiles(empty, nil)
	// only the rules about names
	for _, rule := range []string{"75-net-description.rules", "80-net-setup-link.rules"} {
		text, err := os.ReadFile(filepath.Join("/usr/lib/udev/rules.d", rule))
		if err != nil {
			t.Fatal(err)
		}
		w.writeFiles(rules, map[string]string{rule: string(text)})
	}
	var out strings.Builder
	daemon := exec.Command("unshare", "--mount", "sh", "-ec", fmt.Sprintf(`
		mount --make-rprivate /
		mount --bind %s /etc/systemd/network
		mount --bind %s /usr/lib/systemd/network
		mount --bind %s /usr/lib/udev/rules.d
		export SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=info
		exec %s`, conf, empty, rules, udevd))
	daemon.Stdout, daemon.Stderr = &out, &out
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	w.eventually("systemd-udevd listens",
		func() bool { return exec.Command("udevadm", "control", "--ping").Run() == nil })
	w.run("udevadm", "trigger", "--action=add", "--subsystem-match=net")
	w.run("udevadm", "settle")
	got = c.facts(t)
	daemon.Process.Kill()
	daemon.Wait()
	if err := os.RemoveAll("/run/udev"); err != nil {
		t.Fatal(err)
	}
	return got, out.String()
}

// facts returns what is compared of each card's links, by the place of the card.
func (c cards) facts(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("ip", "-j", "-d", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	var links []map[string]any
	if err := json.Unmarshal(out, &links); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, l := range links {
		if device, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/class/net/%s/device", l["ifname"])); err == nil {
			if names, ok := l["altnames"].([]any); ok {
				slices.SortFunc(names, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
			}
			place := strings.TrimPrefix(device, "/sys/devices/")
			all[place] = facts(l, []string{"ifname", "altnames", "address", "mtu", "txqlen", "ifalias"})
			for _, what := range []string{"", "-k", "-g", "-a"} {
				if c.hardware { // not every card supports all of them
					out, _ := exec.Command("ethtool", strings.Fields(what+" "+l["ifname"].(string))...).Output()
					all[place+" ethtool "+what] = string(out)
				}
			}
		}
	}
	return all
}
