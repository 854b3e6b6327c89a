package network_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// says waits until the process has printed the text, at most 20 seconds, and reports whether it has.
func (p *process) says(text string) bool {
	for range 400 {
		if strings.Contains(p.output(), text) {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

// TestBootByDnsmasq checks which answers of dnsmasq say what to boot.
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
		want       string
	}{
		{"boot file", "", "dhcp-option=option6:bootfile-url,oci://" + image, "boot file oci://" + image},
		{"without an address", "ra-stateless,", "dhcp-option=option6:bootfile-url,oci://" + image,
			"boot file oci://" + image},
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
			if !p.says(tt.want) {
				t.Errorf("wyrnet says\n%swant %q; dnsmasq says\n%s", p.output(), tt.want, d.output())
			}
		})
	}
}

// TestBootByKea does the same with Kea.
func TestBootByKea(t *testing.T) {
	t.Parallel()
	needRoot(t, "kea-dhcp4", "kea-dhcp6", "radvd")
	const image = "registry.example/debian"
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
		{"site-specific options", 4, `"option-def": [ { "name": "wyr-img", "code": 224, "type": "string" } ],
			"option-data": [ { "name": "wyr-img", "data": "wyr.img=` + image + `" } ]`, "wyr.img=" + image},
		{"PXE", 4, `"next-server": "10.9.0.1", "boot-file-name": "pxelinux.0", "option-data": [
			{ "name": "boot-file-name", "data": "wyrcan.efi" } ]`, ""},
		{"boot file", 6, `"option-data": [ { "name": "bootfile-url", "data": "oci://` + image + `" } ]`,
			"boot file oci://" + image},
	} {
		t.Run(fmt.Sprintf("%d %s", tt.version, tt.name), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.peer(0, "10.9.0.1/24", "2001:db8:1::1/64", "fe80::1/64")
			w.ip("link", "set", "eth0", "up") // kea does not listen on a link without a carrier
			pool, server := keaPool4, "from DHCP server 10.9.0.1"
			if tt.version == 6 {
				pool, server = keaPool6, "DHCPv6 server 02:00:00:00:01:01"
				w.radvd(managedRouter)
			}
			kea := w.kea(tt.version, pool, tt.global)
			p := w.wyrnet(nil, "-k")
			p.says(server)
			_, said, _ := strings.Cut(strings.TrimSuffix(p.output(), "\n"), server)
			if tt.want == "" && strings.Contains(said, "oci") || !strings.Contains(said, tt.want) {
				t.Errorf("wyrnet says\n%swant %q; kea says\n%s", p.output(), tt.want, kea.output())
			}
		})
	}
}

// documented returns the blocks of lines in the section of docs/booting.md about DHCP servers.
func documented(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/booting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## A DHCP server that names the image\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	inside := false
	for line := range strings.Lines(section) {
		text, is := strings.CutPrefix(line, "    ")
		switch {
		case is && inside:
			blocks[len(blocks)-1] += text
		case is:
			blocks = append(blocks, text)
		}
		inside = is
	}
	return blocks
}

// TestBootAsDocumented checks the lines of docs/booting.md.
func TestBootAsDocumented(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq", "kea-dhcp4", "kea-dhcp6", "radvd")
	const (
		file      = "boot file oci://registry.example/debian"
		arguments = "wyr.img=registry.example/debian, wyr.arg=quiet loglevel=3"
	)
	blocks := documented(t)
	if len(blocks) != 7 {
		t.Fatalf("the section has %d blocks of lines, want 7: %q", len(blocks), blocks)
	}
	for _, tt := range []struct {
		server         string
		version, block int
		want           string
	}{
		{"dnsmasq", 4, 0, file}, {"dnsmasq", 6, 0, file}, {"kea", 4, 1, file}, {"kea", 6, 2, file},
		{"dnsmasq", 4, 3, arguments}, {"dnsmasq", 6, 3, arguments}, {"kea", 4, 4, arguments}, {"kea", 6, 5, arguments},
	} {
		t.Run(fmt.Sprintf("%s %d %d", tt.server, tt.version, tt.block), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.peer(0, "10.9.0.1/24", "2001:db8:1::1/64", "fe80::1/64")
			w.ip("link", "set", "eth0", "up")
			var server *process
			lines := blocks[tt.block]
			switch {
			case tt.server == "kea" && tt.version == 4:
				server = w.kea(4, keaPool4, lines)
			case tt.server == "kea":
				server = w.kea(6, keaPool6, lines)
				w.radvd(managedRouter)
			default:
				w.writeFiles(w.dir, map[string]string{"dnsmasq.conf": lines})
				pool := []string{basicRange}
				if tt.version == 6 {
					pool = []string{"--enable-ra", "--ra-param=peer0,4,1800",
						"--dhcp-range=2001:db8:1::100,2001:db8:1::1ff,64,1h"}
				}
				server = w.dnsmasq(append(pool, "--interface=peer0", "--conf-file="+w.dir+"/dnsmasq.conf")...)
			}
			if p := w.wyrnet(nil, "-k"); !p.says(tt.want) {
				t.Errorf("wyrnet says\n%swant %q; the server says\n%s", p.output(), tt.want, server.output())
			}
		})
	}
	t.Run("no class", func(t *testing.T) {
		t.Parallel()
		w, d := served(t, 1, "--dhcp-vendorclass=set:wyrcan,Wyrcan", "--dhcp-ignore=tag:wyrcan")
		p := w.wyrnet(nil, "-t", "2s")
		if <-p.done; p.err == nil || !strings.Contains(d.output(), "vendor class: Wyrcan") {
			t.Errorf("wyrnet says\n%sand dnsmasq, which is to ignore it\n%s", p.output(), d.output())
		}
		plan := w.start(w.client, append([]string{wyrnet, "-n", "-C", w.dir}, strings.Fields(blocks[6])...)...)
		if <-plan.done; !strings.HasSuffix(plan.output(), "  lan.network: DHCPv4, DHCPv6, router advertisements\n") ||
			strings.Contains(plan.output(), "ignored") {
			t.Errorf("of %s wyrnet says\n%s", blocks[6], plan.output())
		}
		w.online(w.wyrnet(map[string]string{"lan.network": "[Match]\nType=ether\n[Network]\nDHCP=yes\n[DHCPv4]\n" +
			"VendorClassIdentifier=\n[DHCPv6]\nVendorClass=\n"}), 20*time.Second)
	})
}

const (
	keaPool4      = `"subnet": "10.9.0.0/24", "pools": [ { "pool": "10.9.0.50 - 10.9.0.90" } ]`
	keaPool6      = `"subnet": "2001:db8:1::/64", "pools": [ { "pool": "2001:db8:1::100 - 2001:db8:1::1ff" } ]`
	managedRouter = "interface peer0 { AdvSendAdvert on; AdvManagedFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; };"
)
