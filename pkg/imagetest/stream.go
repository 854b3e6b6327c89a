package imagetest

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Stream gives the registry a layer whose bytes are made for each request, because they are too many to be kept. It
// sends no parts of it. Call it before an image with that layer is pushed.
func (r *Registry) Stream(t testing.TB, l v1.Layer) {
	t.Helper()
	digest, err := l.Digest()
	if err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	size, err := l.Size()
	if err != nil {
		t.Fatalf("imagetest: %v", err)
	}
	next := r.store
	r.store = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !strings.HasSuffix(req.URL.Path, Blobs+digest.String()) {
			next.ServeHTTP(w, req)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		w.Header().Set("Docker-Content-Digest", digest.String())
		if req.Method == http.MethodHead {
			return
		}
		content, err := l.Compressed()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer content.Close()
		_, _ = io.CopyBuffer(w, content, make([]byte, 1<<20)) // a client that has gone needs no more
	})
}
