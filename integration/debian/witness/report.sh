#!/bin/sh
# Prints the state of the booted Debian on the console, and powers it off.
say() { while read -r line; do echo "report: $line"; done; }
# memory prints /proc/meminfo, and what is free but not in MemFree: the pages in the lists of each processor.
memory() {
	sed "s/^/$1: /" /proc/meminfo
	awk -v when="$1" '$1 == "count:" { pages += $2 } END { print when ": Listed: " pages * 4 " kB" }' /proc/zoneinfo
}
{
	echo "systemd is $(systemctl is-system-running --wait)"
	memory memory
	test ! -e /sys/block/pmem0/size || echo "image: $(($(cat /sys/block/pmem0/size) / 2)) kB"
	systemctl --failed --no-legend --plain | sed 's/^/failed: /'
	getcap /usr/lib/witness/clock "$(command -v ping)" | sed 's/^/capability: /'
	! test -d /sys/firmware/efi || echo 'firmware: EFI'
	for name in $(systemd-creds --system --no-legend list | grep -o '^test\.[a-z]*'); do
		echo "credential: $name: $(systemd-creds --system cat "$name")"
	done
	grep ' / / ' /proc/self/mountinfo | sed 's/^/mount: /'
	grep ' /run ' /proc/self/mountinfo | sed 's/^/run: /'
	stat -c 'listed: %A %U %G' /run/wyrcan/boot.json
	sed 's/^/record: /' /run/wyrcan/boot.json
	dmesg | grep -i 'unpacking failed'
	mkdir -p /run/box/rootfs/bin
	cp /bin/busybox /run/box/rootfs/bin
	cd /run/box || exit
	runc spec
	sed -i -e 's/"terminal": true/"terminal": false/' \
		-e 's|^\(\s*\)"sh"|\1"/bin/busybox", "echo", "a container speaks"|' config.json
	runc run box < /dev/null 2>&1 | sed 's/^/runc: /'
	rm -r /run/box
	sync && echo 3 > /proc/sys/vm/drop_caches
	memory dropped
	echo 'done'
} | say
systemctl poweroff --force --force
