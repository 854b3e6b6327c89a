package network_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
)

// networkd is the real systemd-networkd, which decides what a configuration means: the host's, or with NETWORKD_ROOT
// that of another version, unpacked in a directory.
const networkd = "/lib/systemd/systemd-networkd"

// judge is the version of systemd-networkd; TestOracle sets it.
var judge int

func networkdRoot() string { return os.Getenv("NETWORKD_ROOT") }

// oracleCase is a configuration that must have the same result with wyrnet and systemd-networkd.
type oracleCase struct {
	name string
	// files is the text of all files, each after a line "-- NAME --".
	files string
	// links is the number of Ethernet links; 0 is two.
	links int
	// serve sets up the other side. nil: both links have a carrier, and no server answers.
	serve func(*world)
	// needs are the kinds of devices that the case needs and a kernel may lack.
	needs []string
	// since is the first version of systemd-networkd that does this; earlier ones cannot decide the case.
	since int
	// until, unless it is 0, is the last version that does this; later ones have a bug here.
	until int
	// handedOver gives systemd-networkd the files that wyr.net.keep=yes leaves for it; they must have the same
	// result.
	handedOver bool
	// slow is for cases in which systemd-networkd takes long without a visible change.
	slow bool
	// then is called after some seconds, for what changes while both run.
	then func(*world)
}

// split returns the files of a case.
func split(t *testing.T, text string) map[string]string {
	t.Helper()
	files := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok {
			name = strings.TrimSuffix(n, " --")
			files[name] = ""
			continue
		}
		if name == "" {
			t.Fatalf("%q stands before the first file", line)
		}
		files[name] += line
	}
	return files
}

// TestOracle applies each configuration with wyrnet and with systemd-networkd, in two equal worlds, and compares the
// state of the kernel.
func TestOracle(t *testing.T) {
	t.Parallel()
	needRoot(t, "dnsmasq", "radvd", networkdRoot()+networkd)
	lacking := map[string]bool{}
	for _, kind := range []string{"vlan", "bond", "dummy", "vrf", "ipvlan", "macvlan", "vxlan", "bridge"} {
		lacking[kind] = !hasKind(t, kind)
	}
	version, err := exec.Command("chroot", networkdRoot()+"/", networkd, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("against %s", strings.SplitN(string(version), "\n", 2)[0])
	if _, err := fmt.Sscanf(string(version), "systemd %d", &judge); err != nil {
		t.Fatalf("%q is no version: %v", version, err)
	}
	seen := map[string]bool{}
	for _, c := range slices.Concat(oracleCases, routerCases) {
		if seen[c.name] {
			t.Errorf("two cases are called %s", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			for _, kind := range c.needs {
				if lacking[kind] {
					t.Skipf("this kernel has no %s: TestSlowGuest runs this case under one that has", kind)
				}
			}
			if judge < c.since || c.until != 0 && judge > c.until {
				t.Skipf("systemd-networkd %d does something else; %d to %d do this (0: all)", judge, c.since, c.until)
			}
			t.Parallel()
			c.run(t)
		})
	}
}

// hasKind reports whether the kernel can make such devices.
func hasKind(t *testing.T, kind string) bool {
	w := newWorld(t, 1)
	args := map[string][]string{
		"vlan": {"link", "eth0", "type", "vlan", "id", "1"}, "macvlan": {"link", "eth0", "type", "macvlan"},
		"ipvlan": {"link", "eth0", "type", "ipvlan"},
		"vxlan":  {"type", "vxlan", "id", "1", "dev", "eth0", "dstport", "4789"}, "vrf": {"type", "vrf", "table", "9"},
	}[kind]
	if args == nil {
		args = []string{"type", kind}
	}
	return exec.Command("ip", append([]string{"-n", w.client, "link", "add", "name", "probe"}, args...)...).Run() == nil
}

// pace returns that many seconds, or four times as many in an emulated guest, which is slower.
func pace(seconds int) time.Duration {
	if os.Getenv("IN_GUEST") != "" {
		seconds *= 4
	}
	return time.Duration(seconds) * time.Second
}

func (c oracleCase) run(t *testing.T) {
	files := split(t, c.files)
	links := c.links
	if links == 0 {
		links = 2
	}
	ours, theirs := newWorld(t, links), newWorld(t, links)
	for _, w := range []*world{ours, theirs} {
		if c.serve != nil {
			c.serve(w)
		} else {
			for i := range links {
				w.peer(i)
			}
		}
	}
	us := ours.wyrnet(files, "-k", "-t", "60s")
	if c.handedOver {
		files = handOver(t, files)
	}
	them, run := theirs.networkd(files)
	if c.then != nil {
		time.Sleep(pace(3))
		c.then(ours)
		c.then(theirs)
	}
	// systemd-networkd is finished when nothing has changed for three seconds. wyrnet then gets more time, below.
	var last snapshot
	begin := time.Now()
	rest := begin
	for time.Since(begin) < pace(25) && (time.Since(rest) < pace(3) || c.slow && time.Since(begin) < pace(15)) {
		time.Sleep(pace(1))
		now := theirs.snapshot()
		now.Names = theirs.networkdNames(run)
		if !cmp.Equal(now, last) {
			last, rest = now, time.Now()
		}
	}
	// A repeated advertisement may reach the two a few seconds apart, so both are compared again.
	var diff string
	for begin := time.Now(); time.Since(begin) < pace(15); time.Sleep(pace(1)) {
		want := theirs.snapshot()
		want.Names = theirs.networkdNames(run)
		got := ours.snapshot()
		got.Names = ours.resolvNames()
		if diff = cmp.Diff(want, got); diff == "" {
			return
		}
	}
	t.Errorf("systemd-networkd (-) and wyrnet (+) differ:\n%s\nwyrnet says:\n%s\nsystemd-networkd says:\n%s", diff,
		us.output(), them.output())
}

// handOver returns the files for the booted container.
func handOver(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	root := fstest.MapFS{}
	for name, text := range files {
		root["etc/systemd/network/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	read, warnings := netconf.ReadDirs(root, netconf.Dirs)
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	out := map[string]string{}
	for _, f := range network.HandOver(read, nil) {
		out[f.Name+"."+string(f.Kind)] = f.String()
	}
	return out
}

// networkd starts systemd-networkd with only these files, and returns its runtime directory.
func (w *world) networkd(files map[string]string) (p *process, run string) {
	w.t.Helper()
	conf, empty, run := filepath.Join(w.dir, "conf"), filepath.Join(w.dir, "empty"), filepath.Join(w.dir, "run")
	w.writeFiles(conf, files)
	w.writeFiles(empty, nil)
	w.writeFiles(filepath.Join(run, "systemd/netif"), nil) // systemd's PID 1 makes it
	// networkd runs as its own user, who must be able to read the files and to write the state.
	owner := w.run("chroot", networkdRoot()+"/", "sh", "-c", "echo $(id -u systemd-network):$(id -g systemd-network)")
	w.run("chown", strings.TrimSpace(owner), filepath.Join(run, "systemd/netif"))
	for dir := w.dir; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	// systemd takes a read-only /sys as the sign of a container, and then does not wait for udev.
	return w.start(w.client, "unshare", "--mount", "sh", "-ec", fmt.Sprintf(`
		mount --make-rprivate /
		root=%s
		if [ "$root" ]; then
			for dir in proc sys dev; do mount --bind /$dir $root/$dir; done
		fi
		mkdir -p $root/etc/systemd/network
		mount --bind %s $root/etc/systemd/network
		mount --bind %s $root/usr/lib/systemd/network
		mount --bind %s $root/run
		mount -o remount,bind,ro $root/sys
		export SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=info
		exec chroot $root/ %s`, networkdRoot(), conf, empty, run, networkd)), run
}

// snapshot is the state of the kernel without what differs from run to run.
type snapshot struct {
	Links     map[string]any
	Addresses map[string][]string
	Routes    []string
	Rules     []string
	Names     string
	Sysctls   string
}

func (w *world) snapshot() snapshot {
	s := snapshot{Links: map[string]any{}, Addresses: map[string][]string{}}
	for _, l := range w.json("", "addr")[0] {
		name := l["ifname"].(string)
		s.Links[name] = linkFacts(l, w)
		for _, a := range l["addr_info"].([]any) {
			s.Addresses[name] = append(s.Addresses[name], facts(a.(map[string]any), addressFacts))
		}
		slices.Sort(s.Addresses[name])
	}
	for _, family := range []string{"-4", "-6"} {
		both := w.json(family, "route show table all\nrule")
		for _, r := range both[0] {
			if r["table"] == "255" || r["type"] == "multicast" {
				continue // the kernel's own
			}
			if dev := r["dev"]; dev == "lo" {
				r["dev"] = nil // an unreachable route, whose device depends on the version of iproute2
			}
			for _, one := range nextHops(r) {
				s.Routes = append(s.Routes, family+" "+facts(one, routeFacts))
			}
		}
		for _, r := range both[1] {
			s.Rules = append(s.Rules, family+" "+facts(r, nil))
		}
	}
	slices.Sort(s.Routes)
	slices.Sort(s.Rules)
	if judge >= 257 { // earlier versions put these into routes
		s.Sysctls = w.run("ip", "netns", "exec", w.client, "sh", "-c",
			"cd /proc/sys/net/ipv6/conf && grep -s . eth*/hop_limit eth*/mtu || true")
	}
	return s
}

// nextHops returns a route once for each of its gateways. For the kernel two default IPv6 routes with the same metric
// are one route with two next hops, unless the next hops are objects of their own, as with systemd-networkd.
func nextHops(r map[string]any) []map[string]any {
	hops, _ := r["nexthops"].([]any)
	if len(hops) == 0 {
		return []map[string]any{r}
	}
	var out []map[string]any
	for _, h := range hops {
		one := maps.Clone(r)
		delete(one, "nexthops")
		maps.Copy(one, h.(map[string]any))
		out = append(out, one)
	}
	return out
}

// json runs the lines as commands of ip(8) and returns what each prints.
func (w *world) json(family, commands string) [][]map[string]any {
	w.t.Helper()
	args := []string{"-n", w.client, "-d", "-j", "-N", "-batch", "-"}
	if family != "" {
		args = append([]string{family}, args...)
	}
	ip := exec.Command("ip", args...)
	ip.Stdin = strings.NewReader(commands + "\n")
	out, err := ip.Output()
	if err != nil {
		w.t.Fatalf("ip %s: %v", strings.Join(args, " "), err)
	}
	var all [][]map[string]any
	in := json.NewDecoder(bytes.NewReader(out))
	for range strings.Split(commands, "\n") {
		var list []map[string]any
		if err := in.Decode(&list); err != nil {
			w.t.Fatalf("ip %s: %v: %s", commands, err, out)
		}
		all = append(all, slices.DeleteFunc(list, func(m map[string]any) bool { return len(m) == 0 }))
	}
	return all
}

// addressFacts and routeFacts are the members of an address and a route that are compared. Of lifetimes only counts
// whether they are limited.
var (
	addressFacts = []string{"family", "local", "address", "prefixlen", "metric", "broadcast", "scope", "label",
		"dynamic", "deprecated", "noprefixroute", "mngtmpaddr", "nodad", "home", "autojoin", "tentative", "dadfailed"}
	routeFacts = []string{"type", "dst", "from", "src", "gateway", "via", "dev", "table", "protocol", "scope",
		"prefsrc", "metric", "flags", "pref", "metrics", "nexthops"}
	linkLocal4 = regexp.MustCompile(`169\.254\.\d+\.\d+`)
	// made from a secret that differs
	linkLocal6 = regexp.MustCompile(`fe80::[0-9a-f]+:[0-9a-f]+:[0-9a-f]+:[0-9a-f]+`)
)

// facts returns the members that are compared, in the order of their names.
func facts(m map[string]any, count []string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		switch k {
		case "valid_life_time", "expires":
			if f, ok := v.(float64); ok && f < 4294967295 {
				out = append(out, "limited")
			}
			continue
		case "metrics": // an MTU and the like
			for _, e := range v.([]any) {
				if m["protocol"] == "9" && judge < 257 { // newer versions set these on the link instead
					delete(e.(map[string]any), "hoplimit")
					delete(e.(map[string]any), "mtu")
				}
			}
			if b, _ := json.Marshal(v); string(b) == "[{}]" {
				continue
			}
		case "flags":
			v = slices.DeleteFunc(slices.Clone(v.([]any)), func(f any) bool { return f == "linkdown" || f == "dead" })
			if len(v.([]any)) == 0 {
				continue
			}
		}
		if count != nil && !slices.Contains(count, k) || v == nil || v == false {
			continue
		}
		b, _ := json.Marshal(v)
		out = append(out, k+"="+string(b))
	}
	return linkLocal6.ReplaceAllStringFunc(linkLocal4.ReplaceAllString(strings.Join(out, " "), "169.254.x.x"),
		func(address string) string {
			if strings.Contains(address, "ff:fe") { // it is made of the hardware address
				return address
			}
			return "fe80::x:x:x:x"
		})
}

// linkFacts returns what is compared of a link.
func linkFacts(l map[string]any, w *world) map[string]any {
	out := map[string]any{}
	for _, k := range []string{"mtu", "address", "master", "group", "ifalias", "altnames", "inet6_addr_gen_mode",
		"operstate", "link"} {
		if v := l[k]; v != nil {
			out[k] = v
		}
	}
	var flags []string
	for _, f := range l["flags"].([]any) {
		flags = append(flags, f.(string))
	}
	slices.Sort(flags)
	out["flags"] = flags
	if info, ok := l["linkinfo"].(map[string]any); ok {
		out["kind"] = info["info_kind"]
		out["data"] = withoutTimers(info["info_data"])
		out["port"] = withoutTimers(info["info_slave_data"])
	}
	return out
}

// withoutTimers removes timers, and identifiers derived from them.
func withoutTimers(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	m = maps.Clone(m)
	for k := range m {
		if strings.HasSuffix(k, "timer") ||
			slices.Contains([]string{"topology_change", "topology_change_detected", "gc_timer", "ad_info", "state",
				"mii_status", "port_no", "no", "id", "designated_cost", "designated_port",
				"link_failure_count", "ad_aggregator_id", "ad_actor_oper_port_state", "ad_actor_oper_port_state_str",
				"ad_partner_oper_port_state", "ad_partner_oper_port_state_str", "hello_timer"}, k) {
			delete(m, k)
		}
	}
	return m
}

// networkdNames returns the name servers and domains that systemd-networkd passes to resolved.
func (w *world) networkdNames(run string) string {
	var dns, domains []string
	paths, _ := filepath.Glob(filepath.Join(run, "systemd/netif/links/*"))
	slices.Sort(paths)
	for _, p := range paths {
		b, _ := os.ReadFile(p)
		for line := range strings.Lines(string(b)) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch k {
			case "DNS":
				dns = append(dns, strings.Fields(v)...)
			case "DOMAINS":
				domains = append(domains, strings.Fields(v)...)
			}
		}
	}
	return names(dns, domains)
}

func (w *world) resolvNames() string {
	b, _ := os.ReadFile(w.resolvConf())
	var domains []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "search" {
			domains = f[1:]
		}
	}
	return names(w.resolvers(), domains)
}

// addressOf matches the address in a DNS= entry.
var addressOf = regexp.MustCompile(`^\[?(\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f:.]+)\]?(?:[:%#].*)?$`)

func names(dns, domains []string) string {
	for i, d := range dns {
		// systemd takes the link from the file, and writes a form that resolv.conf has no room for.
		dns[i] = addressOf.ReplaceAllString(d, "$1")
	}
	slices.Sort(dns) // systemd keeps name servers from routers unsorted
	slices.Sort(domains)
	return fmt.Sprintf("dns %v domains %v", slices.Compact(dns), slices.Compact(domains))
}
