package coldplug

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Device is a piece of hardware that asks for a driver.
type Device struct {
	Name     string // on its bus: "0000:01:00.0"
	Modalias string // what it asks for
	kind     string
}

// String describes the device for a person: "Ethernet controller 8086:1563 at
// 0000:01:00.0".
func (d Device) String() string { return fmt.Sprintf("%s at %s", d.kind, d.Name) }

// pciNetwork names the subclasses of PCI's base class 02, network controllers.
var pciNetwork = map[string]string{
	"00": "Ethernet controller",
	"07": "InfiniBand controller",
}

// virtualNetwork names the network cards of hypervisors by their modalias.
var virtualNetwork = []struct{ prefix, kind string }{
	{"virtio:d00000001v", "virtio network card"},
	{"vmbus:635161f83edfc546913ff2d2f965ed0e", "Hyper-V network card"},
	{"xen:vif", "Xen network card"},
}

// networkKind describes the network card that a modalias belongs to, or is "".
// A PCI device's is pci:vNdNsvNsdNbcNscNiN (pci_uevent, drivers/pci/pci-driver.c).
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
	for _, v := range virtualNetwork {
		if strings.HasPrefix(modalias, v.prefix) {
			return v.kind
		}
	}
	return ""
}

// missing returns the network cards that have no driver bound and that no module
// and nothing built in claims to serve.
func (l *Loader) missing() []Device {
	files, err := filepath.Glob(l.path("sys/bus/*/devices/*/modalias"))
	if err != nil {
		return nil
	}
	var missing []Device
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		dir := filepath.Dir(file)
		d := Device{Name: filepath.Base(dir), Modalias: strings.TrimSpace(string(b))}
		if d.kind = networkKind(d.Modalias); d.kind == "" {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, "driver")); err == nil {
			continue
		}
		if len(l.index.lookup(d.Modalias)) == 0 && !l.index.builtIn(d.Modalias) {
			missing = append(missing, d)
		}
	}
	return missing
}

// phyAlias makes the modalias of an Ethernet PHY, which sysfs does not give: the
// 32 bits of its identifier as digits (include/linux/mod_devicetable.h, MDIO_ID_FMT).
// It is "" where there is no identifier.
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
