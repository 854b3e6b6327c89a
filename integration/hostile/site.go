package hostile

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// The client's secrets. It may send each only to the server that the secret is for. Token comes from the token server;
// Refresh comes from a token server by mistake. None of them may appear in an error, in a log or in a request to
// another server.
const (
	User     = "operator"
	Password = "PASSWORD-5f1c"
	Identity = "IDENTITY-77ab"
	Token    = "TOKEN-3e90"
	Refresh  = "REFRESH-c4d2"
)

// The requests for an image.
type What string

const (
	Ping     What = "ping"
	Login    What = "token"
	Manifest What = "manifest"
	Config   What = "config"
	Layer    What = "layer"
)

// A Site is a registry with one image, x:1, and its token server. It answers correctly, except where an attack replaces
// an answer.
type Site struct {
	Realm  string                                   // the realm in its challenge; "": no login needed
	Answer map[What]http.HandlerFunc                // replace the answers
	Around map[What]func(http.Handler) http.Handler // wrap the answers

	Digest  v1.Hash // of the manifest
	content map[What][]byte
	paths   map[string]What
	mediaOf map[What]string
}

// NewSite returns a site with a layer of about 300 kB.
func NewSite(t testing.TB) *Site {
	t.Helper()
	var data strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&data, "%x ", i*2654435761)
	}
	img := imagetest.Image(t,
		imagetest.Layer{Compression: imagetest.Plain,
			Entries: []imagetest.Entry{imagetest.File("data", data.String())}})
	manifest, err := img.Manifest()
	must(t, err)
	s := &Site{content: make(map[What][]byte), mediaOf: make(map[What]string), paths: make(map[string]What)}
	s.content[Manifest], err = img.RawManifest()
	must(t, err)
	s.content[Config], err = img.RawConfigFile()
	must(t, err)
	s.content[Layer] = layerBytes(t, img)
	s.Digest, err = img.Digest()
	must(t, err)
	s.mediaOf[Manifest] = string(manifest.MediaType)
	s.paths["manifests/1"], s.paths["manifests/"+s.Digest.String()] = Manifest, Manifest
	s.paths["blobs/"+manifest.Config.Digest.String()] = Config
	s.paths["blobs/"+manifest.Layers[0].Digest.String()] = Layer
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func layerBytes(t testing.TB, img v1.Image) []byte {
	t.Helper()
	layers, err := img.Layers()
	must(t, err)
	r, err := layers[0].Compressed()
	must(t, err)
	defer r.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(r)
	must(t, err)
	return b.Bytes()
}

// ServeHTTP answers as the registry.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := Ping
	if path, ok := strings.CutPrefix(r.URL.Path, "/v2/x/"); ok {
		if what = s.paths[path]; what == "" {
			http.NotFound(w, r)
			return
		}
	}
	s.answer(what, w, r)
}

// TokenServer returns the handler of the token server.
func (s *Site) TokenServer() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.answer(Login, w, r) })
}

func (s *Site) answer(what What, w http.ResponseWriter, r *http.Request) {
	h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.honest(what, w, r) }))
	if a := s.Answer[what]; a != nil {
		h = a
	}
	if a := s.Around[what]; a != nil {
		h = a(h)
	}
	h.ServeHTTP(w, r)
}

func (s *Site) honest(what What, w http.ResponseWriter, r *http.Request) {
	switch {
	case what == Login:
		fmt.Fprintf(w, `{"token":%q}`, Token)
	case s.Realm != "" && r.Header.Get("Authorization") != "Bearer "+Token:
		s.Challenge(w)
		w.WriteHeader(http.StatusUnauthorized)
	case what == Ping:
	default:
		if media := s.mediaOf[what]; media != "" {
			w.Header().Set("Content-Type", media)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content[what]))
	}
}

// Challenge adds the header that names the token server.
func (s *Site) Challenge(w http.ResponseWriter) {
	if s.Realm != "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.Realm+
			`",service="registry.example",scope="repository:x:pull"`)
	}
}
