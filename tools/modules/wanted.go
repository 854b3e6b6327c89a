package main

// wanted lists the modules that a machine may need to reach a container registry,
// as paths below a kernel's module directory: a single module, or a directory
// with all modules in it. It is no error if a kernel has one of them built in or
// does not have it: kernels differ between versions and distributions.
//
// Drivers for disks, sound, graphics and radio are left out on purpose.
var wanted = []string{
	// Ethernet, and the buses that connect network cards.
	"kernel/drivers/net/ethernet",
	"kernel/drivers/net/phy",
	"kernel/drivers/net/mdio",
	"kernel/drivers/net/pcs",
	"kernel/drivers/net/usb",
	"kernel/drivers/net/thunderbolt-net",
	"kernel/drivers/net/thunderbolt/thunderbolt_net",
	"kernel/drivers/thunderbolt",

	// Hypervisors: virtio, VMware, Hyper-V, Xen, and their sources of random
	// numbers, without which TLS may wait for minutes.
	"kernel/drivers/virtio/virtio_pci",
	"kernel/drivers/virtio/virtio_mmio",
	"kernel/drivers/net/virtio_net",
	"kernel/drivers/char/hw_random/virtio-rng",
	"kernel/drivers/net/vmxnet3",
	"kernel/drivers/hv/hv_vmbus",
	"kernel/drivers/hv/hv_utils",
	"kernel/drivers/net/hyperv",
	"kernel/drivers/pci/controller/pci-hyperv",
	"kernel/drivers/net/xen-netfront",

	// Virtual network devices and protocols, for wyr.net.*.
	"kernel/net/8021q",
	"kernel/net/llc",
	"kernel/net/802/stp",
	"kernel/net/bridge/bridge",
	"kernel/net/packet",
	"kernel/net/ipv6/ipv6",
	"kernel/drivers/net/bonding",
	"kernel/drivers/net/dummy",
	"kernel/drivers/net/macvlan",
	"kernel/drivers/net/ipvlan/ipvlan",
	"kernel/drivers/net/veth",
	"kernel/drivers/net/vrf",
	"kernel/drivers/net/vxlan",
	"kernel/drivers/net/geneve",
	"kernel/drivers/net/team",
	"kernel/drivers/net/tun",
	"kernel/drivers/net/wireguard",

	// Keyboards, so that a person can answer a question, and USB.
	"kernel/drivers/usb/core",
	"kernel/drivers/usb/host",
	"kernel/drivers/hid/hid-generic",
	"kernel/drivers/hid/hid-hyperv",
	"kernel/drivers/hid/usbhid",
	"kernel/drivers/input/serio/i8042",
	"kernel/drivers/input/serio/hyperv-keyboard",
	"kernel/drivers/input/keyboard/atkbd",

	// Access to data of the firmware.
	"kernel/fs/efivarfs",
	"kernel/drivers/firmware/dmi-sysfs",
	"kernel/drivers/firmware/qemu_fw_cfg",
	"kernel/drivers/firmware/google",
}

// wantedOn lists what an architecture needs besides wanted.
//
// On arm64 a network card may be a part of the processor's chip, or be behind a PCI or USB controller in it. Such a
// device is described by a device tree, and its driver waits until the drivers of everything that the tree says about
// it are there: clocks, resets, power domains, voltage regulators with the I2C or SPI bus that they are on, pins, PHYs,
// the switch behind it, the memory with its MAC address. Debian's kernel has most of these built in, and interrupt
// controllers, SMMU and PCI's ECAM as well.
//
// And its firmware need not have a source of random numbers, without which the kernel has none for minutes.
var wantedOn = map[string][]string{
	"arm64": {
		"kernel/drivers/bus",
		"kernel/drivers/char/hw_random",
		"kernel/drivers/clk",
		"kernel/drivers/extcon",
		"kernel/drivers/gpio",
		"kernel/drivers/hwspinlock",
		"kernel/drivers/i2c/busses",
		"kernel/drivers/i2c/muxes",
		"kernel/drivers/interconnect",
		"kernel/drivers/iommu",
		"kernel/drivers/irqchip",
		"kernel/drivers/mailbox",
		"kernel/drivers/mfd",
		"kernel/drivers/mux",
		"kernel/drivers/net/dsa",
		"kernel/drivers/nvmem",
		"kernel/drivers/pci/controller",
		"kernel/drivers/phy",
		"kernel/drivers/pinctrl",
		"kernel/drivers/pmdomain",
		"kernel/drivers/regulator",
		"kernel/drivers/reset",
		"kernel/drivers/soc",
		"kernel/drivers/spi",
		"kernel/drivers/usb/chipidea",
		"kernel/drivers/usb/dwc2",
		"kernel/drivers/usb/dwc3",
		"kernel/drivers/usb/musb",
		"kernel/drivers/usb/phy",
	},
}

// wantedRDMA lists what -rdma adds: IP over InfiniBand, for machines that have no other network, and the drivers of its
// adapters. With their dependencies they take a megabyte, which other machines do not need.
var wantedRDMA = []string{
	"kernel/drivers/infiniband/hw/mlx4/mlx4_ib",
	"kernel/drivers/infiniband/hw/mlx5/mlx5_ib",
	"kernel/drivers/infiniband/ulp/ipoib/ib_ipoib",
}
