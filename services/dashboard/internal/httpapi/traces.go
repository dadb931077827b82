package httpapi

import (
	"encoding/hex"
	"net/http"

	"github.com/labstack/echo/v4"

	"loom.internal/services/dashboard/internal/traces"
)

const (
	defaultPage = 50
	maxPage     = 200
)

func (a *API) listTraces(c echo.Context) error {
	p := paramsOf(c)
	q := traces.Query{TenantID: tenantID(c), Filter: p.filter(), Cursor: p.one("cursor"), Limit: p.limit(defaultPage, maxPage)}
	q.Window, q.Asked = p.window(a.Now())
	if err := p.done(); err != nil {
		return err
	}
	page, err := a.Traces.List(c.Request().Context(), q)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, page)
}

func (a *API) getTrace(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	id, err := traceID(c)
	if err != nil {
		return err
	}
	d, err := a.Traces.Get(c.Request().Context(), tenantID(c), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, d)
}

func (a *API) getPayload(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	id, err := traceID(c)
	if err != nil {
		return err
	}
	p := principal(c)
	viewer := traces.Viewer{Actor: p.Actor(), RequestID: idOf(c)}
	if len(p.Session) >= 8 {
		viewer.Session = hex.EncodeToString(p.Session[:8])
	}
	payload, err := a.Traces.Payload(c.Request().Context(), tenantID(c), id, viewer)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, payload)
}
