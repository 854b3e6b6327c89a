package image

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// TransportFor returns a transport for requests to the repository repo, for use with go-containerregistry's package
// remote. It is the transport that Resolve uses: it finds out which protocol the registry speaks, and authenticates.
func (s *Source) TransportFor(ctx context.Context, repo name.Repository, push bool) (http.RoundTripper, error) {
	scope := transport.PullScope
	if push {
		scope = transport.PushScope
	}
	var a *authorizer
	err := s.persist(ctx, s.asking(), func() (err error) {
		a, err = s.authorize(ctx, repo, scope)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.works("registry " + repo.RegistryStr())
	// Package remote uses a transport of this type as it is, and adds no authentication of its own.
	return transport.FromToken(repo.Registry, authn.Anonymous, a, &transport.Challenge{}, nil)
}

// An authorizer is the transport for the requests to one repository. Requests to its registry use the scheme that the
// registry was found to speak, and carry the credentials or the token. No other host gets these.
type authorizer struct {
	endpoint *endpoint
	scope    string
	login    authn.AuthConfig // zero: anonymous
	next     http.RoundTripper

	mu     sync.Mutex
	header string // the value of Authorization, empty for none
}

// authorize finds out which protocol the registry of repo speaks, and authenticates for scope.
func (s *Source) authorize(ctx context.Context, repo name.Repository, scope string) (*authorizer, error) {
	registry := repo.RegistryStr()
	login, err := authn.Authorization(ctx, s.auth(repo))
	if err != nil {
		return nil, &fault{text: "cannot read the credentials for registry " + registry, cause: err}
	}
	e, challenges, err := s.reach(ctx, registry)
	if err != nil {
		return nil, err
	}
	a := &authorizer{endpoint: e, scope: repo.Scope(scope), login: *login, next: s.wire()}
	a.warn()
	if login.RegistryToken != "" {
		a.header = "Bearer " + login.RegistryToken
		return a, nil
	}
	if len(challenges) > 0 {
		if a.header, err = a.answer(ctx, challenges); err != nil {
			return nil, explain(ctx, "registry "+registry, registry, err)
		}
	}
	return a, nil
}

// warn logs that the connection to the registry is not secure, if it is not.
func (a *authorizer) warn() {
	e := a.endpoint
	if e.trusted() {
		return
	}
	how := "is asked over plain HTTP"
	if e.scheme == "https" {
		how = "is asked without verifying its certificate"
	}
	what := "what it sends"
	if a.login != (authn.AuthConfig{}) {
		what = "what it sends, and the login"
	}
	e.source.logf("registry %s %s, as was allowed: anybody on the way can read and change %s", e.registry, how, what)
}

// answer returns the value of the Authorization header that answers one of challenges, or "" without credentials for
// it.
func (a *authorizer) answer(ctx context.Context, challenges []challenge) (string, error) {
	for _, c := range challenges {
		switch {
		case c.scheme == "bearer":
			token, err := a.token(ctx, c)
			if err != nil {
				return "", err
			}
			return "Bearer " + token, nil
		case c.scheme == "basic" && a.login.Username != "":
			return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.login.Username+":"+a.login.Password)), nil
		}
	}
	return "", nil
}

// RoundTrip sends req. If the answer holds a challenge, RoundTrip authenticates and sends req once more: tokens expire,
// and some registries want a token for some requests only. A host that the registry redirected to gets an anonymous
// token if it asks for one.
func (a *authorizer) RoundTrip(req *http.Request) (*http.Response, error) {
	ours := a.endpoint.has(req.URL)
	var header string
	if ours {
		a.mu.Lock()
		header = a.header
		a.mu.Unlock()
	}
	resp, err := a.send(req, ours, header)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	challenges := parseChallenges(resp.Header.Values("WWW-Authenticate"))
	again := req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
	if !again || len(challenges) == 0 {
		return resp, nil
	}
	fresh, err := a.renew(req, ours, header, challenges)
	if err != nil || fresh == "" || fresh == header {
		if err == nil || !ours {
			return resp, nil // the status says what is wrong
		}
		resp.Body.Close()
		return nil, err
	}
	io.CopyN(io.Discard, resp.Body, 4<<10) // after a short body that is read to its end, the connection is used again
	resp.Body.Close()
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = body
	}
	return a.send(req, ours, fresh)
}

// renew answers the challenges to a request that was sent with stale as its Authorization header.
func (a *authorizer) renew(req *http.Request, ours bool, stale string, challenges []challenge) (string, error) {
	if !ours {
		host := req.URL.Host
		other := &endpoint{source: a.endpoint.source, registry: host, scheme: req.URL.Scheme}
		return (&authorizer{endpoint: other, next: a.next}).answer(req.Context(), challenges)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.header != stale || strings.HasPrefix(stale, "Bearer ") && a.login.RegistryToken != "" {
		return a.header, nil // another request has renewed it, or it is a fixed token that cannot be renewed
	}
	header, err := a.answer(req.Context(), challenges)
	if err == nil && header != "" {
		a.header = header
	}
	return header, err
}

// send sends req with an Authorization header. If the request is ours, to the registry itself, it uses the scheme that
// the registry was found to speak.
func (a *authorizer) send(req *http.Request, ours bool, header string) (*http.Response, error) {
	out := req.Clone(req.Context())
	if ours {
		out.URL.Scheme = a.endpoint.scheme
	}
	if header != "" {
		out.Header.Set("Authorization", header)
	}
	return a.next.RoundTrip(out)
}
