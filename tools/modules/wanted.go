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

// wantedRDMA lists what -rdma adds: IP over InfiniBand, for machines that have no other network, and the drivers of its
// adapters. With their dependencies they take a megabyte, which other machines do not need.
var wantedRDMA = []string{
	"kernel/drivers/infiniband/hw/mlx4/mlx4_ib",
	"kernel/drivers/infiniband/hw/mlx5/mlx5_ib",
	"kernel/drivers/infiniband/ulp/ipoib/ib_ipoib",
}
