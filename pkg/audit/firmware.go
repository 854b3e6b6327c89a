package audit

import (
	"slices"
	"strings"
)

// card is a family of network cards that do not work without firmware from the image.
type card struct {
	driver   string
	name     string
	packages map[family]string
}

// cards lists them. Drivers that merely name firmware are not here: their cards have a copy in flash memory (tg3,
// cxgb4, nfp, liquidio), or work without (r8169, ice).
var cards = []card{
	{"bnx2", "Broadcom NetXtreme II, 1 Gbit/s", map[family]string{
		debian: "firmware-bnx2", fedora: "linux-firmware", rhel: "linux-firmware", arch: "linux-firmware-broadcom",
		suse: "kernel-firmware-bnx2", alpine: "linux-firmware-bnx2",
	}},
	{"bnx2x", "Broadcom NetXtreme II, 10 Gbit/s", map[family]string{
		debian: "firmware-bnx2x", fedora: "linux-firmware", rhel: "linux-firmware", arch: "linux-firmware-broadcom",
		suse: "kernel-firmware-bnx2", alpine: "linux-firmware-bnx2x",
	}},
	{"qed", "QLogic and Marvell FastLinQ", map[family]string{
		debian: "firmware-qlogic", fedora: "qed-firmware", arch: "linux-firmware-qlogic",
		suse: "kernel-firmware-qlogic", alpine: "linux-firmware-qed",
	}},
	{"bna", "Brocade and QLogic BR-Series", map[family]string{
		debian: "firmware-qlogic", fedora: "linux-firmware", rhel: "linux-firmware", arch: "linux-firmware-qlogic",
	}},
	{"tehuti", "Tehuti Networks, 10 Gbit/s", map[family]string{
		debian: "firmware-misc-nonfree", fedora: "linux-firmware", rhel: "linux-firmware", arch: "linux-firmware-other",
		suse: "kernel-firmware-network", alpine: "linux-firmware-tehuti",
	}},
	{"typhoon", "3Com 3CR990", map[family]string{
		debian: "firmware-misc-nonfree", fedora: "linux-firmware", rhel: "linux-firmware", arch: "linux-firmware-other",
		suse: "kernel-firmware-network", alpine: "linux-firmware-3com",
	}},
}

// Firmware returns what network cards miss, given the names of the drivers that have none of the firmware that they
// name. It returns nil if the distribution has no package for any of them: then nothing can be done.
func (v *View) Firmware(drivers []string) *Finding {
	f := v.family
	var names, packages []string
	for _, c := range cards {
		p := c.packages[f]
		if f == ubuntu {
			p = "linux-firmware"
		}
		if p == "" || !slices.Contains(drivers, c.driver) {
			continue
		}
		names = append(names, c.name+" ("+c.driver+": "+p+")")
		packages = append(packages, p)
	}
	if len(names) == 0 {
		return nil
	}
	mend := f.install(packages...)
	if f == debian {
		mend = "# The packages are in non-free-firmware:\n" + nonFree + "\n" + mend
	}
	return &Finding{NICFirmware, "these network cards do not work, because their firmware is missing; each with its " +
		"driver, and the package that has it: " + strings.Join(names, ", "), mend}
}

// nonFree has apt read the part of Debian with firmware, in both forms of its list of sources.
const nonFree = `RUN sed -i 's/^Components: main$/& non-free-firmware/' /etc/apt/sources.list.d/*.sources || \
    sed -i 's/ main$/& non-free-firmware/' /etc/apt/sources.list`
