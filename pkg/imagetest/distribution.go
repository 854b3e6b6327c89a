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

// Distribution runs docker's registry server until the test ends, and returns its address. http is added to the section
// http of the server's configuration (https://distribution.github.io/distribution/about/configuration/): it is in
// YAML's flow style and starts with a comma. sections are further sections. The test fails if the program is not
// installed; make installs it.
func Distribution(t testing.TB, http, sections string) (host string) {
	t.Helper()
	NeedsPrograms(t, "docker-registry")
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
	var output bytes.Buffer
	server.Stdout, server.Stderr = &output, &output
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
			t.Fatalf("docker-registry does not answer: %v\n%s", err, output.Bytes())
		}
	}
}
