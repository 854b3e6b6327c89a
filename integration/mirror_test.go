package integration

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// TestMirrorThroughProxy boots an image whose registry the machine cannot reach: no DNS server knows its name, and the
// proxy lets nobody go there. A mirror has the image, a pull-through cache that the proxy does reach. The mirror wants
// tokens, and its token server is left out of what goes by way of the proxy. The logins, for the mirror and for the
// proxy, and the authority of both servers' certificates are system credentials. The booted system knows which mirror
// its image is from, and none of the logins.
func TestMirrorThroughProxy(t *testing.T) {
	t.Parallel()
	origin := imagetest.Distribution{}.Start(t)
	ref, err := name.ParseReference(origin.Host + "/team/seeker:1")
	if err != nil {
		t.Fatal(err)
	}
	img := imagetest.Image(t, kernelLayer(t), imagetest.Files(
		imagetest.File("init", string(vm.Program(t, "./seeker"))).Mode(0o755)))
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	authority := nettest.Named(t, "test")
	tokens := imagetest.NewTokenServer(t, authority)
	cache := imagetest.Distribution{
		TLS: authority, Names: []string{"cache.example"}, Origin: "http://" + origin.Host,
		Tokens: tokens, Realm: fromGuest(tokens.Realm),
	}.Start(t)
	proxy := imagetest.NewProxy(t, map[string]string{"cache.example:443": cache.Host}, nil)

	login := base64.StdEncoding.EncodeToString([]byte(imagetest.User + ":" + imagetest.Password))
	dir := t.TempDir()
	write(t, filepath.Join(dir, "auth.json"), fmt.Sprintf(
		`{"auths": {"cache.example/team": {"auth": %q}, %q: {"auth": %[1]q}}}`, login, fromGuest(proxy.Host)))
	ca, _ := authority.PEM(t)
	write(t, filepath.Join(dir, "ca.pem"), string(ca))
	const there = "cache.example/team/seeker"
	texts := []string{there, imagetest.Password, strings.TrimRight(login, "=")}
	v := vm.Machine{
		Kernel: vm.Unpacked(t),
		CPUs:   1,
		QEMU: []string{
			"-fw_cfg", "name=opt/io.systemd.credentials/wyr.auth,file=" + dir + "/auth.json",
			"-fw_cfg", "name=opt/io.systemd.credentials/wyr.ca,file=" + dir + "/ca.pem",
		},
		Cmdline: "wyr.img=registry.example/team/seeker:1 wyr.mirror=cache.example" +
			" wyr.proxy=http://" + fromGuest(proxy.Host) + " wyr.noproxy=10.0.2.2" +
			" wyr.arg=console=ttyS0 wyr.arg=seek=" + strings.Join(backwards(texts), ","),
	}.Start(t)
	v.Wait(`^wyrboot: registries are reached by way of the proxy http://`+regexp.QuoteMeta(fromGuest(proxy.Host))+`$`,
		bootTime+stepTime)
	v.Wait(`^wyrboot: stage pull`, 2*stepTime)
	v.Wait(`^seeker: has read [0-9]{2,} files, [0-9]{7,} bytes`, 2*stepTime+kexecTime)
	v.Exit(stepTime)

	if asked, want := proxy.Asked(), []string{"200 CONNECT cache.example:443"}; !slices.Equal(asked, want) {
		t.Errorf("the proxy was asked %q, want %q", asked, want)
	}
	want := imagetest.TokenRequest{By: "password", Service: imagetest.TokenService, Scope: "repository:team/seeker:pull"}
	if asked := tokens.Asked(); len(asked) != 1 || asked[0] != want {
		t.Errorf("the token server was asked %+v, want once %+v", asked, want)
	}
	said := v.Said()
	if !strings.Contains(said, "seeker: text 0 is in /run/wyrcan/boot.json\n") {
		t.Errorf("the record of the boot does not name %s", there)
	}
	if m := regexp.MustCompile(`seeker: text [12] is in .*`).FindString(said); m != "" {
		t.Errorf("the booted system has the login: %s", m)
	}
	for i, text := range texts[1:] {
		if strings.Contains(said, text) {
			t.Errorf("the console shows text %d of the login", i+1)
		}
	}
}
