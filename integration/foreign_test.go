package integration

import (
	"bytes"
	"debug/elf"
	"os"
	"path"
	"runtime"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// TestForeignInitrd checks the initrd for arm64: the architecture of its programs and modules, and that the drivers of
// such machines are among these.
func TestForeignInitrd(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("make test builds the files for arm64 on amd64")
	}
	const limit = 20 << 20
	fi, err := os.Stat(vm.Artefact(t, "arm64/wyrcan.initrd"))
	if err != nil {
		t.Fatal(err)
	}
	if fi.Size() > limit || fi.Size()%4 != 0 {
		t.Errorf("it has %d bytes, want %d at most, and a multiple of four", fi.Size(), limit)
	}
	records := initrdOf(t, "arm64/wyrcan.initrd")
	there := make(map[string]bool)
	for name := range records {
		there[path.Base(name)] = true
		if path.Ext(name) != ".ko" && name != "bbin/bb" && name != "usr/lib/wyrcan/wyrinit" {
			continue
		}
		f, err := elf.NewFile(bytes.NewReader(content(t, records, name)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if f.Machine != elf.EM_AARCH64 {
			t.Errorf("%s is for %v", name, f.Machine)
		}
	}
	for _, name := range []string{
		"bb", "wyrinit", "modules.dep", "modules.alias",
		// Cards of servers and clouds.
		"ena.ko", "mlx5_core.ko", "ixgbe.ko", "i40e.ko", "ice.ko", "bnxt_en.ko", "virtio_net.ko", "hv_netvsc.ko",
		// What is in a server's chip: HiSilicon, Cavium, AMD, NXP, Marvell.
		"hns3.ko", "hclge.ko", "hns_enet_drv.ko", "hns_dsaf.ko", "nicvf.ko", "thunder_bgx.ko", "mdio-thunder.ko",
		"amd-xgbe.ko", "fsl-dpaa2-eth.ko", "fsl-mc-dpio.ko", "mvpp2.ko", "phy-mvebu-cp110-comphy.ko",
		// What is in a board's chip, and what these wait for.
		"dwmac-rk.ko", "dwmac-sun8i.ko", "genet.ko", "mdio-bcm-unimac.ko", "fec.ko", "rk808-regulator.ko",
		"i2c-rk3x.ko", "dwc3.ko",
		// Random numbers.
		"virtio-rng.ko", "arm_smccc_trng.ko", "hisi-rng.ko", "cavium-rng.ko",
		"qemu_fw_cfg.ko", "virtio_pci.ko", "virtio_mmio.ko", "realtek.ko", "bonding.ko",
	} {
		if !there[name] {
			t.Errorf("no %s", name)
		}
	}
}
