package network_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestBootByDnsmasq checks which answers of dnsmasq say what to boot. The lines of docs/booting.md are among them.
func TestBootByDnsmasq(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	const image = "registry.example/debian"
	for _, tt := range []struct {
		name string
		conf string
		want string // what wyrnet says behind the server, "" for nothing
	}{
		{"boot file", "dhcp-boot=oci://" + image, "boot file oci://" + image},
		{"boot file in an option", "dhcp-option=67,oci://" + image, "boot file oci://" + image},
		{"boot file in the header", "dhcp-no-override\ndhcp-boot=oci://" + image, "boot file oci://" + image},
		{"boot file for Wyrcan", "dhcp-vendorclass=set:wyrcan,Wyrcan\ndhcp-boot=tag:wyrcan,oci://" + image +
			"\ndhcp-boot=pxelinux.0", "boot file oci://" + image},
		{"long boot file", "dhcp-boot=oci://" + image + "@sha256:" + strings.Repeat("0", 64) +
			"\ndhcp-option=option:domain-search," + strings.Repeat("x", 60) + ".example," + strings.Repeat("y", 60) +
			".example", "boot file oci://" + image + "@sha256:" + strings.Repeat("0", 64)},
		{"arguments", "dhcp-option=vendor:Wyrcan,1,wyr.img=" + image +
			"\ndhcp-option=vendor:Wyrcan,2,wyr.arg=quiet loglevel=3\ndhcp-option=vendor:Wyrcan,3,wyr.arg=console=ttyS0",
			"wyr.img=" + image + ", wyr.arg=quiet loglevel=3, wyr.arg=console=ttyS0"},
		{"a configuration", "dhcp-option=vendor:Wyrcan,1,wyr.config=https://server.example/rack",
			"wyr.config=https://server.example/rack"},
		{"long vendor options", "dhcp-option=vendor:Wyrcan,1,wyr.img=" + image + "\ndhcp-option=vendor:Wyrcan,2,wyr.arg=" +
			strings.Repeat("a", 140) + "\ndhcp-option=vendor:Wyrcan,3,wyr.arg=" + strings.Repeat("b", 140),
			"wyr.img=" + image + ", wyr.arg=" + strings.Repeat("a", 140) + ", wyr.arg=" + strings.Repeat("b", 140)},
		{"site-specific options", "dhcp-option=224,wyr.img=" + image + "\ndhcp-option=225,wyr.arg=quiet",
			"wyr.img=" + image + ", wyr.arg=quiet"},
		{"PXE", "dhcp-boot=pxelinux.0,server.example,10.9.0.1\ndhcp-option=vendor:PXEClient,6,2b\n" +
			"pxe-service=x86PC,Install,pxelinux\nenable-tftp\ntftp-root=/", ""},
		{"HTTP boot", "dhcp-option-force=60,HTTPClient\ndhcp-boot=http://server.example/wyrcan.efi", ""},
		{"options of others", "dhcp-option=vendor:,1,https://acs.example/\ndhcp-option=224,building 7", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.peer(0, "10.9.0.1/24")
			w.writeFiles(w.dir, map[string]string{"dnsmasq.conf": tt.conf + "\n"})
			d := w.dnsmasq("--interface=peer0", basicRange, dns, "--conf-file="+w.dir+"/dnsmasq.conf")
			out := w.online(w.wyrnet(nil), 20*time.Second)
			_, said, _ := strings.Cut(strings.TrimSuffix(out, "\n"), "from DHCP server 10.9.0.1")
			if said != strings.TrimSuffix(", "+tt.want, ", ") {
				t.Errorf("wyrnet says\n%swant behind the server %q; dnsmasq says\n%s", out, tt.want, d.output())
			}
		})
	}
}

// TestBootByDnsmasq6 does the same with DHCPv6.
func TestBootByDnsmasq6(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq")
	const image = "registry.example/debian"
	for _, tt := range []struct {
		name, mode string
		conf       string
		want       []string
	}{
		{"boot file", "", "dhcp-option=option6:bootfile-url,oci://" + image, []string{"boot file oci://" + image}},
		{"boot file for Wyrcan", "", "dhcp-vendorclass=set:wyrcan,enterprise:43793,Wyrcan\n" +
			"dhcp-option=tag:wyrcan,option6:59,oci://" + image, []string{"boot file oci://" + image}},
		{"arguments", "", "dhcp-option=vi-encap:43793,option6:1,wyr.img=" + image +
			"\ndhcp-option=vi-encap:43793,option6:2,wyr.arg=quiet loglevel=3",
			[]string{"wyr.img=" + image + ", wyr.arg=quiet loglevel=3"}},
		{"without an address", "ra-stateless,", "dhcp-option=option6:bootfile-url,oci://" + image,
			[]string{"boot file oci://" + image}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.peer(0, "2001:db8:1::1/64")
			w.writeFiles(w.dir, map[string]string{"dnsmasq.conf": tt.conf + "\n"})
			d := w.dnsmasq("--interface=peer0", "--enable-ra", "--ra-param=peer0,4,1800",
				"--dhcp-range=2001:db8:1::100,2001:db8:1::1ff,"+tt.mode+"64,1h",
				"--conf-file="+w.dir+"/dnsmasq.conf")
			p := w.wyrnet(nil, "-k")
			for _, want := range tt.want {
				for range 200 {
					if strings.Contains(p.output(), want) {
						break
					}
					time.Sleep(50 * time.Millisecond)
				}
				if !strings.Contains(p.output(), want) {
					t.Errorf("wyrnet says\n%swant %q; dnsmasq says\n%s", p.output(), want, d.output())
				}
			}
		})
	}
}

// TestBootByKea checks the lines of docs/booting.md for Kea.
func TestBootByKea(t *testing.T) {
	t.Parallel()
	needRoot(t, "kea-dhcp4", "kea-dhcp6", "radvd")
	const (
		image = "registry.example/debian"
		pool4 = `"subnet": "10.9.0.0/24", "pools": [ { "pool": "10.9.0.50 - 10.9.0.90" } ]`
		pool6 = `"subnet": "2001:db8:1::/64", "pools": [ { "pool": "2001:db8:1::100 - 2001:db8:1::1ff" } ]`
	)
	for _, tt := range []struct {
		name    string
		version int
		global  string
		want    string // "" for nothing
	}{
		{"boot file", 4, `"option-data": [ { "name": "boot-file-name", "data": "oci://` + image + `" } ]`,
			"boot file oci://" + image},
		{"boot file for Wyrcan", 4, `"boot-file-name": "pxelinux.0", "client-classes": [ {
			"name": "VENDOR_CLASS_Wyrcan", "boot-file-name": "oci://` + image + `" } ]`, "boot file oci://" + image},
		{"arguments", 4, `"option-def": [
			{ "name": "image", "space": "wyrcan", "code": 1, "type": "string" },
			{ "name": "arguments", "space": "wyrcan", "code": 2, "type": "string" } ],
			"client-classes": [ { "name": "VENDOR_CLASS_Wyrcan",
				"option-def": [ { "name": "vendor-encapsulated-options", "code": 43, "type": "empty",
					"encapsulate": "wyrcan" } ],
				"option-data": [ { "name": "vendor-encapsulated-options" },
					{ "name": "image", "space": "wyrcan", "data": "wyr.img=` + image + `" },
					{ "name": "arguments", "space": "wyrcan", "data": "wyr.arg=quiet loglevel=3" } ] } ]`,
			"wyr.img=" + image + ", wyr.arg=quiet loglevel=3"},
		{"site-specific options", 4, `"option-def": [ { "name": "wyr-img", "code": 224, "type": "string" } ],
			"option-data": [ { "name": "wyr-img", "data": "wyr.img=` + image + `" } ]`, "wyr.img=" + image},
		{"PXE", 4, `"next-server": "10.9.0.1", "boot-file-name": "pxelinux.0", "option-data": [
			{ "name": "boot-file-name", "data": "wyrcan.efi" } ]`, ""},
		{"boot file", 6, `"option-data": [ { "name": "bootfile-url", "data": "oci://` + image + `" } ]`,
			"boot file oci://" + image},
		{"boot file for Wyrcan", 6, `"client-classes": [ { "name": "VENDOR_CLASS_Wyrcan",
			"option-data": [ { "name": "bootfile-url", "data": "oci://` + image + `" } ] } ]`,
			"boot file oci://" + image},
		{"arguments", 6, `"option-def": [ { "name": "image", "space": "vendor-43793", "code": 1, "type": "string" } ],
			"option-data": [ { "name": "image", "space": "vendor-43793", "always-send": true,
				"data": "wyr.img=` + image + `" } ]`,
			"wyr.img=" + image},
	} {
		t.Run(fmt.Sprintf("%d %s", tt.version, tt.name), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.peer(0, "10.9.0.1/24", "2001:db8:1::1/64", "fe80::1/64")
			w.ip("link", "set", "eth0", "up") // kea does not listen on a link without a carrier
			pool, server := pool4, "from DHCP server 10.9.0.1"
			if tt.version == 6 {
				pool, server = pool6, "DHCPv6 server 02:00:00:00:01:01"
				w.radvd("interface peer0 { AdvSendAdvert on; AdvManagedFlag on; MinRtrAdvInterval 3; " +
					"MaxRtrAdvInterval 4; };")
			}
			kea := w.kea(tt.version, pool, tt.global)
			p := w.wyrnet(nil, "-k")
			for range 400 {
				if strings.Contains(p.output(), server) {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			_, said, _ := strings.Cut(strings.TrimSuffix(p.output(), "\n"), server)
			if tt.want == "" && strings.Contains(said, "oci") || !strings.Contains(said, tt.want) {
				t.Errorf("wyrnet says\n%swant %q; kea says\n%s", p.output(), tt.want, kea.output())
			}
		})
	}
}
