package coldplug

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Device is a piece of hardware that asks for a driver.
type Device struct {
	Name     string   // on its bus: "0000:01:00.0"
	Modalias string   // identifies the drivers for it
	Driver   string   // the driver that is bound to it; "" if none is
	Modules  []string // the modules of this initrd and built-in drivers that match it
	Firmware []string // the firmware that its driver did not find
	Links    []string // its network interfaces
	kind     string
	barred   bool // the command line forbids all of Modules
	builtIn  bool // the kernel has no modules
}

// String describes the device for a person: "Ethernet controller 8086:1563 at
// 0000:01:00.0".
func (d Device) String() string { return fmt.Sprintf("%s at %s", d.kind, d.Name) }

// Trouble returns the reason, for a person, why the device cannot be used.
func (d Device) Trouble() string {
	switch {
	case len(d.Firmware) > 0:
		names := strings.Join(d.Firmware, ", ")
		return fmt.Sprintf("driver %s of the %s lacks its firmware %s", cmp.Or(d.driver(), "(unknown)"), d, names)
	case d.Driver == "" && len(d.Modules) == 0 && d.builtIn:
		return fmt.Sprintf("no driver of this kernel takes the %s, the kernel's log (dmesg) may say why", d)
	case d.Driver == "" && len(d.Modules) == 0:
		return fmt.Sprintf("this initrd has no driver for the %s", d)
	case d.barred && d.Driver == "":
		return fmt.Sprintf("the command line bars driver %s of the %s", d.driver(), d)
	case d.Driver == "":
		return fmt.Sprintf("driver %s does not take the %s, the kernel's log (dmesg) may say why", d.driver(), d)
	}
	return fmt.Sprintf("driver %s makes no network interface of the %s, the kernel's log (dmesg) may say why", d.Driver,
		d)
}

func (d Device) driver() string { return cmp.Or(d.Driver, strings.Join(d.Modules, " or ")) }

// pciNetwork names the subclasses of PCI's base class 02, network controllers.
var pciNetwork = map[string]string{
	"00": "Ethernet controller",
	"07": "InfiniBand controller",
}

// otherNetwork names the network cards of hypervisors and of systems on a chip by their modalias.
var otherNetwork = []struct{ prefix, kind string }{
	{"virtio:d00000001v", "virtio network card"},
	{"vmbus:635161f83edfc546913ff2d2f965ed0e", "Hyper-V network card"},
	{"xen:vif", "Xen network card"},
	{"of:Nethernet", "Ethernet controller"}, // the generic name of the node: Devicetree Specification, 2.2.2
	{"fsl-mc:v00001957ddpni", "DPAA2 network interface"},
}

// usbNetwork has the interface classes at the end of a modalias that identify USB network adapters: Ethernet, NCM
// and MBIM of USB's communications class, and RNDIS. An adapter with a vendor-specific class cannot be recognised.
var usbNetwork = []string{"ic02isc06", "ic02isc0d", "ic02isc0e", "ic02isc02ipff", "ice0isc01ip03", "icefisc04ip01"}

// networkKind describes the network card with this modalias, or returns "" if it is no network card.
// The modalias of a PCI device is pci:vNdNsvNsdNbcNscNiN (pci_uevent, drivers/pci/pci-driver.c).
func networkKind(modalias string) string {
	var vendor, device uint32
	if n, _ := fmt.Sscanf(modalias, "pci:v%8Xd%8Xsv", &vendor, &device); n == 2 {
		_, class, ok := strings.Cut(modalias, "bc02sc")
		if !ok {
			return ""
		}
		kind := pciNetwork[class[:min(2, len(class))]]
		if kind == "" {
			kind = "network controller"
		}
		return fmt.Sprintf("%s %04x:%04x", kind, vendor, device)
	}
	if n, _ := fmt.Sscanf(modalias, "usb:v%4Xp%4Xd", &vendor, &device); n == 2 {
		_, class, ok := strings.Cut(strings.ToLower(modalias), "ic")
		for _, network := range usbNetwork {
			if ok && strings.HasPrefix("ic"+class, network) {
				return fmt.Sprintf("USB network adapter %04x:%04x", vendor, device)
			}
		}
		return ""
	}
	for _, o := range otherNetwork {
		if strings.HasPrefix(modalias, o.prefix) {
			return o.kind
		}
	}
	return ""
}

// cards adds the network cards that are not usable to r: Missing are those without a bound, matching or built-in
// driver, Idle are those with a driver but without a network interface, and Wanting are those with an interface whose
// driver did not find all of its firmware.
func (l *Loader) cards(r *Result) {
	files, err := filepath.Glob(l.path("sys/bus/*/devices/*/modalias"))
	if err != nil {
		return
	}
	firmware := sync.OnceValue(func() map[string][]string { return firmwareWanted(l.path("dev/kmsg")) })
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		dir := filepath.Dir(file)
		d := Device{Name: filepath.Base(dir), Modalias: strings.TrimSpace(string(b)), builtIn: l.builtIn}
		if d.kind = networkKind(d.Modalias); d.kind == "" {
			continue
		}
		d.Driver = boundDriver(dir)
		if d.Driver == "virtio-pci" {
			continue // the card is the virtio device below this one
		}
		d.Modules = l.index.lookup(d.Modalias)
		d.barred = !slices.ContainsFunc(d.Modules, func(m string) bool { return !l.options.barred[m] })
		for _, a := range find(l.index.builtin, d.Modalias) {
			d.Modules, d.barred = append(d.Modules, a.module), false
		}
		d.Links, d.Firmware = links(dir), firmware()[d.Name]
		switch {
		case len(d.Links) > 0 && len(d.Firmware) > 0:
			r.Wanting = append(r.Wanting, d)
		case len(d.Links) > 0:
		case d.Driver == "" && len(d.Modules) == 0:
			r.Missing = append(r.Missing, d)
		default:
			r.Idle = append(r.Idle, d)
		}
	}
}

// boundDriver returns the name of the driver that is bound to the device, or "".
func boundDriver(dir string) string {
	link := filepath.Join(dir, "driver")
	if _, err := os.Lstat(link); err != nil {
		return ""
	}
	driver, err := os.Readlink(link)
	if err != nil {
		return "unknown"
	}
	return filepath.Base(driver)
}

// links returns the names of the network interfaces of a device and of the devices directly below it. It does not
// follow symbolic links, which lead to other devices: from a virtual function to the physical one.
func links(dir string) []string {
	var names []string
	children, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, c := range children {
		if !c.IsDir() {
			continue
		}
		net := filepath.Join(dir, c.Name(), "net")
		if c.Name() == "net" {
			net = filepath.Join(dir, "net")
		}
		found, _ := os.ReadDir(net)
		for _, f := range found {
			names = append(names, f.Name())
		}
	}
	return names
}

// phyAlias returns the modalias of an Ethernet PHY, which sysfs does not show: the
// 32 bits of its identifier as digits (include/linux/mod_devicetable.h, MDIO_ID_FMT).
// It returns "" if the PHY has no identifier.
func phyAlias(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "phy_id"))
	if err != nil {
		return ""
	}
	id, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(string(b)), "0x"), 16, 32)
	if err != nil || id == 0 {
		return ""
	}
	return fmt.Sprintf("mdio:%032b", id)
}
