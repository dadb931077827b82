package httpapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"loom.internal/services/dashboard/internal/stats"
)

func (a *API) summary(c echo.Context) error {
	s, err := a.summaryOf(c, paramsOf(c), a.Now())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s)
}

func (a *API) summaryOf(c echo.Context, p *params, now time.Time) (stats.Summary, error) {
	f := p.filter()
	w, _ := p.window(now)
	if err := p.done(); err != nil {
		return stats.Summary{}, err
	}
	fresh := a.Pipeline.To() // as of before it is read
	s, err := a.Stats.Summary(c.Request().Context(), tenantID(c), w, f, now)
	s.FreshTo = fresh
	return s, err
}

// compare makes two summaries as of the same moment.
func (a *API) compare(c echo.Context) error {
	p := paramsOf(c)
	asked := map[string]*params{"a": p.query("a"), "b": p.query("b")}
	if err := p.done(); err != nil {
		return err
	}
	now, sides := a.Now(), map[string]stats.Summary{}
	for _, name := range []string{"a", "b"} {
		var err error
		sides[name], err = a.summaryOf(c, asked[name], now)
		if bad, ok := errors.AsType[*apiError](err); ok {
			return badParameter(name, bad.message)
		}
		if err != nil {
			return err
		}
	}
	return c.JSON(http.StatusOK, sides)
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

func (a *API) models(c echo.Context) error {
	p := paramsOf(c)
	f := p.filter()
	w, _ := p.window(a.Now())
	if err := p.done(); err != nil {
		return err
	}
	fresh := a.Pipeline.To() // as of before it is read
	models, err := a.Stats.Models(c.Request().Context(), tenantID(c), w, f)
	if err != nil {
		return err
	}
	models.FreshTo = fresh
	return c.JSON(http.StatusOK, models)
}

func costQuery(c echo.Context, now time.Time) (stats.CostQuery, error) {
	p := paramsOf(c)
	q := stats.CostQuery{TenantID: tenantID(c), Filter: p.filter(), By: p.by("model", stats.CostGroups())}
	q.Window, _ = p.window(now)
	return q, p.done()
}

func (a *API) costs(c echo.Context) error {
	now := a.Now()
	q, err := costQuery(c, now)
	if err != nil {
		return err
	}
	fresh := a.Pipeline.To() // as of before it is read
	costs, err := a.Stats.Costs(c.Request().Context(), q, now)
	if err != nil {
		return err
	}
	costs.FreshTo = fresh
	return c.JSON(http.StatusOK, costs)
}
