package network

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// describe fills in what ethtool and sysfs say about a device.
func (linux) describe(d *device) {
	d.Driver = driver(d.Name)
	dir := filepath.Join("/sys/class/net", d.Name)
	if uevent, err := os.ReadFile(filepath.Join(dir, "uevent")); err == nil {
		for line := range strings.Lines(string(uevent)) {
			if t, found := strings.CutPrefix(strings.TrimSpace(line), "DEVTYPE="); found {
				d.Type = t
			}
		}
	}
	if real, err := filepath.EvalSymlinks(filepath.Join(dir, "device")); err == nil {
		d.Path = idPath(real)
	}
}

// driver returns the driver name as ethtool -i does, for hardware the name of the kernel module; "" if there is none.
func driver(name string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}

// idPath returns udev's ID_PATH for a device's directory in sysfs: the hardware path without the parts that the
// kernel numbers freely.
func idPath(dir string) string {
	var parts []string
	usb := regexp.MustCompile(`^[0-9]+-([0-9.]+):([0-9]+\.[0-9]+)$`)
	for dir != "/" && dir != "." && dir != "/sys/devices" {
		base := filepath.Base(dir)
		subsystem, _ := os.Readlink(filepath.Join(dir, "subsystem"))
		switch filepath.Base(subsystem) {
		case "pci":
			return strings.Join(append([]string{"pci-" + base}, parts...), "-")
		case "platform":
			return strings.Join(append([]string{"platform-" + base}, parts...), "-")
		case "usb":
			if m := usb.FindStringSubmatch(base); m != nil && len(parts) == 0 {
				parts = []string{fmt.Sprintf("usb-0:%s:%s", m[1], m[2])}
			}
		}
		dir = filepath.Dir(dir)
	}
	return ""
}

// architecture converts Go's name to the one of ConditionArchitecture in systemd.unit(5).
func architecture(goarch string) string {
	switch goarch {
	case "amd64":
		return "x86-64"
	case "386":
		return "x86"
	case "ppc64le":
		return "ppc64-le"
	}
	return goarch
}
