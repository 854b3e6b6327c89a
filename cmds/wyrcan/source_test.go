package main

import (
	"io"
	"testing"
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
