package integration

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

func TestClock(t *testing.T) {
	t.Parallel()
	bootsAtAnyTime(t, "1970, with a time server", "2040, without one")
}

// bootsAtAnyTime boots machines with a clock that is decades off, those with these names, from a registry whose
// certificate is valid today. With a time server the clock is set by that, without one by the date that the registry
// states. One machine boots on into the container, whose kernel must start with the right date.
func bootsAtAnyTime(t *testing.T, names ...string) {
	t.Helper()
	registry := imagetest.Serve(t)
	registry.Push(t, "bootable", imagetest.Image(t, kernelLayer(t), initLayer(t)))
	host, ca := certified(t, registry.Host)
	initrd := withFiles(t, map[string]string{"etc/ssl/certs/lab.pem": ca})
	ntp := timeServer(t)
	today := time.Now().UTC().Format(time.DateOnly)

	for _, c := range []struct {
		name, clock, args string
		want              []string // in this order
		boots             bool
	}{
		{name: "1970, with a time server", clock: "1970-01-01", args: " wyr.ntp=" + ntp, boots: true, want: []string{
			`the clock said 1970-01-01 .* before this program was built: it is set to 20\d\d-`,
			`by the time server ` + ntp + ` it is set to ` + today}},
		{name: "1970, without one", clock: "1970-01-01", want: []string{
			`the clock said 1970-01-01 .* before this program was built: it is set to 20\d\d-`,
			`registry ` + host + ` says that it is ` + today + `.* unproven`}},
		{name: "2040, with a time server", clock: "2040-01-01", args: " wyr.ntp=" + ntp, want: []string{
			`the clock said 2040-01-01 .* by the time server ` + ntp + ` it is set to ` + today}},
		{name: "2040, without one", clock: "2040-01-01", want: []string{
			`the clock said 2040-01-01 .* registry ` + host + ` says that it is ` + today + `.* unproven`}},
	} {
		if !slices.Contains(names, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := vm.Machine{
				Kernel:  vm.Unpacked(t),
				CPUs:    1,
				Initrd:  initrd,
				QEMU:    []string{"-rtc", "base=" + c.clock},
				Cmdline: "quiet wyr.img=" + host + "/bootable wyr.arg=console=ttyS0 wyr.arg=demo=once" + c.args,
			}.Start(t)
			for _, want := range c.want {
				v.Wait(`wyrboot: .*`+want, bootTime)
			}
			v.Wait(`^wyrboot: stage pull`, stepTime)
			if c.boots {
				v.Wait(`setting system clock to `+today, kexecTime)
				v.Exit(stepTime)
			}
			v.Never(`is not valid now`)
		})
	}
}

// certified serves what is at the address upstream over TLS, with a certificate of an authority of its own that is
// valid for an hour. It returns the name of the server for machines in QEMU's user network, and the authority's
// certificate.
func certified(t *testing.T, upstream string) (host, ca string) {
	t.Helper()
	// Later than the date of the build, so that this alone makes no certificate valid.
	authority := nettest.NewAuthority(t, x509.Certificate{
		NotBefore: time.Now().Add(-5 * time.Second), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(10, 0, 2, 2)},
	})
	srv := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: upstream}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{authority.TLS()}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	_, port, _ := strings.Cut(srv.Listener.Addr().String(), ":")
	cert, _ := authority.PEM(t)
	return "10.0.2.2:" + port, string(cert)
}

// withFiles returns a copy of Wyrcan's initrd with more files, as an archive behind it.
func withFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	initrd, err := os.ReadFile(vm.Artefact(t, "wyrcan.initrd"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(file, append(initrd, archive(t, files)...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// timeServer answers NTP with this host's time (RFC 5905, section 7.3). It returns its name for machines in QEMU's user
// network.
func timeServer(t *testing.T) string {
	t.Helper()
	_, port, _ := strings.Cut(nettest.UDP(t, nettest.NTP(0)), ":")
	return "10.0.2.2:" + port
}
