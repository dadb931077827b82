package azure_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/catalog"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway/internal/provider/azure"
	"loom.internal/services/gateway/internal/provider/call"
)

const (
	scopeDated = "https://cognitiveservices.azure.com/.default"
	scopeV1    = "https://ai.azure.com/.default"
)

func bearers(requests []testkit.Request) (tokens string) {
	for _, r := range requests {
		tokens += " " + strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	return tokens
}

func TestTokenIsReused(t *testing.T) {
	t.Parallel()
	for version, scope := range map[string]string{dated: scopeDated, "": scopeV1} {
		a := newResource(t, scope)
		c := a.client(t, func(o *azure.Options) { o.APIVersion = version })
		for range 3 {
			if status, _, body := send(t, c, chat("")); status != http.StatusOK {
				t.Errorf("version %q: got %d %s", version, status, body)
			}
		}
		if data, tokens := a.calls(); len(data) != 3 || len(tokens) != 1 {
			t.Errorf("version %q: %d calls with %d tokens, want 3 with 1", version, len(data), len(tokens))
		}
	}
}

func TestManyCallsOneToken(t *testing.T) {
	t.Parallel()
	a := newResource(t, scopeDated)
	c := a.client(t, nil)
	var g errgroup.Group
	for range 100 {
		g.Go(func() error { return status(t, c, http.StatusOK) })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if data, tokens := a.calls(); len(data) != 100 || len(tokens) != 1 {
		t.Errorf("%d calls with %d tokens, want 100 with 1", len(data), len(tokens))
	}

	// All of them are refused at once: one more token, and each call once more.
	a.revoke("eyJ.token-1.sig")
	for range 100 {
		g.Go(func() error { return status(t, c, http.StatusOK) })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if data, tokens := a.calls(); len(data) > 300 || len(tokens) != 2 {
		t.Errorf("%d calls with %d tokens, want at most 300 with 2", len(data), len(tokens))
	}
}

// status sends a call, with a body that must arrive whole, and is an error for another
// status than want.
func status(t *testing.T, c *azure.Client, want int) error {
	t.Helper()
	resp, err := c.Send(t.Context(), chat(""))
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		err = fmt.Errorf("status %d, want %d", resp.StatusCode, want)
	}
	return errors.Join(err, resp.Body.Close())
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	t.Parallel()
	a := newResource(t, scopeDated)
	c := a.client(t, nil)
	send(t, c, chat(""))
	a.revoke("eyJ.token-1.sig")
	r := chat("")
	r.Header.Set("Idempotency-Key", "i-1")
	if status, _, body := send(t, c, r); status != http.StatusOK || body != `{"echo":"POST chat/completions"}` {
		t.Errorf("got %d %s", status, body)
	}
	data, _ := a.calls()
	if got, want := bearers(data), " eyJ.token-1.sig eyJ.token-1.sig eyJ.token-2.sig"; got != want {
		t.Errorf("tokens: got%s, want%s", got, want)
	}
	for _, again := range data[1:] {
		if string(again.Body) != string(r.Body) || again.Header.Get("Idempotency-Key") != "i-1" {
			t.Errorf("got %s %v, want the same as before", again.Body, again.Header)
		}
	}

	// A resource that refuses every token is not asked for ever, nor is Entra.
	a.revoke("eyJ.token-2.sig", "eyJ.token-3.sig", "eyJ.token-4.sig")
	for range 5 {
		if status, _, body := send(t, c, chat("")); status != http.StatusUnauthorized || body != unauthorized {
			t.Errorf("got %d %s, want Azure's own answer", status, body)
		}
	}
	if data, tokens := a.calls(); len(data) != 3+5 || len(tokens) != 2 {
		t.Errorf("%d calls with %d tokens, want 8 with 2", len(data), len(tokens))
	}
}

func TestRefusedTokenWhileEntraIsAway(t *testing.T) {
	t.Parallel()
	a := newResource(t, scopeDated)
	c := a.client(t, nil)
	send(t, c, chat(""))
	a.revoke("eyJ.token-1.sig")
	a.breaks(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusServiceUnavailable, "") })
	for range 3 {
		if status, _, body := send(t, c, chat("")); status != http.StatusUnauthorized || body != unauthorized {
			t.Errorf("got %d %s, want Azure's own answer", status, body)
		}
	}
	if _, tokens := a.calls(); len(tokens) != 2 {
		t.Errorf("%d calls of Entra, want 2", len(tokens))
	}
}

// What goes wrong is told in the error's class, and no text holds anything secret.
func TestSignInThatFails(t *testing.T) {
	t.Parallel()
	say := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Location", "/elsewhere?"+clientSecret)
			answer(w, status, body)
		}
	}
	const json, html = "application/json", "text/html"
	for name, c := range map[string]struct {
		secret  string
		entra   func(*catalog.Entra)
		trouble http.HandlerFunc
		refused bool
		want    string
	}{
		"wrong secret":  {secret: "wrong-" + clientSecret, refused: true, want: "status 401 invalid_client AADSTS7000215"},
		"wrong client":  {entra: func(e *catalog.Entra) { e.ClientID = "x" }, refused: true, want: "status 400 invalid_request AADSTS900144"},
		"server error":  {trouble: say(500, json, `{"error":"server_error","error_description":"`+clientSecret+`"}`), want: "status 500 server_error"},
		"busy":          {trouble: say(400, json, `{"error":"temporarily_unavailable"}`), want: "status 400 temporarily_unavailable"},
		"throttled":     {trouble: say(429, json, `{"error":"`+clientSecret+`"}`), want: "status 429"},
		"a page":        {trouble: say(502, html, `<h1>`+clientSecret+`</h1>`), want: "status 502"},
		"a page as 400": {trouble: say(400, html, `<h1>`+clientSecret+`</h1>`), want: "status 400"},
		"a redirect":    {trouble: say(307, html, ``), want: "status 307"},
		"no JSON":       {trouble: say(200, json, `{"access_token":"x","expires_in":"`+clientSecret+`"}`), want: "the answer is not a token"},
		"no token":      {trouble: say(200, json, `{"expires_in":3599}`), want: "the answer is not a token"},
		"endless":       {trouble: say(200, json, `{"access_token":"`+strings.Repeat(clientSecret, 100_000)), want: "the answer is not a token"},
		"too long":      {trouble: say(200, json, `{"expires_in":"3599","access_token":"`+strings.Repeat("x", 20<<10)+`"}`), want: "the token is longer than 16384 bytes"},
		"cut":           {trouble: func(w http.ResponseWriter, _ *http.Request) { _ = testkit.Cut(w) }, want: "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newResource(t, scopeDated)
			a.breaks(c.trouble)
			client := a.client(t, func(o *azure.Options) {
				if c.secret != "" {
					o.Secret = c.secret
				}
				if c.entra != nil {
					c.entra(o.Entra)
				}
			})
			var last string
			for range 2 { // the second is answered from memory
				_, err := client.Send(t.Context(), chat(""))
				if err == nil || !errors.Is(err, call.ErrSignIn) || errors.Is(err, call.ErrCredentials) != c.refused {
					t.Fatalf("got %v, want an error of its class", err)
				}
				last = err.Error()
			}
			if !strings.Contains(last, "sign-in failed: "+c.want) {
				t.Errorf("got %q, want %q", last, c.want)
			}
			if strings.Contains(last, clientSecret) || strings.Contains(last, "ecret&with") {
				t.Errorf("the secret is in %q", last)
			}
			if data, tokens := a.calls(); len(data) != 0 || len(tokens) != 1 {
				t.Errorf("%d calls with %d of Entra, want 0 with 1", len(data), len(tokens))
			}
		})
	}
}

func TestEntraIsDown(t *testing.T) {
	t.Parallel()
	a := newResource(t, scopeDated)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + ln.Addr().String()
	_ = ln.Close()
	c := a.client(t, func(o *azure.Options) { o.Entra.Authority = nobody })
	_, err = c.Send(t.Context(), chat(""))
	dial, ok := errors.AsType[*net.OpError](err)
	if !ok || dial.Op != "dial" || !errors.Is(err, call.ErrSignIn) || strings.Contains(err.Error(), tenantID) {
		t.Errorf("got %v, want a dial that failed", err)
	}
}

func TestWhomTheSecretMayGoTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		base, authority, version, tenant, secret string
		want                                     string // of the form, or of the error
	}{
		{base: "https://x.openai.azure.com", version: dated, want: "https://login.microsoftonline.com/T/oauth2/v2.0/token https://cognitiveservices.azure.com/.default"},
		{base: "https://x.openai.azure.com", want: "https://login.microsoftonline.com/T/oauth2/v2.0/token https://ai.azure.com/.default"},
		{
			base: "https://x.openai.azure.us", authority: "https://login.microsoftonline.us/", version: dated,
			want: "https://login.microsoftonline.us/T/oauth2/v2.0/token https://cognitiveservices.azure.us/.default",
		},
		{base: "https://x.openai.azure.com", tenant: "a/../b", want: "https://login.microsoftonline.com/a%2F..%2Fb/oauth2/v2.0/token https://ai.azure.com/.default"},
		{base: "https://x.openai.azure.com", tenant: "..", want: "entra needs"},
		{base: "https://x.openai.azure.com", secret: "none", want: "entra needs"},
		{base: "https://x.openai.azure.com", authority: "https://login.example.com", want: "https://login.example.com/T/oauth2/v2.0/token https://ai.azure.com/.default"},
		{base: "https://x.openai.azure.com", authority: "http://login.microsoftonline.com", want: "must start with https://"},
		{base: "https://x.openai.azure.com", authority: "https://u:p@login.microsoftonline.com", want: "entra authority must not hold"},
		{base: "http://127.0.0.1:1", authority: "http://127.0.0.1:2", want: "http://127.0.0.1:2/T/oauth2/v2.0/token https://ai.azure.com/.default"},
	} {
		o := azure.Options{
			Base: parse(t, c.base), APIVersion: c.version, Secret: clientSecret,
			Entra: &catalog.Entra{TenantID: "T", ClientID: clientID, Authority: c.authority}, Transport: formOnly{},
		}
		if c.tenant != "" {
			o.Entra.TenantID = c.tenant
		}
		if c.secret != "" {
			o.Secret = ""
		}
		client, err := azure.New(o)
		if err == nil {
			_, err = client.Send(t.Context(), chat(""))
			_ = client.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), clientSecret) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

// formOnly is a transport whose error tells where a token was asked for, and its scope.
type formOnly struct{}

func (formOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	return nil, errors.New(r.URL.String() + " " + r.PostForm.Get("scope"))
}
