# make release: the files of a release, in out/release, for both architectures. Their names begin with
# wyrcan-VERSION-ARCH. Beside them are a list of what they are made of, and SHA256SUMS.
# make images: the same files, with names that stay as they are from release to release, in IMAGES. The links in
# README.md are to these.
#
# IMAGES=DIR   where make images puts them; the CI takes its own top directory

IMAGES ?= $(OUT)/images
RELEASED = $(OUT)/release/wyrcan-$(VERSION)-$(ARCH)
ENDS     = kernel initrd efi iso

.PHONY: release images released

# What was unpacked from packages of Debian, and which. A kernel of another origin has no such list.
LIST     = packages.list
KERNEL_LIST   = $(dir $(KERNEL))$(LIST)
FIRMWARE_LIST = $(if $(FILES),$(dir $(FILES))$(LIST))
# The directory in which systemd's EFI programs were unpacked; they may be installed.
BOOT_LIST     = $(if $(filter /usr/%,$(EFI)),$O/installed,$(EFI:/usr/lib/systemd/boot/efi=))/$(LIST)
SECURE_LIST   = $(if $(SECUREBOOT),$O/secureboot/packages/$(LIST))

%/$(LIST):
	@echo "release: there is no $@, which would name the packages of Debian that the files beside it are from:" \
	  "run make clean first, and leave out KERNEL=, MODULES= and FIRMWARE=DIR" >&2; exit 1
$O/installed/$(LIST): $(STUB)
	mkdir -p $(@D)/usr/share
	ln -sfn /usr/share/doc $(@D)/usr/share/doc
	tools/stanza -i systemd-boot-efi > $@

# The commands of the busybox, and what gobusybox adds to them. Its tags do not matter to other programs.
COMMANDS  = $(shell sed -n 's,^ *- \(\(\./cmds\|github\.com\)/.*\),\1,p' uroot-template.yaml) \
  github.com/u-root/gobusybox/src/pkg/bb/bbmain ./cmds/wyrinit
comma    := ,
empty    :=
commas    = $(subst $(empty) $(empty),$(comma),$(strip $1))

released: all deb $(KERNEL_LIST) $(FIRMWARE_LIST) $(BOOT_LIST) $(SECURE_LIST)
	mkdir -p $(OUT)/release
	$(foreach e,$(ENDS),cp $O/wyrcan.$e $(RELEASED).$e &&) cp $O/wyrcan $(RELEASED)
	cp $O/wyrcan_*.deb $(RELEASED).deb
	tar -c --sort=name --mtime=@$(SOURCE_DATE_EPOCH) --owner=0 --group=0 --numeric-owner --mode=a+rX,u+w,go-w \
	  -C $O/wyrcan.oci . > $(RELEASED).oci.tar
	go run ./tools/sbom -version '$(VERSION)' -commit '$(COMMIT)' -arch $(ARCH) -tags goshsmall \
	  -time $(SOURCE_DATE_EPOCH) -o $(RELEASED).spdx.json \
	  -go busybox=$(call commas,$(COMMANDS)) -go tool=./cmds/wyrcan,./cmds/wyrinit \
	  -debian kernel=$(KERNEL_LIST) -debian boot=$(BOOT_LIST) \
	  $(FIRMWARE_LIST:%=-debian firmware=%) $(SECURE_LIST:%=-debian boot=%) \
	  $(RELEASED).kernel=kernel $(RELEASED)=tool \
	  $(RELEASED).deb=tool,busybox,kernel,boot$(if $(FILES),$(comma)firmware) \
	  $(foreach e,initrd oci.tar,$(RELEASED).$e=busybox,kernel$(if $(FILES),$(comma)firmware)) \
	  $(foreach e,efi iso,$(RELEASED).$e=busybox,kernel,boot$(if $(FILES),$(comma)firmware))

release: other
	@. /etc/os-release; test "$$ID" = debian || { echo "release: the list of parts names packages of Debian," \
	  "and this is $$ID" >&2; exit 1; }
	rm -rf $(OUT)/release
	$(MAKE) released
	$(THEIR_MAKE) released
	cd $(OUT)/release && sha256sum -- * > SHA256SUMS

images: release
	mkdir -p $(IMAGES)/$(OTHER)
	for e in $(ENDS) spdx.json; do \
	  cp $(RELEASED).$$e $(IMAGES)/wyrcan.$$e && \
	  cp $(RELEASED:%-$(ARCH)=%-$(OTHER)).$$e $(IMAGES)/$(OTHER)/wyrcan.$$e || exit; done
	cp $(RELEASED) $(IMAGES)/wyrcan
	cp $(RELEASED:%-$(ARCH)=%-$(OTHER)) $(IMAGES)/$(OTHER)/wyrcan
	cd $(IMAGES) && sha256sum wyrcan wyrcan.* $(OTHER)/wyrcan $(OTHER)/wyrcan.* > SHA256SUMS
