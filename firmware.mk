# Wyrcan for EFI machines: wyrcan.efi, which has everything in one file, and wyrcan.iso, for a CD drive or a USB stick.
#
# CMDLINE=LINE  the kernel's command line in both

CMDLINE  ?= console=ttyS0,115200 console=tty0 quiet
# The directory of systemd's EFI programs on Debian, and the name of the architecture in their file names.
EFI      ?= /usr/lib/systemd/boot/efi
EFI_ARCH := $(patsubst amd64,x64,$(patsubst arm64,aa64,$(ARCH)))

# The time of every file on the boot medium.
ifndef SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
endif
export SOURCE_DATE_EPOCH

all: out/wyrcan.efi out/wyrcan.iso

# This file changes only if its content does. It may contain quotes.
out/cmdline: FORCE
	@mkdir -p out
	$(file >$@.new,$(CMDLINE))
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

out/wyrcan.efi: out/wyrcan.kernel out/wyrcan.initrd out/cmdline $(wildcard tools/uki/*.go pkg/uki/*.go)
	tools/need $(EFI)/linux$(EFI_ARCH).efi.stub=systemd-boot-efi
	go run ./tools/uki -stub $(EFI)/linux$(EFI_ARCH).efi.stub -kernel out/wyrcan.kernel \
	  -initrd out/wyrcan.initrd -cmdline "$$(cat out/cmdline)" -o $@

out/wyrcan.iso: out/wyrcan.kernel out/wyrcan.initrd out/cmdline $(wildcard tools/iso/*.go)
	tools/need $(EFI)/systemd-boot$(EFI_ARCH).efi=systemd-boot-efi /sbin/mkfs.vfat=dosfstools mcopy=mtools xorriso=xorriso
	go run ./tools/iso -arch $(ARCH) -boot $(EFI)/systemd-boot$(EFI_ARCH).efi -kernel out/wyrcan.kernel \
	  -initrd out/wyrcan.initrd -cmdline "$$(cat out/cmdline)" -o $@

# The boot loaders that the tests start Wyrcan with, and the programs that sign it.
LOADERS := /usr/lib/PXELINUX/pxelinux.0=pxelinux /usr/lib/syslinux/modules/bios/ldlinux.c32=syslinux-common \
  /usr/lib/grub/x86_64-efi/monolithic/grubnetx64.efi=grub-efi-amd64-bin \
  sbsign=sbsigntool openssl=openssl
