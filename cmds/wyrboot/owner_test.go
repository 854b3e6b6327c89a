package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
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
	_, err := (&image.Source{Tries: 1}).Resolve(context.Background(), host(missing)+"/x")
	if got := new(cmd).advise(err); strings.Contains(got.Error(), "docs/") {
		t.Errorf("an image that does not exist: %v", got)
	}
}
