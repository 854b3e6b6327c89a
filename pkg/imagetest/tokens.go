package imagetest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

const (
	// Identity is the identity token that a TokenServer takes in the place of a password.
	Identity = "the-identity-token-of-wyr"
	// TokenService is what a registry that wants tokens calls itself.
	TokenService = "the registry of the test"

	tokenIssuer = "the token server of the test"
)

// A TokenServer gives tokens for docker's registry server to those who log in with User and Password or with Identity
// (https://distribution.github.io/distribution/spec/auth/token/ and …/oauth/). Others get tokens to pull what is below
// "public/".
type TokenServer struct {
	Realm string // its URL

	authority *nettest.Authority
	srv       *httptest.Server

	mu    sync.Mutex
	life  time.Duration
	asked []TokenRequest
	until time.Time
}

// A TokenRequest is a request for a token.
type TokenRequest struct {
	By      string // "nobody", "password", "identity token", or "wrong login"
	Service string
	Scope   string // with blanks between several
}

// NewTokenServer runs a token server with TLS until the test ends. Its certificate, and the one that it signs tokens
// with, are of the authority.
func NewTokenServer(t testing.TB, a *nettest.Authority, names ...string) *TokenServer {
	t.Helper()
	s := &TokenServer{authority: a, life: time.Hour}
	signer := a.Server(t)
	s.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, signer.PrivateKey.(*ecdsa.PrivateKey), signer.Certificate[0])
	}))
	s.srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.srv.TLS = &tls.Config{Certificates: []tls.Certificate{a.Server(t, names...)}}
	s.srv.StartTLS()
	t.Cleanup(s.srv.Close)
	s.Realm = s.srv.URL + "/token"
	return s
}

// Live sets how long a registry accepts a token, an hour before the first call.
func (s *TokenServer) Live(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = d
}

// Asked returns the requests so far.
func (s *TokenServer) Asked() []TokenRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Until returns when the last token that the server has given expires.
func (s *TokenServer) Until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until
}

func (s *TokenServer) serve(w http.ResponseWriter, r *http.Request, key *ecdsa.PrivateKey, cert []byte) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "no form", http.StatusBadRequest)
		return
	}
	asked := TokenRequest{By: "nobody", Service: r.Form.Get("service"), Scope: strings.Join(r.Form["scope"], " ")}
	field := "token"
	user, password, basic := r.BasicAuth()
	switch {
	case r.Method == http.MethodPost && r.PostForm.Get("grant_type") == "refresh_token" &&
		r.PostForm.Get("refresh_token") == Identity && r.PostForm.Get("client_id") != "":
		asked.By, field = "identity token", "access_token"
	case r.Method == http.MethodGet && basic && user == User && password == Password:
		asked.By = "password"
	case r.Method != http.MethodGet || basic:
		asked.By = "wrong login"
	}
	s.mu.Lock()
	s.asked = append(s.asked, asked)
	life := s.life
	expires := time.Now().Add(life).Round(time.Second) // a token has whole seconds
	s.until = expires
	s.mu.Unlock()
	if asked.By == "wrong login" {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	token, err := jwt(key, cert, expires, grants(asked.Scope, asked.By == "nobody"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{field: token, "expires_in": int(life.Seconds())})
}

// A grant is what a token allows (https://distribution.github.io/distribution/spec/auth/jwt/).
type grant struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// grants returns what a token for scope allows; anonymous ones allow to pull what is public.
func grants(scope string, anonymous bool) []grant {
	list := []grant{}
	for _, s := range strings.Fields(scope) {
		f := strings.Split(s, ":")
		if len(f) != 3 {
			continue
		}
		g := grant{Type: f[0], Name: f[1], Actions: strings.Split(f[2], ",")}
		if anonymous {
			g.Actions = slices.DeleteFunc(g.Actions, func(a string) bool {
				return a != "pull" || !strings.HasPrefix(g.Name, "public/")
			})
		}
		list = append(list, g)
	}
	return list
}

// leeway is how long after its end docker's registry accepts a token (its package registry/auth/token).
const leeway = time.Minute

// jwt returns a JSON web token (RFC 7519) with the signature ES256 (RFC 7518, section 3.4). The registry knows the
// authority of the certificate that comes along.
func jwt(key *ecdsa.PrivateKey, cert []byte, until time.Time, access []grant) (string, error) {
	header, err := json.Marshal(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": [][]byte{cert}})
	if err != nil {
		return "", err
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": tokenIssuer, "sub": User, "aud": TokenService, "jti": fmt.Sprint(now.UnixNano()),
		"iat": now.Add(-leeway).Unix(), "nbf": now.Add(-leeway).Unix(), "exp": until.Add(-leeway).Unix(),
		"access": access,
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode(header) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + encode(signature), nil
}
