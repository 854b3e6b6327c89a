package main

import (
	"fmt"
	"io"
	"net"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// -tls-verify=false applies only to the registry of the image.
func TestTLSVerify(t *testing.T) {
	for _, row := range []struct {
		option, ref string
		allowed     map[string]bool
	}{
		{"", "10.0.0.1:5000/x", nil},
		{"-tls-verify", "10.0.0.1:5000/x", nil},
		{"-tls-verify=true", "10.0.0.1:5000/x", nil},
		{"--tls-verify=false", "10.0.0.1:5000/x",
			map[string]bool{"10.0.0.1:5000": true, "10.0.0.1:5001": false, "registry.lab": false}},
		{"-tls-verify=0", "docker://registry.lab/x:1",
			map[string]bool{"registry.lab": true, "registry.lab:443": true, "docker.io": false}},
		{"-tls-verify=false", "debian", map[string]bool{"index.docker.io": true, "registry.lab": false}},
		{"-tls-verify=false", "oci:dir:x", map[string]bool{"oci": false}},
	} {
		c := &cmd{stdout: io.Discard, stderr: io.Discard}
		f := c.flags("check", "", "")
		f.registry()
		args := []string{row.ref}
		if row.option != "" {
			args = append(args, row.option)
		}
		if _, err := f.parse(args, 1, false); err != nil {
			t.Fatal(err)
		}
		allowed := c.insecure(row.ref)
		if row.allowed == nil && allowed != nil {
			t.Errorf("%s of %s allows plain HTTP", row.option, row.ref)
		}
		for host, want := range row.allowed {
			if got := allowed != nil && allowed(host); got != want {
				t.Errorf("%s of %s: %s is allowed: %v, want %v", row.option, row.ref, host, got, want)
			}
		}
	}
}

// TestDeadRegistry checks that five attempts at a registry that nobody runs are one line, and an error that says what
// to do.
func TestDeadRegistry(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	host := l.Addr().String()
	c, _, stderr := tool(t)
	ref := host + "/x:1"
	_, err = find(t.Context(), c.source(ref, v1.Platform{}), ref, ref, ref)
	why := fmt.Sprintf("cannot reach registry %[1]s: %[1]s refuses the connection; "+
		"check whether the registry runs, and its port in the name", host)
	if want := fmt.Sprintf("cannot get %s/x:1: %s", host, why); err == nil || err.Error() != want {
		t.Errorf("find = %v, want %s", err, want)
	}
	if got, want := stderr.String(), "wyrcan: "+why+"; tries again in 0.2 s\n"; got != want {
		t.Errorf("it said\n%swant\n%s", got, want)
	}
	for c := image.UnknownName; c <= image.WrongCertificate; c++ {
		if c != image.Broken && advice[c] == "" {
			t.Errorf("there is no advice about cause %v", c)
		}
	}
}
