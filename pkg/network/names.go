package network

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// predictable is the names that systemd would give a link: systemd.net-naming-scheme(7), without the hardware
// database. A name that does not exist for the link is empty.
type predictable struct {
	onboard, slot, path, mac string

	// The present name was given by user space, or by the kernel where that knows the hardware: NET_NAME_* in
	// linux/netdevice.h.
	user, kernel bool
}

func (p predictable) byPolicy(policy string) string {
	switch policy {
	case "onboard":
		return p.onboard
	case "slot":
		return p.slot
	case "path":
		return p.path
	case "mac":
		return p.mac
	}
	return ""
}

func (p predictable) all() []string {
	var out []string
	for _, n := range []string{p.onboard, p.slot, p.path, p.mac} {
		if n != "" {
			out = append(out, n)
		}
	}
	return out
}

// pciAddress is DOMAIN:BUS:SLOT.FUNCTION in hexadecimal.
var pciAddress = regexp.MustCompile(`^([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$`)

// predictableNames derives the names from sysfs, whose root is sys (/sys).
func predictableNames(sys, name string) predictable {
	var p predictable
	class := filepath.Join(sys, "class/net", name)
	switch attr(class, "name_assign_type") {
	case "2":
		p.kernel = true
	case "3", "4":
		p.user = true
	}
	prefix := map[string]string{"1": "en", "32": "ib"}[attr(class, "type")] // ARPHRD_ETHER, ARPHRD_INFINIBAND
	if prefix == "" {
		return p
	}
	if strings.Contains(attr(class, "uevent"), "DEVTYPE=wlan") {
		prefix = "wl"
	}
	p.mac = nameByMAC(prefix, class)
	usb, pci := parents(sys, class)
	m := pciAddress.FindStringSubmatch(filepath.Base(pci))
	if m == nil {
		return p
	}
	field := func(s string) uint64 {
		n, _ := strconv.ParseUint(s, 16, 32) // the expression lets digits pass only
		return n
	}
	domain, bus, slot, function := field(m[1]), field(m[2]), field(m[3]), field(m[4])
	port := portName(attr(class, "phys_port_name"), attr(class, "dev_port"))
	suffix := usb
	if usb == "" {
		suffix = port
	}
	if function > 0 || multifunction(pci) {
		suffix = fmt.Sprintf("f%d", function) + suffix
	}
	start := prefix
	if domain > 0 {
		start += fmt.Sprintf("P%d", domain)
	}
	p.path = limit(fmt.Sprintf("%sp%ds%d%s", start, bus, slot, suffix))
	if n := hotplugSlot(sys, pci); n > 0 {
		p.slot = limit(fmt.Sprintf("%ss%d%s", start, n, suffix))
	}
	if n := onboardIndex(pci); n > 0 && usb == "" {
		p.onboard = limit(fmt.Sprintf("%so%d%s", start, n, port))
	}
	return p
}

// attr returns a file of sysfs without white space around it; "" if it cannot be read.
func attr(dir, file string) string {
	b, _ := os.ReadFile(filepath.Join(dir, file))
	return strings.TrimSpace(string(b))
}

// nameByMAC returns the name made of the hardware address, if that is burnt in (addr_assign_type 0). An address that
// the kernel made up identifies nothing.
func nameByMAC(prefix, class string) string {
	mac := strings.ReplaceAll(attr(class, "address"), ":", "")
	_, err := hex.DecodeString(mac)
	if err != nil || len(mac) != 12 || mac == "000000000000" || attr(class, "addr_assign_type") != "0" {
		return ""
	}
	return prefix + "x" + mac
}

// parents returns the name of the USB port that the link's device is at, if any, and the directory of its PCI device.
func parents(sys, class string) (usb, pci string) {
	device, err := filepath.EvalSymlinks(filepath.Join(class, "device"))
	if err != nil {
		return "", ""
	}
	for dir := device; len(dir) > len(sys); dir = filepath.Dir(dir) {
		subsystem, _ := os.Readlink(filepath.Join(dir, "subsystem"))
		switch filepath.Base(subsystem) {
		case "usb":
			if usb == "" {
				usb = usbName(filepath.Base(dir))
			}
		case "pci":
			return usb, dir
		}
	}
	return usb, ""
}

// onboardIndex returns the number that the firmware gives a device in ACPI's _DSM or SMBIOS type 41; 0 if there is
// none. The limit is the kernel's: some firmware gives nonsense.
func onboardIndex(pci string) uint64 {
	index := attr(pci, "acpi_index")
	if index == "" {
		index = attr(pci, "index")
	}
	n, err := strconv.ParseUint(index, 10, 32)
	if err != nil || n > 16383 {
		return 0
	}
	return n
}

// limit drops a name that is too long for the kernel.
func limit(name string) string {
	if len(name) > 15 {
		return ""
	}
	return name
}

func portName(physical, number string) string {
	if physical != "" {
		return "n" + physical
	}
	if n, err := strconv.ParseUint(number, 10, 16); err == nil && n > 0 {
		return fmt.Sprintf("d%d", n)
	}
	return ""
}

// usbName turns 1-2.3:1.0 into u2u3, with the configuration and interface appended unless they are 1 and 0.
func usbName(dir string) string {
	ports, numbers, ok := strings.Cut(dir, ":")
	_, ports, ok2 := strings.Cut(ports, "-")
	config, iface, ok3 := strings.Cut(numbers, ".")
	if !ok || !ok2 || !ok3 {
		return ""
	}
	name := "u" + strings.ReplaceAll(ports, ".", "u")
	if config != "1" {
		name += "c" + config
	}
	if iface != "0" {
		name += "i" + iface
	}
	return name
}

// multifunction reports whether the PCI header type says that the slot has more than one function.
func multifunction(pci string) bool {
	f, err := os.Open(filepath.Join(pci, "config"))
	if err != nil {
		return false
	}
	defer f.Close()
	header := make([]byte, 1)
	_, err = f.ReadAt(header, 0x0e)
	return err == nil && header[0]&0x80 != 0
}

// hotplugSlot returns the number of the slot that has the address of the device or of a bridge above it; 0 if there
// is none. The slot of a bridge names a device behind it only if that device has several functions, which tell the
// names apart.
func hotplugSlot(sys, pci string) int {
	slots, err := os.ReadDir(filepath.Join(sys, "bus/pci/slots"))
	if err != nil {
		return 0
	}
	for dir := pci; pciAddress.MatchString(filepath.Base(dir)); dir = filepath.Dir(dir) {
		address, _, _ := strings.Cut(filepath.Base(dir), ".")
		for _, s := range slots {
			n, err := strconv.Atoi(s.Name()) // not "3-1", the kernel's name for a second slot 3
			if err != nil || n <= 0 {
				continue
			}
			b, err := os.ReadFile(filepath.Join(sys, "bus/pci/slots", s.Name(), "address"))
			if err != nil || strings.TrimSpace(string(b)) != address {
				continue
			}
			if bridge(dir) && !multifunction(pci) {
				return 0
			}
			return n
		}
	}
	return 0
}

// bridge reports whether the PCI device is a bridge to another PCI bus.
func bridge(pci string) bool {
	class, err := os.ReadFile(filepath.Join(pci, "class"))
	return err == nil && strings.HasPrefix(string(class), "0x0604")
}
