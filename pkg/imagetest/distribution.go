package imagetest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Distribution runs docker's own registry server until the test ends, and returns its address. Of the server's
// configuration (https://distribution.github.io/distribution/about/configuration/), http is what the section of that name
// has beside the address, in YAML's flow style and after a comma; sections are further ones. Make installs the program:
// that it is not there is a failure.
func Distribution(t testing.TB, http, sections string) (host string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host = l.Addr().String()
	l.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yml")
	text := "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n" +
		"storage: {filesystem: {rootdirectory: " + strconv.Quote(dir+"/data") + "}}\n" +
		"http: {addr: " + strconv.Quote(host) + http + "}\n" + sections
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("docker-registry", "serve", file)
	var said bytes.Buffer
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatalf("%v: install Debian's package docker-registry", err)
	}
	stop := func() { server.Process.Kill(); server.Wait() }
	t.Cleanup(stop)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", host)
		if err == nil {
			conn.Close()
			return host
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("docker-registry does not answer: %v\n%s", err, said.Bytes())
		}
	}
}
