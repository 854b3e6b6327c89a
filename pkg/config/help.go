package config

// Help lists all arguments. The console shows it if no image is named.
const Help = `Wyrcan boots a container. Name it on the kernel's command line:

    wyr.img=IMAGE    the container to boot, [REGISTRY/]NAME[:TAG][@DIGEST]
                     wyr.img=registry.example/debian:stable
                     ${mac}, ${uuid}, ${serial}, ${hostname} and ${arch}
                     stand for this machine's, also in wyr.arg

And, where you need them:

    wyr.arg=ARG      an argument for the container's kernel. It may be given
                     many times, and quoted to hold spaces:
                     wyr.arg="quiet log-buf-len=1M" wyr.arg=panic=10

    wyr.config=URL   a text with wyr.img and wyr.arg, in place of these:
                     https://HOST/PATH, or http:// or tftp:// with
                     #sha256=DIGEST at the end

    wyr.kernel=IMAGE an image that brings the kernel and its modules, for an
                     image that has none
    wyr.kernel=/PATH wyr.init=/PATH
                     the kernel and the init in the image, where these are
                     not found, or others are
    wyr.overlay=IMAGE
                     a further image on top; may be given many times

    wyr.net.[KIND.]FILE.SECTION.KEY=VALUE
                     a line of /etc/systemd/network/FILE.KIND, as for
                     systemd-networkd; KIND is link, netdev or network:
                     wyr.net.lan.Match.Name=eth0 wyr.net.lan.Network.DHCP=yes
                     Without any, all network cards use DHCP. A number makes
                     a further section: Route2, Address2
    wyr.net.keep=yes give the container these network files as well

    wyr.insecure=HOST[:PORT]
                     this registry may be asked over plain HTTP, or without
                     verifying its certificate; may be given many times

    wyr.mirror=[REGISTRY=]MIRROR[,MIRROR...]
                     ask these before REGISTRY, or before that of the image
    wyr.proxy=http://HOST:PORT wyr.noproxy=HOST[,HOST...]
                     reach registries by way of a proxy, but for these hosts
    wyr.ntp=SERVER[,SERVER...]
                     set the clock by these servers, before verifying anything

    wyr.deadline=TIME
                     end a boot that has not started the container after
                     this time: 90s, 10min, 1h. Without it Wyrcan waits for
                     the network and the registry as long as it takes
    wyr.fail=ACTION  what a failed boot ends with, after a minute: reboot,
                     poweroff or halt; shell opens one at once

    wyr.kernel=keep  leave the kernel's file in the container, as crashkernel=
                     among the arguments for its kernel does, for kdump
    wyr.microcode=no give the processor no microcode from the image

    wyr.record=no    leave no /run/wyrcan/boot.json in the container, which
                     says what was booted

    wyr.efi=write    keep all of the above in EFI NVRAM, for boots whose
                     command line names no image
    wyr.efi=clear    forget them
                     Both ask, unless the value ends in ",yes"

    wyr.root=tmpfs   unpack the container's files into memory, as it is done
                     by default where that leaves half of it free
    wyr.root=squashfs
                     keep the container's files compressed in memory, with
                     what it writes in a tmpfs over them
    wyr.root=erofs   the same, not compressed: fast, with memory to spare
    wyr.root=initramfs
                     start the container's /init on the initramfs itself
    wyr.verity=yes   have the container's kernel check that image each time
                     that it reads a part of it, which is the default for
                     images that a policy wants signed; no turns that off
    wyr.debug=shell  let Enter open a shell when something fails
`
