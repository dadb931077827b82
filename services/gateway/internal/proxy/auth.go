package proxy

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"loom.internal/pkg/tenant"
	"loom.internal/services/gateway/internal/directory"
	"loom.internal/services/gateway/internal/openai"
)

// admit finds who sent the request and whether they may do this. The body is not
// touched.
func (p *Proxy) admit(r *http.Request, scope tenant.Scope) (*directory.Caller, *openai.Error) {
	text, ok := credentials(r.Header)
	if !ok {
		return nil, openai.InvalidKey()
	}
	who, err := p.opt.Directory.Authenticate(r.Context(), text)
	switch {
	case errors.Is(err, tenant.ErrUnauthorized):
		return nil, openai.InvalidKey()
	case err != nil:
		p.log(r.Context(), slog.LevelWarn, "key cannot be looked up", slog.Any("error", err))
		return nil, openai.Unavailable("The gateway cannot verify API keys right now. Please try again.")
	case !who.Key.Has(scope):
		return nil, openai.MissingScope(string(scope))
	}
	return who, nil
}

// credentials are the API key of a request: of any of the headers that SDKs put it in,
// or of several if they say the same.
func credentials(h http.Header) (key string, ok bool) {
	if len(h["Authorization"]) > 1 || len(h["X-Api-Key"]) > 1 || len(h["Api-Key"]) > 1 {
		return "", false
	}
	bearer := ""
	if a := h.Get("Authorization"); a != "" {
		scheme, token, found := strings.Cut(a, " ")
		if !found || !strings.EqualFold(scheme, "Bearer") {
			return "", false
		}
		bearer = strings.TrimSpace(token)
	}
	for _, said := range [...]string{bearer, strings.TrimSpace(h.Get("X-Api-Key")), strings.TrimSpace(h.Get("Api-Key"))} {
		switch {
		case said == "" || said == key:
		case key == "":
			key = said
		default:
			return "", false
		}
	}
	return key, key != ""
}

// stack is where a panic came from: functions and lines, without their arguments.
func stack() slog.Attr {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var lines []string
	for {
		f, more := frames.Next()
		lines = append(lines, f.Function)
		if !more {
			return slog.Any("stack", lines)
		}
	}
}
