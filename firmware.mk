# Wyrcan for EFI machines: wyrcan.efi, which has everything in one file, and wyrcan.iso, for a CD drive or a USB stick.
# And the payload for firmware that is a Linux itself.
#
# CMDLINE=LINE    the kernel's command line in these
# PROFILES=NAMES  the further entries of the menu that wyrcan.efi has: clear shell nokeep; empty: no menu. With KEYS
#                 there is no shell.
# SECUREBOOT=1    wyrcan.iso, and what wyrcan serve offers, boot with Secure Boot too: shim, GRUB and the kernel that the
#                 distribution has signed (docs/secure-boot.md)

# The serial line of an arm64 machine is a PL011 or a 16550. Without console= the kernel would take the one that the
# firmware names, but leave the screen out. A console that the machine does not have does no harm.
PL011    := console=ttyAMA0,115200
CMDLINE  ?= $(strip $(if $(filter arm64,$(ARCH)),$(PL011)) console=ttyS0,115200 console=tty0 quiet)
# In a shell no policy counts, so an image with one has none in its menu.
PROFILES ?= clear $(if $(KEYS),,shell) nokeep
# systemd's EFI programs: their directory on Debian, the name of the architecture in their file names, the stub of a
# unified kernel image, and the boot loader with the menu. Those of another architecture or release are not installed.
# Only systemd 257 and newer know profiles. Debian 12 has an older one, so there they come from Debian 13.
RELEASE  := $(or $(DIST),$(shell . /etc/os-release && test "$$VERSION_CODENAME" = bookworm && echo trixie))
SYSTEMD  := $(if $(filter $(HOST),$(ARCH)$(RELEASE)),,$O/systemd$(RELEASE:%=-%))
EFI      ?= $(SYSTEMD)/usr/lib/systemd/boot/efi
EFI_ARCH := $(patsubst amd64,x64,$(patsubst arm64,aa64,$(ARCH)))
STUB     := $(EFI)/linux$(EFI_ARCH).efi.stub
MENU     := $(EFI)/systemd-boot$(EFI_ARCH).efi

# The time of every file on the boot medium.
ifndef SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
endif
export SOURCE_DATE_EPOCH

all: $O/wyrcan.efi $O/wyrcan.iso

$(STUB):
	$(if $(SYSTEMD),tools/package $(ARCH) '$(RELEASE)' $(SYSTEMD) systemd-boot-efi,tools/need $@=systemd-boot-efi)
$(MENU): $(STUB)

# These files change only if their content does. It may contain quotes.
$O/cmdline: export LINE = $(CMDLINE)
$O/profiles: export LINE = $(PROFILES)
$O/cmdline $O/profiles: FORCE
	@mkdir -p $O
	@printf '%s\n' "$$LINE" > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$O/wyrcan.efi: $O/wyrcan.kernel $O/wyrcan.initrd $O/cmdline $O/profiles $(STUB) $(wildcard tools/uki/*.go pkg/uki/*.go)
	go run ./tools/uki -stub $(STUB) -kernel $O/wyrcan.kernel -initrd $O/wyrcan.initrd -cmdline "$$(cat $O/cmdline)" \
	  -profiles "$$(cat $O/profiles)" -o $@

# What make SECUREBOOT=1 makes: the medium, and beside it the boot loaders.
SECURE := $O/secureboot/wyrcan.iso

ISO_TOOLS := tools/need /sbin/mkfs.vfat=dosfstools mcopy=mtools xorriso=xorriso
ISO_MAKE  := go run ./tools/iso -arch $(ARCH) -kernel $O/wyrcan.kernel -initrd $O/wyrcan.initrd
ISO_FROM  := $O/wyrcan.kernel $O/wyrcan.initrd $O/cmdline $(wildcard tools/iso/*.go pkg/grub/*.go)

ifeq ($(SECUREBOOT),)
$O/wyrcan.iso: $(ISO_FROM) $(MENU) $O/choice
	$(ISO_TOOLS)
	$(ISO_MAKE) -boot $(MENU) -cmdline "$$(cat $O/cmdline)" -o $@
else
$O/wyrcan.iso: $(SECURE) $O/choice
	cp $< $@
endif

# The chain for Secure Boot. Under lockdown a kernel is started with kexec_file_load alone, which Debian's kernels for
# arm64 do not have.
$O/secureboot/shimx64.efi: tools/secureboot
	$(if $(filter-out amd64,$(ARCH)),$(error SECUREBOOT=1 is for amd64 alone: see docs/secure-boot.md))
	tools/secureboot $(@D)

$(SECURE): $O/secureboot/shimx64.efi $(ISO_FROM)
	$(ISO_TOOLS)
	$(ISO_MAKE) -boot $O/secureboot/shimx64.efi -grub $O/secureboot/grubcdx64.efi -mok $O/secureboot/mmx64.efi \
	  -cmdline "$$(cat $O/cmdline)" -o $@

# The boot loaders that the tests start Wyrcan with, and the programs that sign it.
LOADERS := /usr/lib/PXELINUX/pxelinux.0=pxelinux /usr/lib/syslinux/modules/bios/ldlinux.c32=syslinux-common \
  /usr/lib/grub/x86_64-efi/monolithic/grubnetx64.efi=grub-efi-amd64-bin \
  sbsign=sbsigntool openssl=openssl

# The payload: a small kernel with all its drivers built in, the initrd for it, and both in one file, bzImage. A flash
# of 16 MiB has no more room than this for them.
PAYLOAD_MAX := 8388608

.PHONY: payload
payload: out/payload/kernel out/payload/initrd out/payload/bzImage
	@wc -c $^
	@test $$(cat out/payload/kernel out/payload/initrd | wc -c) -le $(PAYLOAD_MAX) -a \
	  $$(cat out/payload/bzImage | wc -c) -le $(PAYLOAD_MAX) || \
	  { echo "payload: more than $(PAYLOAD_MAX) bytes" >&2; exit 1; }

# What builds a kernel. apt downloads its source without installing it.
KBUILD := gcc=gcc flex=flex bison=bison bc=bc xz=xz-utils /usr/include/libelf.h=libelf-dev

out/payload/kernel: tools/payload/kernel tools/payload/kernel.config
	tools/need $(KBUILD)
	tools/payload/kernel tools/payload/kernel.config $@

out/payload/bzImage: out/payload/kernel out/busybox.cpio out/cmdline
	tools/payload/kernel tools/payload/kernel.config $@ out/busybox.cpio "$$(cat out/cmdline)"

# xz is smaller than zstd by an eighth, and takes the kernel half a second longer.
out/payload/initrd: out/busybox.cpio
	tools/need xz=xz-utils
	mkdir -p $(@D)
	xz --check=crc32 --x86 --lzma2=preset=9e -c $< > $@

# The firmware that the tests start the payload with.
out/payload/coreboot.rom: tools/payload/coreboot tools/payload/flash.fmd
	tools/need gcc=gcc make=make flex=flex bison=bison iasl=acpica-tools cbfstool=coreboot-utils patch=patch \
	  $$(gcc -dumpversion | sed 's|.*|/usr/lib/gcc/x86_64-linux-gnu/&/32/libgcc.a=lib32gcc-&-dev|')
	mkdir -p $(@D)
	tools/payload/coreboot tools/payload/flash.fmd $@
