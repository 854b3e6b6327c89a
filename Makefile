# make            builds everything into out/
# make run        boots the demo container in QEMU, on this terminal; IMG=REF boots another image
# make demo       the same, unattended: succeeds when the container's /init has printed its line
# make lint       gofmt, go vet, staticcheck and shellcheck
# make test-unit  make lint, and the tests that boot no machine
# make test       make test-unit and make test-machines: the tests that boot machines in QEMU
# make reproduced builds everything a second time, in another directory: it must be the same
# make test-slow  make reproduced, and the tests that take long
# make other      builds for the other architecture, too, as the tests need it
# make trixie     builds what test-slow boots of another release of Debian
# make bench      measures time and memory
# make payload    a kernel and an initrd of 8 MiB for firmware: coreboot, LinuxBoot; the first time takes 15 minutes
# make kernel-image  the kernel with its modules as an image, out/kernel.oci, for images that have none
# make release    the files of a release for both architectures, their checksums, and a list of their parts
# make push       sends Wyrcan, as a bootable container, to a registry: REF=NAME
# make clean      removes out/
#
# ARCH=arm64                builds for machines of this architecture, into out/arm64/
# DIST=trixie               takes the kernel from this release of Debian instead of this machine's distribution
# KERNEL=FILE MODULES=DIR   use this kernel instead of the distribution's package
# FIRMWARE=debian           adds the firmware files that the network drivers name, from Debian's packages
# FIRMWARE=DIR              adds them from DIR, which is laid out like /lib/firmware
# RDMA=1                    adds the drivers for IP over InfiniBand
# SECUREBOOT=1              wyrcan.iso and the files for the network boot with Secure Boot, too
# KEYS='A.pub B.pub'       the machine boots only images that one of these keys has signed

HOST     := $(shell dpkg --print-architecture 2>/dev/null || go env GOARCH)
ARCH     ?= $(HOST)
OTHER    := $(if $(filter arm64,$(ARCH)),amd64,arm64)
DIST     ?=
# What is for this machine's architecture is in out/, what is for the other one in out/ARCH/, so that both stay up to
# date beside each other. $O is the place for ARCH.
OUT      ?= out
place     = $(OUT)$(filter-out /$(HOST),/$1)
O        := $(call place,$(ARCH))
# The version is the tag v1.2.3, with the commit behind it where that is a later one. Without such a tag it is
# "unreleased", with the commit where git knows one. --abbrev makes it the same in each clone.
VERSION  := $(shell git describe --tags --match 'v[0-9]*' --abbrev=12 --dirty 2>/dev/null || \
  git describe --always --exclude '*' --abbrev=12 --dirty 2>/dev/null | sed 's/^/unreleased-/' | grep . || \
  echo unreleased)
COMMIT   := $(shell git rev-parse HEAD 2>/dev/null)
PACKAGES := $O/kernel$(DIST:%=-%)
KERNEL   ?= $(PACKAGES)/vmlinuz
MODULES  ?= $(PACKAGES)/modules
FIRMWARE ?=
FILES    := $(if $(filter debian,$(FIRMWARE)),$O/firmware$(DIST:%=-%)/files,$(FIRMWARE))
RDMA     ?=
SECUREBOOT ?=
KEYS     ?=
# What runs the tests; .ci/run has it say more. make lint has go vet look at all packages with all that they use, of
# which go test would do a part again.
GOTEST   ?= go test -vet=off
MODULE   := gitlab.com/wyrcan/wyrcan
SOURCES  := go.mod go.sum $(shell find cmds pkg -name '*.go' ! -name '*_test.go')

# On Debian depmod and mkfs are in directories that only root has in PATH.
export PATH := $(PATH):/usr/sbin:/sbin

# The busybox is built outside a module, where Go uses the defaults of Go 1.20, for TLS among others. With an empty
# godebugDefault it uses those of the current version.
LDFLAGS   = -s -w -buildid= -X runtime.godebugDefault= \
  $(foreach c,wyrboot wyrefi,-X $(MODULE)/cmds/$c.version=$(VERSION)) \
  -X $(MODULE)/cmds/wyrboot.built=$(SOURCE_DATE_EPOCH) \
  $(if $(KEYS),-X $(MODULE)/cmds/wyrboot.builtinPolicy=$(shell base64 -w0 $O/policy.json))
# gobusybox has go build compile everything again each time, with -a. A later -a counts. Go's cache knows by the content
# what has to be compiled, so that is only for the build that is to give the same bytes without it: REBUILD=true.
REBUILD  ?= false
# gobusybox turns inlining off, to save space. Here it is on for the code through which every byte of an image passes:
# that adds 27 kB to the initrd, and saves a third of the time from layers to an initramfs. The generic functions of
# pkg/inflate are compiled once more with pkg/compression, which uses them, and the linker takes one or the other.
INLINED  := $(MODULE)/pkg/inflate $(MODULE)/pkg/compression github.com/klauspost/compress/... encoding/binary

ifneq ($(ARCH),$(HOST))
ifeq ($(filter amd64 arm64,$(ARCH)),)
$(error ARCH=$(ARCH) is none of the architectures that Wyrcan is built for; these are amd64 and arm64)
endif
ifneq ($(filter run demo test test-machines test-slow bench payload release images,$(MAKECMDGOALS)),)
$(error make $(MAKECMDGOALS) is for this machine's architecture, $(HOST), not for $(ARCH))
endif
endif

.DELETE_ON_ERROR:
.PHONY: all other trixie kernel-image reproduced run demo lint test test-unit test-machines test-slow bench push clean \
  FORCE

all: $O/wyrcan.kernel $O/wyrcan.initrd $O/wyrcan $O/wyrcan.oci $(call place,$(OTHER))/wyrinit

include firmware.mk
include release.mk
include install.mk

# These files change only if their content does, so that make rebuilds what depends on them.
$O/version: CONTENT = $(VERSION) $(COMMIT) $(SOURCE_DATE_EPOCH)
$O/choice: CONTENT = $(KERNEL) $(MODULES) $(FILES) $(RDMA:%=rdma) $(KEYS) $(SECUREBOOT:%=secureboot)
$O/version $O/choice: FORCE
	@mkdir -p $O
	@echo '$(CONTENT)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(PACKAGES)/vmlinuz:
	tools/kernel $(ARCH) '$(DIST)' $(PACKAGES)
$(PACKAGES)/modules: $(PACKAGES)/vmlinuz

$O/wyrcan.kernel: $(KERNEL) $O/choice
	cp $(KERNEL) $@

SELECT = go run ./tools/modules -arch $(ARCH) -from $(MODULES) $(if $(RDMA),-rdma)
$O/modules.cpio: $(MODULES) $(filter $O/%,$(FILES)) $O/choice go.mod $(wildcard tools/modules/*.go pkg/modinfo/*.go)
	tools/need depmod=kmod
	$(SELECT) -o $@ $(if $(FILES),-firmware $(FILES))

$O/firmware$(DIST:%=-%)/files: $(MODULES) $O/choice
	$(SELECT) -names | tools/firmware $(ARCH) '$(DIST)' $(@D)

# Static programs: the booted container's first process, the demo container's /init, the host tool.
PROGRAM = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w -buildid= -X main.version=$(VERSION)' -o $@
# The host tool contains wyrinit for each architecture: cmds/wyrcan/wyrinit/README. wyrcan version prints its commit
# and the date of that.
EMBEDDED = "cmds/wyrcan/wyrinit/$(ARCH)": "$O/wyrinit", \
  "cmds/wyrcan/wyrinit/$(OTHER)": "$(call place,$(OTHER))/wyrinit"
TOOL     = -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.seconds=$(SOURCE_DATE_EPOCH)
$O/wyrinit: $(SOURCES) | $O/version
	GOARCH=$(ARCH) $(PROGRAM) ./cmds/wyrinit
# The host tool also makes initrds for machines of the other architecture.
$(call place,$(OTHER))/wyrinit: $(SOURCES)
	mkdir -p $(@D)
	GOARCH=$(OTHER) $(PROGRAM) ./cmds/wyrinit
$O/wyrcan.demo: go.mod go.sum $(wildcard integration/payload/*.go) | $O/version
	GOARCH=$(ARCH) $(PROGRAM) ./integration/payload
$O/wyrcan: $(SOURCES) $O/version $O/wyrinit $(call place,$(OTHER))/wyrinit
	echo '{"Replace": {$(EMBEDDED)}}' > $O/embedded.json
	GOARCH=$(ARCH) CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w -buildid= $(TOOL)' \
	  -overlay $O/embedded.json -o $@ ./cmds/wyrcan

# The policy that asks for a signature by one of the keys, for every image. It is in the program too: see builtinPolicy.
$O/policy.json: $(KEYS) $O/choice $(wildcard tools/policy/*.go pkg/policy/*.go)
	go run ./tools/policy $(KEYS) > $@

$O/busybox.cpio: $(SOURCES) $O/wyrinit uroot-template.yaml tools/resolv.conf $O/version $O/choice \
  $(if $(KEYS),$O/policy.json)
	go tool u-root -config-file uroot-template.yaml -config $(ARCH) -files $O/wyrinit:usr/lib/wyrcan/wyrinit \
	  $(if $(KEYS),-files $O/policy.json:etc/wyrcan/policy.json) -skip-ldd \
	  -go-extra-args=-a=$(REBUILD) -go-extra-args='-ldflags=$(LDFLAGS)' $(INLINED:%=-go-extra-args='-gcflags=%=') -o $@

# There are two archives, so that a change of code does not compress the modules again. zstd -19 is 12 % larger than
# xz and is unpacked in a third of the time.
$O/%.cpio.zst: $O/%.cpio
	tools/need zstd=zstd
	tools/compress $< $@

# If somebody appends a further archive, the kernel expects it at a multiple of four bytes. A machine's firmware that
# loads the initrd over the network is slow, and some has little memory for it.
INITRD_MAX ?= 33554432
$O/wyrcan.initrd: $O/busybox.cpio.zst $O/modules.cpio.zst
	cat $^ > $@
	truncate -s %4 $@
	@size=$$(cat $@ | wc -c); test $$size -le $(INITRD_MAX) || { echo "$@ has $$size bytes, and may have $(INITRD_MAX):" \
	  "leave out firmware, or set INITRD_MAX=" >&2; exit 1; }

# Wyrcan is a bootable container too.
$O/wyrcan.oci: $O/wyrcan.kernel $O/modules.cpio $O/busybox.cpio $(wildcard tools/oci/*.go)
	go run ./tools/oci -kernel $O/wyrcan.kernel -arch $(ARCH) -version $(VERSION) -o $@ $O/modules.cpio $O/busybox.cpio

push: $O/wyrcan.oci
	go run ./cmds/wyrcan push $O/wyrcan.oci $(or $(REF),$(error REF= names the place at a registry))

# For wyr.kernel=: images without a kernel.
kernel-image: $O/kernel.oci
$O/kernel.oci: $(KERNEL) $(MODULES) $O/choice $(wildcard tools/oci/*.go)
	tools/need depmod=kmod
	go run ./tools/oci -kernel $(KERNEL) -modules $(MODULES) -arch $(ARCH) -o $@

# The images of examples/ for the releases of Debian, as out/examples/NAME-RELEASE.oci. They have the kernel for virtual
# machines, which is a fraction of the other one. The tests log in with the key.
EXAMPLE = tools/need mmdebstrap=mmdebstrap buildah=buildah && tools/example $@
.PRECIOUS: out/examples/debian-%.oci
out/examples/debian-%.oci: tools/example $(shell find examples/debian examples/common -type f)
	$(EXAMPLE) $* debian KERNEL=linux-image-cloud-$(HOST)
out/examples/server-%.oci: out/examples/debian-%.oci out/examples/key $(shell find examples/server -type f)
	$(EXAMPLE) $< server KEYS="$$(cat out/examples/key.pub)"
out/examples/containers-%.oci: out/examples/server-%.oci $(shell find examples/containers -type f)
	$(EXAMPLE) $< containers
out/examples/disk-%.oci: out/examples/containers-%.oci $(shell find examples/disk -type f)
	$(EXAMPLE) $< disk
out/examples/minimal-%.oci: out/examples/debian-%.oci out/examples/key $(shell find examples/minimal -type f)
	$(EXAMPLE) $< minimal KERNEL=linux-image-cloud-$(HOST) KEYS="$$(cat out/examples/key.pub)"
# The tests boot this Debian most.
out/debian.oci: out/examples/debian-bookworm.oci integration/debian/Containerfile
	$(EXAMPLE) $< integration/debian
out/examples/key:
	tools/need ssh-keygen=openssh-client
	mkdir -p $(@D)
	ssh-keygen -q -t ed25519 -N '' -C test -f $@

QEMU := qemu-system-x86_64=qemu-system-x86 /usr/lib/ipxe/qemu/efi-virtio.rom=ipxe-qemu \
  /usr/share/OVMF/OVMF_CODE_4M.fd=ovmf

# The tests on amd64 boot machines of arm64, too. A kernel that was chosen for amd64 is not for these.
ifeq ($(HOST),amd64)
FOREIGN      := other
FOREIGN_QEMU := qemu-system-aarch64=qemu-system-arm /usr/share/AAVMF/AAVMF_CODE.fd=qemu-efi-aarch64
endif
other: all out/wyrcan.demo
	$(THEIR_MAKE) all $(call place,$(OTHER))/wyrcan.demo
THEIR_MAKE = $(MAKE) ARCH=$(OTHER) SECUREBOOT= KERNEL='$$(PACKAGES)/vmlinuz' MODULES='$$(PACKAGES)/modules'

# kexec-tools for arm64, and the libraries that it needs: a test compares pkg/kexec with it.
out/kexec-tools/kexec:
	tools/package arm64 '' $(@D) kexec-tools $$(tools/apt arm64 '' apt-cache depends --recurse --no-recommends \
	  --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances kexec-tools | grep -Ex '(lib|zlib1g)[a-z0-9.+-]*')
	ln -s $$(cd $(@D) && find . -path '*/sbin/kexec') $@

# A newer kernel than this release's, with firmware, for the tests.
trixie: all
	nice $(MAKE) OUT=out/trixie DIST=trixie FIRMWARE=debian KERNEL='$$(PACKAGES)/vmlinuz' \
	  MODULES='$$(PACKAGES)/modules' out/trixie/wyrcan.kernel out/trixie/wyrcan.initrd

# More kernels of Debian, by RELEASE-NAME, where the package is linux-image-NAME: the tests boot them in all forms of
# the root. Those in clouds are small.
KERNELS := $(if $(filter amd64,$(HOST)),bookworm-cloud-amd64 trixie-cloud-amd64 trixie-cloud-arm64)
KERNELS := $(KERNELS:%=out/kernels/%/vmlinuz)
$(KERNELS): out/kernels/%/vmlinuz:
	tools/kernel $(lastword $(subst -, ,$*)) $(firstword $(subst -, ,$*)) $(@D) \
	  linux-image-$(patsubst $(firstword $(subst -, ,$*))-%,%,$*)
# The kernel of containers that boot only to show that they do.
SMALLEST := $(filter %/bookworm-cloud-amd64/vmlinuz,$(KERNELS))

run: all out/wyrcan.demo
	tools/need $(QEMU)
	out/wyrcan $(if $(IMG),run $(IMG),demo)

demo: all out/wyrcan.demo
	tools/need $(QEMU)
	out/wyrcan demo -once

# With make -j2, as .ci/run does it, the builds for test-slow take the time in which the machines of test wait. The tests
# themselves take turns all the same: a busy host makes some machines hang. A test that runs make has no part in the jobs
# of this one.
TURN = env -u MAKEFLAGS -u MFLAGS flock -o Makefile

# Go runs the tests again if one of the files that they open has changed. At most two machines run at the same time. Two
# packages are tested at the same time, and more tests of each than machines (Main in integration/vm), so that a machine
# starts as soon as another has ended.
test: test-unit test-machines
test-machines: all $(FOREIGN) out/wyrcan.demo out/debian.oci $(SMALLEST) \
  $(if $(filter test-machines,$(MAKECMDGOALS)),,test-unit)
	tools/need $(QEMU) $(FOREIGN_QEMU) $(LOADERS) busybox=busybox-static
	$(TURN) $(GOTEST) -p 2 -timeout 60m ./integration/...

# The programs that the tests use as peers, and to make images.
PEERS := curl=curl jq=jq ip=iproute2 ssh=openssh-client dnsmasq=dnsmasq-base radvd=radvd bsdtar=libarchive-tools \
  kea-dhcp4=kea-dhcp4-server kea-dhcp6=kea-dhcp6-server \
  /lib/systemd/systemd-networkd=systemd /lib/systemd/systemd-udevd=udev ethtool=ethtool \
  docker-registry=docker-registry skopeo=skopeo umoci=umoci podman=podman buildah=buildah dockerd=docker.io \
  iucode_tool=iucode-tool depmod=kmod cpio=cpio xz=xz-utils zstd=zstd gpg=gnupg busybox=busybox-static \
  mkfs.vfat=dosfstools mcopy=mtools xorriso=xorriso unsquashfs=squashfs-tools veritysetup=cryptsetup-bin \
  fsck.erofs=erofs-utils \
  grub-script-check=grub-common \
  sbsign=sbsigntool openssl=openssl /usr/lib/systemd/boot/efi/linuxx64.efi.stub=systemd-boot-efi \
  zsh=zsh fish=fish mandoc=mandoc man=man-db lintian=lintian

# staticcheck is the version in go.mod. Shell scripts are what begins with #! and names a shell.
SCRIPTS = $(shell grep -rlE '^\#! ?/.*\b(ba|da)?sh\b' .ci tools examples integration --exclude='*.go' --exclude='*.md')
lint:
	tools/need shellcheck=shellcheck
	@files=$$(gofmt -l cmds pkg tools integration examples); test -z "$$files" || { echo "gofmt -w is needed:" $$files; exit 1; }
	go vet -tags slow ./...
	go tool staticcheck -tags slow ./...
	shellcheck $(SCRIPTS)

test-unit: lint
	tools/need $(PEERS)
	$(TURN) $(GOTEST) $$(go list ./... | grep -v /integration)

# What of the other architecture is built twice, too. The rest is made of it, by the programs that make it here.
THEIRS = $(call place,$(OTHER))/kernel$(DIST:%=-%)
AGAIN  = $(if $(FOREIGN),out/$(OTHER)/busybox.cpio out/$(OTHER)/modules.cpio)

# A second build, of a copy in another directory, must give the same bytes.
reproduced: all $(FOREIGN) out/wyrcan.demo $(if $(FOREIGN),$(SECURE))
	rm -rf out/again
	mkdir out/again
	cp go.mod out/again # first: without it go list ./... takes the copy for a part of this module
	tar -c --exclude=./out --exclude='./.*' . | tar -x -C out/again
	$(if $(FOREIGN),cp --parents out/secureboot/*.efi out/again)
	nice $(MAKE) -C out/again VERSION='$(VERSION)' COMMIT='$(COMMIT)' REBUILD=true \
	  KERNEL=$(abspath $(KERNEL)) MODULES=$(abspath $(MODULES)) EFI=$(abspath $(EFI)) \
	  $(if $(FILES),FIRMWARE=$(abspath $(FILES))) all out/wyrcan.demo $(if $(FOREIGN),$(SECURE))
	$(if $(FOREIGN),nice $(MAKE) -C out/again ARCH=$(OTHER) VERSION='$(VERSION)' COMMIT='$(COMMIT)' REBUILD=true \
	  KERNEL=$(abspath $(THEIRS)/vmlinuz) MODULES=$(abspath $(THEIRS)/modules) $(AGAIN))
	for f in out/wyrcan* out/$(OTHER)/wyrinit $(AGAIN) $(if $(FOREIGN),$(SECURE)); do \
	  diff -r $$f out/again/$$f || exit; done
	rm -rf out/again

# The tests that make test leaves out.
test-slow: all $(FOREIGN) out/wyrcan.demo out/debian.oci trixie reproduced $(KERNELS) \
  out/examples/server-bookworm.oci out/examples/server-trixie.oci \
  out/examples/minimal-bookworm.oci out/examples/disk-bookworm.oci \
  $(if $(FOREIGN),payload out/payload/coreboot.rom out/kexec-tools/kexec)
	tools/need $(QEMU) $(FOREIGN_QEMU) $(LOADERS) $(PEERS)
	$(TURN) $(GOTEST) -p 2 -timeout 75m -tags slow -run '^TestSlow' ./integration/...

# The recording in README.md. It is made when somebody asks for it: the run of a machine differs each time.
docs/wyrcan.svg: all out/debian.oci FORCE
	tools/need $(QEMU) umoci=umoci
	tools/cast/images out/cast
	cd out/cast && PATH=$(CURDIR)/out:$$PATH go run ../../tools/cast -o $(CURDIR)/$@ \
	  -title 'Wyrcan checks a container image and boots it' ../../tools/cast/demo.cast

# This needs root, because it unpacks a Debian.
bench: all out/debian.oci payload
	tools/need $(QEMU) buildah=buildah docker-registry=docker-registry skopeo=skopeo umoci=umoci cpio=cpio \
	  zstd=zstd bsdtar=libarchive-tools mksquashfs=squashfs-tools pigz=pigz
	ls -l out/wyrcan.*
	go test -run '^$$' -bench . ./pkg/...
	go run ./tools/bench -kernel -layer 1024
	go test -run '^$$' -bench 'Forms|Resident' -benchtime 1x -timeout 60m ./integration/debian
	go test -run '^$$' -bench Memory -benchtime 1x -timeout 180m ./integration/debian
	go test -run '^$$' -bench Large/mixed -benchtime 1x -timeout 90m ./integration/large/synthetic

clean:
	rm -rf out
