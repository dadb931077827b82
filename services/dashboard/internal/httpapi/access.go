package httpapi

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"loom.internal/pkg/event"
	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/internal/auth"
)

// How long one request may take.
const (
	requestLimit = 15 * time.Second
	longLimit    = 2 * time.Minute
	noLimit      = 0
)

// limits are those of routes that may read all that a tenant has, or every fact of some
// days, and of those that go on as long as somebody listens.
var limits = map[string]time.Duration{
	costsFile: longLimit, verifying: longLimit, masters + "/rewrap": longLimit, tenantData + "/reencrypt": longLimit, tenantData + "/shred": longLimit,
	tailing: noLimit, playing: noLimit,
}

// TenantHeader names the tenant an admin reads.
const TenantHeader = "X-Loom-Tenant"

// Names of what a request's context holds.
const (
	ctxRequestID = "request_id"
	ctxPrincipal = "principal"
	ctxTenant    = "tenant"
)

// observe is around every request of the API: its id, its time limit, its headers, its
// error and its measure.
func (a *API) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		id := requestID(c.Request())
		c.Set(ctxRequestID, id)
		h := c.Response().Header()
		h.Set(echo.HeaderXRequestID, id)
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Cookie, Authorization, X-Api-Key, "+TenantHeader)

		limit, ok := limits[c.Path()]
		if !ok {
			limit = requestLimit
		}
		if limit != noLimit {
			ctx, cancel := context.WithTimeout(c.Request().Context(), limit)
			defer cancel()
			c.SetRequest(c.Request().WithContext(ctx))
		}
		if err := next(c); err != nil {
			c.Error(err)
		}
		route := c.Path()
		if route == "" {
			route = "none"
		}
		a.latency.WithLabelValues(route, method(c.Request().Method), strconv.Itoa(c.Response().Status)).
			Observe(time.Since(start).Seconds())
		return nil
	}
}

// method is a label: what clients make up is "other".
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "other"
	}
}

// requestID is the caller's own where it is harmless, else a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get(echo.HeaderXRequestID)
	if len(id) == 0 || len(id) > 64 {
		return rand.Text()
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return rand.Text()
		}
	}
	return id
}

// access lets a request through to r if its caller may make it.
func (a *API) access(r route) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := a.admit(c, r); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// admit settles who the caller is and that r is for him, in bounded time also where the
// rest of the request has no limit.
func (a *API) admit(c echo.Context, r route) error {
	if err := a.origin.Check(c.Request()); err != nil {
		return &apiError{http.StatusForbidden, "cross_origin", "the request comes from another site", nil}
	}
	if r.need.public {
		return nil
	}
	req := c.Request()
	ctx, cancel := context.WithTimeout(req.Context(), requestLimit)
	defer cancel()
	p, err := a.Auth.Request(req.WithContext(ctx))
	if err != nil {
		return err
	}
	c.Set(ctxPrincipal, p)
	if r.need.admin && !p.Admin {
		return &apiError{http.StatusForbidden, "forbidden", "this takes an admin key", nil}
	}
	if r.need.scope == "" {
		return nil
	}
	return a.chooseTenant(ctx, c, p, r.need.scope)
}

// chooseTenant settles whose data is read, and that p may.
func (a *API) chooseTenant(ctx context.Context, c echo.Context, p *auth.Principal, scope tenant.Scope) error {
	named := c.Request().Header.Get(TenantHeader)
	switch {
	case p.Admin && named == "":
		return &apiError{http.StatusBadRequest, "tenant_required", "an admin key reads for a tenant: name it in the header " + TenantHeader, nil}
	case p.Admin:
		if !event.ValidTenant(named) {
			return errNotFound
		}
		if _, err := a.Admin.Tenant(ctx, named); err != nil {
			return err
		}
		c.Set(ctxTenant, named)
		return nil
	case named != "" && named != p.Tenant.ID:
		return &apiError{http.StatusForbidden, "forbidden", "this key reads for its own tenant only", nil}
	case !p.Has(scope):
		return &apiError{http.StatusForbidden, "forbidden", "this key lacks the scope " + string(scope), nil}
	}
	c.Set(ctxTenant, p.Tenant.ID)
	return nil
}

func principal(c echo.Context) *auth.Principal {
	p, _ := c.Get(ctxPrincipal).(*auth.Principal)
	return p
}

// tenantID is whose data is read; store.InTenant refuses an empty one.
func tenantID(c echo.Context) string {
	id, _ := c.Get(ctxTenant).(string)
	return id
}

func idOf(c echo.Context) string {
	id, _ := c.Get(ctxRequestID).(string)
	return id
}
