#!/bin/sh
# Prints the state of the booted Debian on the console, and powers it off.
say() { while read -r line; do echo "report: $line"; done; }
{
	echo "systemd is $(systemctl is-system-running --wait)"
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
	grep -E '^(MemTotal|MemAvailable|Cached|Shmem):' /proc/meminfo | sed 's/^/memory: /'
	echo 'done'
} | say
systemctl poweroff --force --force
