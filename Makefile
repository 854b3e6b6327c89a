# make            builds everything into out/
# make run        boots the demo container in QEMU, on this terminal; IMG=REF boots another image
# make demo       the same, unattended: succeeds when the container's /init has printed its line
# make lint       gofmt, go vet, staticcheck and shellcheck
# make test-unit  make lint, and the tests that boot no machine
# make test       make test-unit, and the tests that boot machines in QEMU
# make test-slow  the tests that take long
# make bench      measures time and memory
# make payload    a kernel and an initrd of 8 MiB for firmware: coreboot, LinuxBoot; the first time takes 15 minutes
# make push       sends Wyrcan, as a bootable container, to a registry: REF=NAME
# make clean      removes out/
#
# KERNEL=FILE MODULES=DIR   use this kernel instead of the distribution's package
# FIRMWARE=DIR              adds the firmware files that the network drivers name, from DIR
# RDMA=1                    adds the drivers for IP over InfiniBand
# SECUREBOOT=1              wyrcan.iso and the files for the network boot with Secure Boot, too
# KEYS='A.pub B.pub'       the machine boots only images that one of these keys has signed

ARCH     := $(shell dpkg --print-architecture 2>/dev/null || go env GOARCH)
OTHER    := $(filter-out $(ARCH),amd64 arm64)
# The version is the tag v1.2.3, with the commit behind it where that is a later one. Without such a tag it is
# "unreleased", with the commit where git knows one. --abbrev makes it the same in each clone.
VERSION  := $(shell git describe --tags --match 'v[0-9]*' --abbrev=12 --dirty 2>/dev/null || \
  git describe --always --exclude '*' --abbrev=12 --dirty 2>/dev/null | sed 's/^/unreleased-/' | grep . || \
  echo unreleased)
COMMIT   := $(shell git rev-parse HEAD 2>/dev/null)
KERNEL   ?= out/kernel/vmlinuz
MODULES  ?= out/kernel/modules
FIRMWARE ?=
RDMA     ?=
SECUREBOOT ?=
KEYS     ?=
# What runs the tests; .ci/run has it say more.
GOTEST   ?= go test
MODULE   := gitlab.com/wyrcan/wyrcan
SOURCES  := go.mod go.sum $(shell find cmds pkg -name '*.go' ! -name '*_test.go')

# On Debian depmod and mkfs are in directories that only root has in PATH.
export PATH := $(PATH):/usr/sbin:/sbin

# The busybox is built outside a module, where Go uses the defaults of Go 1.20, for TLS among others. With an empty
# godebugDefault it uses those of the current version.
LDFLAGS   = -s -w -buildid= -X runtime.godebugDefault= \
  $(foreach c,wyrboot wyrefi,-X $(MODULE)/cmds/$c.version=$(VERSION)) \
  -X $(MODULE)/cmds/wyrboot.built=$(SOURCE_DATE_EPOCH) \
  $(if $(KEYS),-X $(MODULE)/cmds/wyrboot.builtinPolicy=$(shell base64 -w0 out/policy.json))
# gobusybox turns inlining off, to save space. Here it is on for the code through which every byte of an image passes:
# that adds 27 kB to the initrd, and saves a third of the time from layers to an initramfs.
INLINED  := $(MODULE)/pkg/inflate github.com/klauspost/compress/... encoding/binary

.DELETE_ON_ERROR:
.PHONY: all run demo lint test test-unit test-slow bench push clean FORCE

all: out/wyrcan.kernel out/wyrcan.initrd out/wyrcan out/wyrcan.oci $(OTHER:%=out/%/wyrinit)

include firmware.mk

# These files change only if their content does, so that make rebuilds what depends on them.
out/version: CONTENT = $(VERSION) $(COMMIT) $(SOURCE_DATE_EPOCH)
out/choice: CONTENT = $(KERNEL) $(MODULES) $(FIRMWARE) $(RDMA:%=rdma) $(KEYS) $(SECUREBOOT:%=secureboot)
out/version out/choice: FORCE
	@mkdir -p out
	@echo '$(CONTENT)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

out/kernel/vmlinuz:
	tools/kernel $(ARCH) out/kernel
out/kernel/modules: out/kernel/vmlinuz

out/wyrcan.kernel: $(KERNEL) out/choice
	cp $(KERNEL) $@

out/modules.cpio: $(MODULES) out/choice go.mod $(wildcard tools/modules/*.go pkg/modinfo/*.go)
	tools/need depmod=kmod
	go run ./tools/modules -from $(MODULES) -o $@ $(if $(FIRMWARE),-firmware $(FIRMWARE)) $(if $(RDMA),-rdma)

# Static programs: the booted container's first process, the demo container's /init, the host tool.
PROGRAM = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w -buildid= -X main.version=$(VERSION)' -o $@
# The host tool contains wyrinit for each architecture: cmds/wyrcan/wyrinit/README. wyrcan version prints its commit
# and the date of that.
EMBEDDED = "cmds/wyrcan/wyrinit/$(ARCH)": "out/wyrinit" \
  $(foreach a,$(OTHER),, "cmds/wyrcan/wyrinit/$(a)": "out/$(a)/wyrinit")
TOOL     = -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.seconds=$(SOURCE_DATE_EPOCH)
out/wyrinit: $(SOURCES)
	GOARCH=$(ARCH) $(PROGRAM) ./cmds/wyrinit
# The host tool also makes initrds for machines of the other architecture.
$(OTHER:%=out/%/wyrinit): out/%/wyrinit: $(SOURCES)
	mkdir -p $(@D)
	GOARCH=$* $(PROGRAM) ./cmds/wyrinit
out/wyrcan.demo: go.mod go.sum $(wildcard integration/payload/*.go)
	GOARCH=$(ARCH) $(PROGRAM) ./integration/payload
out/wyrcan: $(SOURCES) out/version out/wyrinit $(OTHER:%=out/%/wyrinit)
	echo '{"Replace": {$(EMBEDDED)}}' > out/embedded.json
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w -buildid= $(TOOL)' \
	  -overlay out/embedded.json -o $@ ./cmds/wyrcan

# The policy that asks for a signature by one of the keys, for every image. It is in the program too: see builtinPolicy.
out/policy.json: $(KEYS) out/choice $(wildcard tools/policy/*.go pkg/policy/*.go)
	go run ./tools/policy $(KEYS) > $@

out/busybox.cpio: $(SOURCES) out/wyrinit uroot-template.yaml tools/resolv.conf out/version out/choice \
  $(if $(KEYS),out/policy.json)
	go tool u-root $(if $(KEYS),-files out/policy.json:etc/wyrcan/policy.json) -config-file uroot-template.yaml -config $(ARCH) -skip-ldd \
	  -go-extra-args='-ldflags=$(LDFLAGS)' $(INLINED:%=-go-extra-args='-gcflags=%=') -o $@

# There are two archives, so that a change of code does not compress the modules again. zstd -19 is 12 % larger than
# xz and is unpacked in a third of the time.
out/%.cpio.zst: out/%.cpio
	tools/need zstd=zstd
	zstd -19 -T0 -q -f $< -o $@

# If somebody appends a further archive, the kernel expects it at a multiple of four bytes.
out/wyrcan.initrd: out/busybox.cpio.zst out/modules.cpio.zst
	cat $^ > $@
	truncate -s %4 $@

# Wyrcan is a bootable container too.
out/wyrcan.oci: out/wyrcan.kernel out/modules.cpio out/busybox.cpio $(wildcard tools/oci/*.go)
	go run ./tools/oci -kernel out/wyrcan.kernel -arch $(ARCH) -version $(VERSION) -o $@ out/modules.cpio out/busybox.cpio

push: out/wyrcan out/wyrcan.oci
	out/wyrcan push out/wyrcan.oci $(or $(REF),$(error REF= names the place at a registry))

# The tests boot this Debian, whose layers debootstrap and apt make.
out/debian.oci: tools/debian-image
	tools/need debootstrap=debootstrap umoci=umoci
	tools/debian-image $@ runc libcap2-bin iputils-ping busybox-static

QEMU := qemu-system-x86_64=qemu-system-x86 /usr/lib/ipxe/qemu/efi-virtio.rom=ipxe-qemu \
  /usr/share/OVMF/OVMF_CODE_4M.fd=ovmf

run: all out/wyrcan.demo
	tools/need $(QEMU)
	out/wyrcan $(if $(IMG),run $(IMG),demo)

demo: all out/wyrcan.demo
	tools/need $(QEMU)
	out/wyrcan demo -once

# Go runs the tests again if one of the files that they open has changed. At most two machines run at the same time. Two
# packages are tested at the same time, and more tests of each than machines (Main in integration/vm), so that a machine
# starts as soon as another has ended.
test: all out/wyrcan.demo out/debian.oci test-unit
	tools/need $(QEMU) $(LOADERS)
	$(GOTEST) -p 2 -timeout 60m ./integration/...

# The programs that the tests use as peers, and to make images.
PEERS := ip=iproute2 dnsmasq=dnsmasq-base radvd=radvd kea-dhcp4=kea-dhcp4-server kea-dhcp6=kea-dhcp6-server \
  /lib/systemd/systemd-networkd=systemd \
  /lib/systemd/systemd-udevd=udev ethtool=ethtool docker-registry=docker-registry skopeo=skopeo umoci=umoci cpio=cpio \
  depmod=kmod xz=xz-utils zstd=zstd mkfs.vfat=dosfstools mcopy=mtools xorriso=xorriso sbsign=sbsigntool \
  openssl=openssl /usr/lib/systemd/boot/efi/linuxx64.efi.stub=systemd-boot-efi

# staticcheck is the version in go.mod. Shell scripts are what begins with #! and names a shell.
SCRIPTS = $(shell grep -rlE '^\#! ?/.*\b(ba|da)?sh\b' .ci tools examples integration --exclude='*.go' --exclude='*.md')
lint:
	tools/need shellcheck=shellcheck
	@files=$$(gofmt -l cmds pkg tools integration); test -z "$$files" || { echo "gofmt -w is needed:" $$files; exit 1; }
	go vet -tags slow ./...
	go tool staticcheck -tags slow ./...
	shellcheck $(SCRIPTS)

test-unit: lint
	tools/need $(PEERS)
	$(GOTEST) $$(go list ./... | grep -v /integration)

# A second build, of a copy in another directory, must give the same bytes. Then come the tests that make test leaves
# out.
test-slow: all out/wyrcan.demo out/debian.oci $(if $(filter amd64,$(ARCH)),payload out/payload/coreboot.rom \
  $(SECURE))
	tools/need $(QEMU) $(LOADERS) $(PEERS)
	rm -rf out/again
	mkdir out/again
	tar -c --exclude=./out --exclude='./.*' . | tar -x -C out/again
	$(if $(filter amd64,$(ARCH)),cp --parents out/secureboot/*.efi out/again)
	$(MAKE) -C out/again VERSION='$(VERSION)' COMMIT='$(COMMIT)' \
	  KERNEL=$(abspath $(KERNEL)) MODULES=$(abspath $(MODULES)) \
	  $(if $(FIRMWARE),FIRMWARE=$(abspath $(FIRMWARE))) all out/wyrcan.demo \
	  $(if $(filter amd64,$(ARCH)),$(SECURE))
	for f in out/wyrcan* $(OTHER:%=out/%/wyrinit) $(if $(filter amd64,$(ARCH)),$(SECURE)); do \
	  diff -r $$f out/again/$$f || exit; done
	rm -rf out/again
	$(GOTEST) -p 2 -timeout 75m -tags slow -run '^TestSlow' ./integration/...

# This needs root, because it unpacks a Debian.
bench: all out/debian.oci
	tools/need $(QEMU) debootstrap=debootstrap docker-registry=docker-registry skopeo=skopeo umoci=umoci cpio=cpio \
	  zstd=zstd bsdtar=libarchive-tools
	ls -l out/wyrcan.*
	go test -run '^$$' -bench . ./pkg/...
	go run ./tools/bench -kernel
	go test -run '^$$' -bench Memory -benchtime 1x -timeout 90m ./integration/debian

clean:
	rm -rf out
