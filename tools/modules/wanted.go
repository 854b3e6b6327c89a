package main

// wanted lists what a machine may need between its firmware and a container
// registry, as paths below a kernel's module directory: a directory with all it
// holds, or one module. A kernel that has one of them built in, or not at all,
// is no mistake: lists differ between versions and distributions.
//
// Disks, sound, graphics and radio are left out on purpose.
var wanted = []string{
	// Ethernet, and what a network card is connected through.
	"kernel/drivers/net/ethernet",
	"kernel/drivers/net/phy",
	"kernel/drivers/net/mdio",
	"kernel/drivers/net/pcs",
	"kernel/drivers/net/usb",
	"kernel/drivers/net/thunderbolt-net",
	"kernel/drivers/net/thunderbolt/thunderbolt_net",
	"kernel/drivers/thunderbolt",

	// Hypervisors: virtio, VMware, Hyper-V, Xen, and their random numbers,
	// without which TLS may wait for minutes.
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

	// What networks are made of, for wyr.net.*.
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

	// Keyboards, for the one who answers a question, and the USB below them.
	"kernel/drivers/usb/core",
	"kernel/drivers/usb/host",
	"kernel/drivers/hid/hid-generic",
	"kernel/drivers/hid/hid-hyperv",
	"kernel/drivers/hid/usbhid",
	"kernel/drivers/input/serio/i8042",
	"kernel/drivers/input/serio/hyperv-keyboard",
	"kernel/drivers/input/keyboard/atkbd",

	// The firmware's own stores.
	"kernel/fs/efivarfs",
	"kernel/drivers/firmware/dmi-sysfs",
	"kernel/drivers/firmware/qemu_fw_cfg",
	"kernel/drivers/firmware/google",
}

// wantedRDMA is what -rdma adds: IP over InfiniBand, for machines that have no other network, and the adapters that
// there are. With what they depend on they are a megabyte that other machines need not carry.
var wantedRDMA = []string{
	"kernel/drivers/infiniband/hw/mlx4/mlx4_ib",
	"kernel/drivers/infiniband/hw/mlx5/mlx5_ib",
	"kernel/drivers/infiniband/ulp/ipoib/ib_ipoib",
}
