package imagetest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// User and Password are the login that servers of this package want. htpasswd has them with bcrypt, the only hash that
// docker's registry accepts.
const (
	User     = "wyr"
	Password = "correct-horse-wyrcan-battery-staple"
	htpasswd = User + ":$2b$04$Woli4x.QyxWjK/5SvvazNuKRLvd9miIuCUkAx2AQL5wb8H6O2Orsi\n"
)

// A Distribution is docker's registry server. The zero value serves everybody over plain HTTP.
type Distribution struct {
	TLS     *nettest.Authority // not nil: it speaks TLS, with a certificate of this authority
	Names   []string           // what its certificate is for, besides its addresses
	Login   bool               // it wants User and Password
	Tokens  *TokenServer       // not nil: it wants tokens of this server
	Realm   string             // not "": the URL of the token server that it names, in the place of Tokens.Realm
	Origin  string             // not "": it is a pull-through cache of the registry with this URL
	Storage string             // not "": it redirects requests for blobs to this URL, followed by the blob's path in Data
	Data    string             // the directory where it keeps what it has; "" is a new one

	Host string // where it is, "127.0.0.1:PORT"; Start chooses a port if it is ""
	stop func()
}

// Start runs the server until Stop or the end of the test, and returns it. The test fails if the program is not
// installed; make installs it.
func (d Distribution) Start(t testing.TB) *Distribution {
	t.Helper()
	NeedsPrograms(t, "docker-registry")
	if d.Host == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		d.Host = l.Addr().String()
		l.Close()
	}
	dir := t.TempDir()
	if d.Data == "" {
		d.Data = t.TempDir()
	}
	config, err := json.Marshal(d.config(t, dir)) // JSON is YAML too
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.yml")
	writeFile(t, file, config)
	server := exec.Command("docker-registry", "serve", file)
	server.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { // which would count before the file
		return strings.HasPrefix(v, "REGISTRY_")
	})
	var output bytes.Buffer
	server.Stdout, server.Stderr = &output, &output
	if err := server.Start(); err != nil {
		t.Fatalf("%v: install Debian's package docker-registry", err)
	}
	d.stop = func() { server.Process.Kill(); server.Wait() }
	t.Cleanup(d.stop)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", d.Host)
		if err == nil {
			conn.Close()
			return &d
		}
		if time.Now().After(deadline) {
			d.stop()
			t.Fatalf("docker-registry does not answer: %v\n%s", err, output.Bytes())
		}
	}
}

// Stop ends the server. It may be called again.
func (d *Distribution) Stop() { d.stop() }

// config returns the server's configuration (https://distribution.github.io/distribution/about/configuration/). dir is
// for the files that it names.
func (d *Distribution) config(t testing.TB, dir string) map[string]any {
	type section = map[string]any
	listen := section{"addr": d.Host}
	c := section{
		"version": 0.1,
		"log":     section{"level": "error", "accesslog": section{"disabled": true}},
		"storage": section{"filesystem": section{"rootdirectory": d.Data}},
		"http":    listen,
	}
	if d.TLS != nil {
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		certPEM, keyPEM := nettest.PEM(t, d.TLS.Server(t, d.Names...))
		writeFile(t, cert, certPEM)
		writeFile(t, key, keyPEM)
		listen["tls"] = section{"certificate": cert, "key": key}
	}
	switch {
	case d.Login:
		file := filepath.Join(dir, "htpasswd")
		writeFile(t, file, []byte(htpasswd))
		c["auth"] = section{"htpasswd": section{"realm": "test", "path": file}}
	case d.Tokens != nil:
		file := filepath.Join(dir, "tokens.pem")
		cert, _ := d.Tokens.authority.PEM(t)
		writeFile(t, file, cert)
		c["auth"] = section{"token": section{
			"realm": cmp.Or(d.Realm, d.Tokens.Realm), "service": TokenService, "issuer": tokenIssuer, "rootcertbundle": file,
		}}
	}
	if d.Origin != "" {
		c["proxy"] = section{"remoteurl": d.Origin}
	}
	if d.Storage != "" {
		c["middleware"] = section{"storage": []section{{"name": "redirect", "options": section{"baseurl": d.Storage}}}}
	}
	return c
}

func writeFile(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
