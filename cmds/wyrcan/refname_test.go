package main

import "testing"

func TestFromGuest(t *testing.T) {
	for ref, want := range map[string]string{
		"debian":                       "debian",
		"library/debian:1":             "library/debian:1",
		"localhost:5000/x":             "10.0.2.2:5000/x",
		"localhost/x":                  "10.0.2.2/x",
		"127.0.0.1:5000/a/b@sha256:ab": "10.0.2.2:5000/a/b@sha256:ab",
		"[::1]:5000/x":                 "10.0.2.2:5000/x",
		"docker://127.0.0.1:5000/x":    "10.0.2.2:5000/x",
		"docker://x":                   "x",
		"registry.example:5000/x":      "registry.example:5000/x",
		"10.1.1.1/x":                   "10.1.1.1/x",
		"LOCALHOST:1/x":                "10.0.2.2:1/x",
		"localhost.:1/x":               "10.0.2.2:1/x",
		"a.localhost/x":                "10.0.2.2/x",
		"localhost":                    "localhost",
		"localhoster/x":                "localhoster/x",
		"127/x":                        "127/x",
	} {
		if got := fromGuest(ref); got != want {
			t.Errorf("fromGuest(%q) = %q, want %q", ref, got, want)
		}
	}
	for ref, want := range map[string]string{
		"10.0.2.2:5000/x@sha256:ab": "127.0.0.1:5000/x@sha256:ab",
		"docker://10.0.2.2/x":       "127.0.0.1/x",
		"10.0.2.20/x":               "10.0.2.20/x",
		"x/10.0.2.2/x":              "x/10.0.2.2/x",
		"localhost:5000/x":          "localhost:5000/x",
		"debian":                    "debian",
	} {
		if got := toHost(ref); got != want {
			t.Errorf("toHost(%q) = %q, want %q", ref, got, want)
		}
	}
}
