package httpapi

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/api"
	"loom.internal/services/dashboard/internal/auth"
)

const maxTenantsOfMe = 1000

type tenantRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type sessionView struct {
	Tenant    *tenantRef `json:"tenant"`
	Role      string     `json:"role"`
	ExpiresAt *time.Time `json:"expires_at"`
}

type meView struct {
	sessionView
	GatewayURL string         `json:"gateway_url"`
	Scopes     []tenant.Scope `json:"scopes"`
	KeyName    string         `json:"key_name"`
	Tenants    []tenantRef    `json:"tenants,omitempty"`
}

func viewOf(p *auth.Principal) sessionView {
	v := sessionView{Role: "admin"}
	if !p.Admin {
		v.Role, v.Tenant = "tenant", &tenantRef{p.Tenant.ID, p.Tenant.Name}
	}
	if p.ExpiresAt != nil {
		v.ExpiresAt = new(p.ExpiresAt.UTC())
	}
	return v
}

func (a *API) spec(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "application/yaml", api.Spec)
}

func (a *API) login(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	var body struct {
		APIKey string `json:"api_key"`
	}
	if err := readJSON(c, maxBody, &body); err != nil {
		return err
	}
	address := c.RealIP()
	if wait, ok := a.Limiter.Take(address); !ok {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return &apiError{http.StatusTooManyRequests, "too_many_requests", "too many failed logins from this address: wait a little", nil}
	}
	id, p, err := a.Auth.Login(c.Request().Context(), body.APIKey)
	if !errors.Is(err, tenant.ErrUnauthorized) {
		a.Limiter.Return(address)
	}
	if err != nil {
		return err
	}
	c.SetCookie(a.cookie(c, id, int(auth.AbsoluteLimit/time.Second)))
	return c.JSON(http.StatusOK, viewOf(p))
}

func (a *API) logout(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	if cookie, err := c.Cookie(auth.CookieName); err == nil {
		if err := a.Auth.Logout(c.Request().Context(), cookie.Value); err != nil {
			return err
		}
	}
	c.SetCookie(a.cookie(c, "", -1))
	return c.NoContent(http.StatusNoContent)
}

// cookie is sent over https only where the login came over it. Behind a proxy that is
// what the proxy says, believed from private addresses alone; who makes it up makes
// his own cookie stricter.
func (a *API) cookie(c echo.Context, id string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure depends on how the request came; over plain http the browser would drop the cookie
		Name: auth.CookieName, Value: id, Path: a.cookiePath(), MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: a.SecureCookies || c.Scheme() == "https",
	}
}

func (a *API) me(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	p := principal(c)
	v := meView{sessionView: viewOf(p), GatewayURL: a.GatewayURL, Scopes: p.Scopes, KeyName: p.KeyName}
	if p.Admin {
		all, _, err := a.Admin.Tenants(c.Request().Context(), "", maxTenantsOfMe)
		if err != nil {
			return err
		}
		v.Tenants = []tenantRef{}
		for _, t := range all {
			v.Tenants = append(v.Tenants, tenantRef{t.ID, t.Name})
		}
	}
	return c.JSON(http.StatusOK, v)
}
