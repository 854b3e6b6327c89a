package image

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// tokenLimit is the largest answer of a token server that is read. Tokens of large installations have about 4 kB.
const tokenLimit = 64 << 10

// token requests a token from the token server that a challenge names, with the login for the registry if there is one
// (https://distribution.github.io/distribution/spec/auth/token/). Errors never quote the token server's answer, which
// may hold secrets.
func (a *authorizer) token(ctx context.Context, c challenge) (string, error) {
	realm, err := a.realm(c.params["realm"])
	if err != nil {
		return "", err
	}
	scopes := []string{a.scope}
	if s := c.params["scope"]; s != "" && s != a.scope {
		scopes = []string{s, a.scope} // some servers read only the first
	}
	if a.scope == "" {
		scopes = scopes[:len(scopes)-1]
	}
	if a.login.IdentityToken != "" {
		token, err := a.tokenByPOST(ctx, realm, c.params["service"], scopes)
		var f *fault
		unknown := errors.As(err, &f) && (f.status == http.StatusNotFound || f.status == http.StatusMethodNotAllowed)
		if !unknown || a.login.Username == "" || a.login.Password == "" {
			return token, err
		}
	}
	return a.tokenByGET(ctx, realm, c.params["service"], scopes)
}

// realm parses the URL of the token server, and checks that requests may be sent there. A trusted registry may name
// any host that speaks TLS; on premises it often has a private address. If the registry's answer may have been changed
// on the way, the login must not be sent to another host.
func (a *authorizer) realm(text string) (*url.URL, error) {
	e := a.endpoint
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, permanent("registry %s names no token server that can be used: realm %q",
			e.registry, printable.Line(text))
	}
	if u.Scheme == "http" && !e.source.mayBePlain(u.Host) {
		return nil, &fault{
			text:     "registry " + e.registry + " has its token server at " + printable.Line(u.Host) + ", over plain HTTP",
			insecure: u.Host,
		}
	}
	host, _ := splitHost(u.Host)
	own, _ := splitHost(e.registry)
	if a.login != (authn.AuthConfig{}) && !e.trusted() && host != own && !e.source.mayBePlain(u.Host) {
		return nil, &fault{
			text: "registry " + e.registry + ", over a connection that anybody on the way can change, wants the login sent to " +
				printable.Line(u.Host) + ": it is not sent",
			insecure: u.Host,
		}
	}
	return u, nil
}

// tokenByGET requests a token with the name and the password, or anonymously.
func (a *authorizer) tokenByGET(ctx context.Context, realm *url.URL, service string, scopes []string) (string, error) {
	u := *realm
	q := u.Query()
	if service != "" {
		q.Set("service", service)
	}
	for _, s := range scopes {
		q.Add("scope", s)
	}
	header := make(http.Header)
	if a.login.Username != "" {
		q.Set("account", a.login.Username)
		basic := base64.StdEncoding.EncodeToString([]byte(a.login.Username + ":" + a.login.Password))
		header.Set("Authorization", "Basic "+basic)
	}
	u.RawQuery = q.Encode()
	client := &http.Client{Transport: a.next, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return permanent("token server %s redirects more than five times", printable.Line(realm.Host))
		}
		if req.URL.Host != via[0].URL.Host {
			req.Header.Del("Authorization") // net/http would send it to another port and to a subdomain
		}
		return nil
	}}
	return a.tokenFrom(ctx, client, http.MethodGet, &u, header, "")
}

// tokenByPOST requests a token with an identity token (https://distribution.github.io/distribution/spec/auth/oauth/).
// It follows no redirection, which would send the identity token to another host.
func (a *authorizer) tokenByPOST(ctx context.Context, realm *url.URL, service string, scopes []string) (string, error) {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {a.login.IdentityToken},
		"client_id":     {"wyrcan"},
		"scope":         {strings.Join(scopes, " ")},
	}
	if service != "" {
		form.Set("service", service)
	}
	client := &http.Client{Transport: a.next, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	return a.tokenFrom(ctx, client, http.MethodPost, realm, header, form.Encode())
}

// tokenFrom sends a request to the token server and returns the token in its answer.
func (a *authorizer) tokenFrom(
	ctx context.Context, client *http.Client, method string, u *url.URL, header http.Header, content string,
) (string, error) {
	who := "token server " + printable.Line(u.Host) + " of registry " + a.endpoint.registry
	got, err := a.endpoint.source.ask(ctx, client, method, u.String(), header, content)
	if err != nil {
		return "", explain(ctx, who, u.Host, err)
	}
	defer got.Close()
	switch code := got.resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusBadRequest:
		return "", &fault{text: who + " gives no token: the image does not exist or needs other credentials", status: code,
			kind: Denied, host: a.endpoint.registry}
	case code != http.StatusOK:
		return "", statusFault(who, code)
	}
	raw, err := got.small(tokenLimit)
	if err != nil {
		return "", err
	}
	var reply struct {
		Token  string `json:"token"`
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal(raw, &reply); err != nil {
		return "", permanent("%s answers without a token: its answer is not JSON of the right form", who)
	}
	token := cmp.Or(reply.Token, reply.Access)
	if token == "" || !printable.Visible(token) {
		return "", permanent("%s answers without a token", who)
	}
	return token, nil
}
