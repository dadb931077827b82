package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"loom.internal/services/dashboard/internal/stats"
)

func (a *API) summary(c echo.Context) error {
	p := paramsOf(c)
	f, now := p.filter(), a.Now()
	w, _ := p.window(now)
	if err := p.done(); err != nil {
		return err
	}
	s, err := a.Stats.Summary(c.Request().Context(), tenantID(c), w, f, now)
	if err != nil {
		return err
	}
	s.FreshTo = a.Pipeline.To()
	return c.JSON(http.StatusOK, s)
}

func (a *API) timeseries(c echo.Context) error {
	p := paramsOf(c)
	q := stats.SeriesQuery{TenantID: tenantID(c), Filter: p.filter(), Metric: p.enum("metric", stats.Metrics()...), By: p.by("", stats.Groups())}
	now := a.Now()
	q.Window, _ = p.window(now)
	if q.Metric == "" {
		p.bad("metric", "is missing")
	}
	if err := p.done(); err != nil {
		return err
	}
	ts, err := a.Stats.Timeseries(c.Request().Context(), q, now)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, ts)
}

func (a *API) facets(c echo.Context) error {
	p := paramsOf(c)
	f := p.filter()
	w, _ := p.window(a.Now())
	if err := p.done(); err != nil {
		return err
	}
	facets, err := a.Stats.Facets(c.Request().Context(), tenantID(c), w, f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, facets)
}
