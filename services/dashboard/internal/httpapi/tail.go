package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/internal/tail"
	"loom.internal/services/dashboard/internal/traces"
)

func (a *API) tailTraces(c echo.Context) error {
	p := paramsOf(c)
	s := &tail.Stream{TenantID: tenantID(c), Filter: p.filter()}
	if err := p.done(); err != nil {
		return err
	}
	if id := c.Request().Header.Get("Last-Event-ID"); id != "" {
		place, ok := traces.ParsePlace(id)
		if !ok {
			return badParameter("Last-Event-ID", "is not the id of an event")
		}
		s.After = &place
	}
	ctx := c.Request().Context()
	if err := a.Tail.Open(ctx, s); err != nil {
		return err
	}
	defer s.Close()

	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy is not to wait for more
	c.Response().WriteHeader(http.StatusOK)
	out := newSender(c)
	defer out.Done()
	caller := principal(c)
	return s.Run(ctx, tail.Client{
		Write: out.Now,
		Check: func(ctx context.Context) error {
			// A database that is away says nothing against the caller.
			if err := a.Auth.Still(ctx, caller, tenant.ScopeTracesRead); errors.Is(err, tenant.ErrUnauthorized) {
				return err
			}
			return nil
		},
	})
}
