package image

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// TestLenientBuild connects as a program does that was built with the defaults of Go 1.20, and has the registry look at
// what it offers.
func TestLenientBuild(t *testing.T) {
	t.Setenv("GODEBUG", "tlsrsakex=1,tls3des=1,tls10server=1")
	var offered *tls.ClientHelloInfo
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered = hello
		return nil, nil
	}}
	server.StartTLS()
	defer server.Close()
	s := &Source{Roots: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.transport().RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()

	for _, suite := range tls.InsecureCipherSuites() {
		if slices.Contains(offered.CipherSuites, suite.ID) {
			t.Errorf("the client offers %s", suite.Name)
		}
	}
	if oldest := slices.Min(offered.SupportedVersions); oldest < tls.VersionTLS12 {
		t.Errorf("the client offers %s", tls.VersionName(oldest))
	}
}
