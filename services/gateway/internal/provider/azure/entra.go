package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"loom.internal/pkg/catalog"
	"loom.internal/services/gateway/internal/provider/call"
)

// clouds are Microsoft's, by the host that signs in: the domain of the services there.
var clouds = map[string]string{
	"login.microsoftonline.com":        "azure.com",
	"login.microsoft.com":              "azure.com",
	"login.microsoftonline.us":         "azure.us",
	"login.partner.microsoftonline.cn": "azure.cn",
	"login.chinacloudapi.cn":           "azure.cn",
}

// signIn is how a token is fetched by the grant of client credentials.
func signIn(o Options, dated bool) (func(context.Context) (token, error), error) {
	e := o.Entra
	if o.Secret == "" || !segment(e.TenantID) || e.ClientID == "" {
		return nil, errors.New("entra needs tenant_id, client_id and a secret")
	}
	authority, domain, err := parseAuthority(e.Authority, o.Base)
	if err != nil {
		return nil, err
	}
	scope := "https://ai." + domain + "/.default"
	if dated {
		scope = "https://cognitiveservices." + domain + "/.default"
	}
	config := &clientcredentials.Config{
		ClientID: e.ClientID, ClientSecret: o.Secret, Scopes: []string{scope}, AuthStyle: oauth2.AuthStyleInParams,
		TokenURL: authority.JoinPath(url.PathEscape(e.TenantID), "oauth2/v2.0/token").String(),
	}
	client := &http.Client{
		Transport: o.Transport,
		// A redirect would take the secret elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) (token, error) {
		asked := time.Now()
		t, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
		switch {
		case err != nil:
			return token{}, fault(ctx, err)
		case len(t.AccessToken) > maxTokenLength:
			return token{}, fmt.Errorf("%w: the token is longer than %d bytes", call.ErrSignIn, maxTokenLength)
		}
		life := lifeUnknown
		if !t.Expiry.IsZero() {
			life = time.Until(t.Expiry)
		}
		return newToken(t.AccessToken, asked, life), nil
	}, nil
}

// segment reports whether s is a segment of a path.
func segment(s string) bool { return s != "" && s != "." && s != ".." }

// parseAuthority is who signs in, and the domain of its cloud; for a host that is none of
// Microsoft's that of the public one. The client secret opens for no other authority than
// the one it was given for. Plain http is for providers that are reached so themselves,
// which takes the operator's leave.
func parseAuthority(s string, base *url.URL) (authority *url.URL, domain string, err error) {
	if s == "" {
		s = catalog.DefaultAuthority
	}
	if authority, err = catalog.ParseBaseURL(s); err != nil {
		return nil, "", fmt.Errorf("entra authority %w", err)
	}
	if authority.Scheme != "https" && base.Scheme != "http" {
		return nil, "", errors.New("entra authority must start with https://: the client secret goes there")
	}
	domain, known := clouds[strings.ToLower(authority.Host)]
	if !known {
		domain = "azure.com"
	}
	return authority, domain, nil
}

// reasons are what an authority may say that goes into a text. Anything else could be the
// secret sent back.
var reasons = []string{
	"invalid_request", "invalid_client", "invalid_grant", "invalid_scope", "invalid_resource", "unauthorized_client",
	"unsupported_grant_type", "access_denied", "interaction_required", codeServer, codeTemporary,
}

const (
	codeServer    = "server_error"
	codeTemporary = "temporarily_unavailable"
)

var aadsts = regexp.MustCompile(`^AADSTS[0-9]{4,9}\b`)

// fault is the error of a fetch in words that hold nothing of the request or the answer.
func fault(ctx context.Context, err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		text := fmt.Sprintf("status %d", refused.Response.StatusCode)
		if slices.Contains(reasons, refused.ErrorCode) {
			text += " " + refused.ErrorCode
		}
		if code := aadsts.FindString(refused.ErrorDescription); code != "" {
			text += " " + code
		}
		if isRefusal(refused) {
			return fmt.Errorf("%w: %s: %w", call.ErrSignIn, text, call.ErrCredentials)
		}
		return fmt.Errorf("%w: %s", call.ErrSignIn, text)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%w: %w", call.ErrSignIn, u.Err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", call.ErrSignIn, ctx.Err())
	}
	return fmt.Errorf("%w: the answer is not a token", call.ErrSignIn)
}

// isRefusal is for an authority that has judged what it was sent, and not for what stands
// in front of it.
func isRefusal(e *oauth2.RetrieveError) bool {
	switch e.Response.StatusCode {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return e.ErrorCode != "" && e.ErrorCode != codeServer && e.ErrorCode != codeTemporary
	default:
		return false
	}
}
