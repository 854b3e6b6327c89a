package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/wyrcan/wyrcan/integration/hostile"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
)

// Each refusal of a registry names the page about it, and what to bring.
func TestAdvise(t *testing.T) {
	closed := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	plain := httptest.NewServer(http.HandlerFunc(closed))
	defer plain.Close()
	unknown := httptest.NewTLSServer(http.HandlerFunc(closed))
	defer unknown.Close()
	nginx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, "No required SSL certificate was sent")
	}))
	defer nginx.Close()
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	host := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	logins := credentials.Credentials{
		host(plain) + "/team": {AuthConfig: authn.AuthConfig{Username: "me", Password: "hunter2"}, From: "/the/file"},
	}
	for _, row := range []struct {
		ref  string
		want []string
	}{
		{host(plain) + "/x", []string{"denies access", "bring a login: /etc/wyrcan/auth.json or the credential wyr.auth"}},
		{host(plain) + "/team/x", []string{"denies access", "check the login from /the/file for " + host(plain) + "/team"}},
		{host(unknown) + "/x", []string{"not trusted", "bring the certificate of its authority: /etc/containers/certs.d/" +
			host(unknown) + "/ca.crt or the credential wyr.ca", "; wyr.insecure=" + host(unknown) + " allows it"}},
		{host(nginx) + "/x", []string{"client certificate", "bring /etc/containers/certs.d/" + host(nginx) +
			"/client.cert and client.key"}},
	} {
		c := &cmd{logins: logins}
		c.config.Image = row.ref
		source := image.Source{Auth: logins.For, Tries: 1}
		_, err := source.Resolve(context.Background(), row.ref)
		if err == nil {
			t.Fatalf("Resolve(%q) has no error", row.ref)
		}
		got := c.advise(err).Error()
		for _, want := range append(row.want, "see docs/registries.md") {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q has no %q", row.ref, got, want)
			}
		}
		if strings.Contains(got, "hunter2") {
			t.Errorf("%s: %q shows the password", row.ref, got)
		}
	}
	// The same of a proxy, which is not named in the image, and of a mirror, before the origin is asked.
	roots := nettest.Named(t, "other").Pool()
	for _, row := range []struct {
		scheme string
		over   *nettest.Authority // of the proxy
		login  bool               // there is one for it, which is wrong
		want   []string
	}{
		{"http", nil, false, []string{"wants a login",
			"bring a login for PROXY: /etc/wyrcan/auth.json or the credential wyr.auth"}},
		{"http", nil, true, []string{"does not accept the login", "check the login from /the/file for PROXY"}},
		{"https", nettest.Named(t, "test"), false, []string{"the certificate of proxy PROXY is not trusted",
			"bring the certificate of its authority: /etc/ssl/certs/ca.pem or the credential wyr.ca"}},
	} {
		proxy := imagetest.NewProxy(t, nil, row.over)
		u := &url.URL{Scheme: row.scheme, Host: proxy.Host}
		c := &cmd{}
		if row.login {
			u.User = url.UserPassword("me", "hunter2")
			c.logins = credentials.Credentials{proxy.Host: {AuthConfig: authn.AuthConfig{Username: "me"}, From: "/the/file"}}
		}
		source := image.Source{Tries: 1, Insecure: image.Hosts([]string{"lab.example"}), Transport: &http.Transport{
			Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{RootCAs: roots},
		}}
		_, err := source.Resolve(context.Background(), "lab.example:5000/x")
		if err == nil {
			t.Fatal("Resolve through a proxy that refuses has no error")
		}
		got := strings.ReplaceAll(c.advise(err).Error(), proxy.Host, "PROXY")
		for _, want := range append(row.want, "see docs/registries.md") {
			if !strings.Contains(got, want) || strings.Contains(got, "wyr.insecure") || strings.Contains(got, "hunter2") {
				t.Errorf("of a proxy: %q has no %q, or too much", got, want)
			}
		}
	}
	var said []string
	c := &cmd{}
	c.trouble = &console.Trouble{Out: console.NewScreen(io.Discard, false), Sayf: func(format string, args ...any) {
		said = append(said, fmt.Sprintf(format, args...))
	}}
	source := image.Source{Tries: 1, Report: c.report}
	if err := source.Registries.AddMirrors(host(missing), host(plain)); err != nil {
		t.Fatal(err)
	}
	_, err := source.Resolve(context.Background(), host(missing)+"/x")
	if want := "mirror " + host(plain) + " denies access"; err == nil || len(said) != 1 ||
		!strings.Contains(said[0], want) || !strings.HasSuffix(said[0], "; bring a login: /etc/wyrcan/auth.json or the "+
		"credential wyr.auth, see docs/registries.md; asks registry "+host(missing)) {
		t.Errorf("of a mirror: %q", said)
	}
	_, err = (&image.Source{Tries: 1}).Resolve(context.Background(), host(missing)+"/x")
	if got := new(cmd).advise(err); strings.Contains(got.Error(), "docs/") {
		t.Errorf("an image that does not exist: %v", got)
	}
}

// A login or a credential that cannot be used is reported with the page about it, and without its content.
func TestUnusableLogins(t *testing.T) {
	dir := t.TempDir()
	tty := filepath.Join(dir, "dev/ttyS0")
	for name, content := range map[string]string{"sys/class/tty/console/active": "ttyS0\n", "dev/ttyS0": ""} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &cmd{console: console.Open(dir), root: fstest.MapFS{
		"etc/wyrcan/auth.json":       {Data: []byte("hunter2")},
		"run/containers/0/auth.json": {Data: []byte(`{"credHelpers": {"h.example": "hunter2"}}`)},
		"sys/firmware/dmi/entries/11-0/raw": {
			Data: []byte("\x0b\x05\x00\x00\x01io.systemd.credential.binary:wyr.auth=hunter2!\x00\x00")},
	}}
	c.system, _ = c.systemCredentials(t.Context())
	c.registryLogins()
	c.console.Flush(2 * time.Second)
	said, err := os.ReadFile(tty)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	if len(lines) != 3 || strings.Contains(string(said), "hunter2") {
		t.Errorf("the console has %q, want three lines without the content", lines)
	}
	for i, want := range []string{"wyr.auth", "logins are left out: ", "h.example is kept by a credential helper"} {
		if line := lines[min(i, len(lines)-1)]; !strings.Contains(line, want) ||
			!strings.HasSuffix(strings.TrimSpace(line), "; see docs/registries.md") {
			t.Errorf("the console has %q, want %q and the page", line, want)
		}
	}
}

// crypto/x509 leaves out a file that is no certificate, without a word.
func TestUnusableCertificates(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	der := server.Certificate().Raw
	file := func(b []byte) *fstest.MapFile { return &fstest.MapFile{Data: b, Mode: 0o644} }
	errs := unusable(fstest.MapFS{
		"etc/ssl/certs/good.pem":  file(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"etc/ssl/certs/der.crt":   file(der),
		"etc/ssl/certs/empty.pem": file(nil),
		"etc/ssl/certs/README":    file(nil),
	})
	got := fmt.Sprint(errs)
	if len(errs) != 2 || !strings.Contains(got, "certificate /etc/ssl/certs/der.crt: it seems to be in DER form") ||
		!strings.Contains(got, "certificate /etc/ssl/certs/empty.pem: it has no certificate") {
		t.Errorf("unusable = %v", errs)
	}
	if errs := unusable(fstest.MapFS{}); len(errs) > 0 {
		t.Errorf("without a directory: %v", errs)
	}
}

// Whatever the source of a login, it is sent to the registry that it names, and to the token server of that registry:
// not to a storage that the registry redirects to, to another registry, or over plain HTTP.
func TestWhoGetsLogins(t *testing.T) {
	const password = "hunter2-of-the-registry"
	basic := base64.StdEncoding.EncodeToString([]byte("me:" + password))
	auth := fmt.Sprintf(`{"auths": {"registry.lab/team": {"auth": %q}, "10.0.0.1:5000": {"auth": %[1]q}}}`, basic)
	encoded := base64.StdEncoding.EncodeToString([]byte(auth))
	table := "\x0b\x05\x00\x00\x01io.systemd.credential.binary:wyr.auth=" + encoded + "\x00\x00"
	for source, file := range map[string][2]string{
		"/etc/wyrcan/auth.json":                            {"etc/wyrcan/auth.json", auth},
		"/run/containers/0/auth.json":                      {"run/containers/0/auth.json", auth},
		"wyr.auth of /.extra/credentials/wyr.auth.cred":    {".extra/credentials/wyr.auth.cred", auth},
		"wyr.auth of /.extra/global_credentials/wyr.auth.": {".extra/global_credentials/wyr.auth.cred", auth},
		"wyr.auth of fw_cfg": {
			"sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials/wyr.auth/raw", auth},
		"wyr.auth of SMBIOS": {"sys/firmware/dmi/entries/11-0/raw", table},
	} {
		t.Run(strings.ReplaceAll(source, "/", " "), func(t *testing.T) {
			root := fstest.MapFS{file[0]: {Data: []byte(file[1]), Mode: 0o400}}
			set, errs := syscred.Read(root)
			logins, said, wrong := credentials.Gather(root, set)
			if len(errs)+len(wrong) > 0 || len(said) != 1 || !strings.Contains(said[0], "registry.lab/team: from ") ||
				!strings.Contains(said[0], source) || strings.Contains(said[0], basic) {
				t.Errorf("Gather says %q, %v", said, errs)
			}
			w := hostile.NewWorld(t)
			registry := imagetest.Serve(t)
			registry.Push(t, "team/x", imagetest.Image(t, imagetest.Files(imagetest.File("x", "x"))))
			registry.Push(t, "other/x", imagetest.Image(t, imagetest.Files(imagetest.File("x", "x"))))
			back := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry.Host})
			w.HTTPS("storage.lab:443", back)
			w.HTTPS("other.lab:443", back)
			w.HTTPS("tokens.lab:443", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "Basic "+basic || strings.Contains(r.URL.RawQuery, "other%2Fx") {
					io.WriteString(w, `{"token": "good"}`)
					return
				}
				w.WriteHeader(http.StatusUnauthorized)
			}))
			w.HTTPS("registry.lab:443", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Header.Get("Authorization") != "Bearer good" && r.Header.Get("Authorization") != "Basic "+basic:
					w.Header().Set("WWW-Authenticate", `Bearer realm="https://tokens.lab/token",service="s"`)
					w.WriteHeader(http.StatusUnauthorized)
				case strings.Contains(r.URL.Path, "/blobs/"):
					http.Redirect(w, r, "https://storage.lab"+r.URL.Path, http.StatusTemporaryRedirect)
				default:
					back.ServeHTTP(w, r)
				}
			}))
			w.HTTP("10.0.0.1:5000", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			}))
			ask := func(ref string) (err error) {
				s := image.Source{Auth: logins.For, Transport: w.Transport(), Tries: 1}
				got, err := s.Resolve(t.Context(), ref)
				if err != nil {
					return err
				}
				layer, err := got.Layers[0].Open(t.Context())
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, layer)
				return errors.Join(err, layer.Close())
			}
			for _, ref := range []string{"registry.lab/other/x", "other.lab/team/x"} {
				if err := ask(ref); err != nil {
					t.Errorf("%s: %v", ref, err)
				}
			}
			if err := ask("10.0.0.1:5000/x"); err == nil || !strings.Contains(err.Error(), "plain HTTP") {
				t.Errorf("over plain HTTP: %v", err)
			}
			if told := slices.Concat(w.Told(password), w.Told(basic)); len(told) > 0 {
				t.Errorf("the login was shown to %q, for other images", told)
			}
			if err := ask("registry.lab/team/x"); err != nil {
				t.Fatal(err)
			}
			if told := w.Told("Authorization"); slices.Contains(told, "https://storage.lab:443") {
				t.Errorf("an Authorization header was shown to %q", told)
			}
			told := w.Told(basic)
			slices.Sort(told)
			if told = slices.Compact(told); !slices.Equal(told, []string{"https://tokens.lab:443"}) {
				t.Errorf("the login was shown to %q, want the token server alone", told)
			}
		})
	}
}
