package nettest

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Ask sends an HTTP request with this content and these headers, pairs of names and values. It returns the answer and
// all of its content.
func Ask(t testing.TB, method, url, content string, header ...string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, b
}
