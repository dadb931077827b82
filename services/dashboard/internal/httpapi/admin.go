package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/labstack/echo/v4"

	"loom.internal/pkg/event"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/tenant"
	"loom.internal/services/dashboard/internal/admin"
)

const (
	defaultTenants = 200
	maxTenants     = 1000
	pushLimit      = 3 * time.Second
)

var keyID = regexp.MustCompile(`^[0-9A-Za-z]{8}$`)

// push tells gateways at once, so that the answer means the change is in force. Where
// the bus is away the change stands all the same, and the loop will push it.
func (a *API) push(c echo.Context) bool {
	// What is committed is to be told even if the caller does not wait.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), pushLimit)
	defer cancel()
	if err := a.Push(ctx); err != nil {
		a.Log.LogAttrs(ctx, slog.LevelWarn, "change committed, not pushed yet", slog.Any("error", err), slog.String("request_id", idOf(c)))
		return false
	}
	return true
}

func (a *API) apply(c echo.Context) error {
	p := paramsOf(c)
	dryRun := p.enum("dry_run", "true", "false") == "true"
	if err := p.done(); err != nil {
		return err
	}
	var m manifest.Manifest
	if err := readJSON(c, maxManifest, &m); err != nil {
		return err
	}
	result, err := a.Admin.Apply(c.Request().Context(), principal(c).Actor(), &m, dryRun)
	if invalid, ok := errors.AsType[*admin.InvalidError](err); ok {
		return &apiError{http.StatusBadRequest, "invalid_manifest", "nothing was applied: see faults", invalid.Faults}
	}
	if err != nil {
		return err
	}
	if !dryRun {
		result.Pushed = a.push(c)
	}
	return c.JSON(http.StatusOK, result)
}

func (a *API) listTenants(c echo.Context) error {
	p := paramsOf(c)
	after, limit := p.one("cursor"), p.limit(defaultTenants, maxTenants)
	if after != "" && !event.ValidTenant(after) {
		p.bad("cursor", "is not the next_cursor of a page")
	}
	if err := p.done(); err != nil {
		return err
	}
	items, more, err := a.Admin.Tenants(c.Request().Context(), after, limit)
	if err != nil {
		return err
	}
	page := struct {
		Items      []admin.Tenant `json:"items"`
		NextCursor *string        `json:"next_cursor"`
	}{Items: items}
	if more {
		page.NextCursor = &items[len(items)-1].ID
	}
	return c.JSON(http.StatusOK, page)
}

type tenantWritten struct {
	Tenant admin.Tenant `json:"tenant"`
	Pushed bool         `json:"pushed"`
}

// tenantFields are what may be set of a tenant; nil: not given.
type tenantFields struct {
	Name        *string        `json:"name"`
	Status      *tenant.Status `json:"status"`
	ContentMode *string        `json:"content_mode"`
}

// of makes the declaration of a tenant. A field that is given must not be empty.
func (f tenantFields) of(id string) (manifest.Tenant, error) {
	t := manifest.Tenant{ID: id}
	var faults []manifest.Fault
	take := func(name string, from, to *string) {
		if from == nil {
			return
		}
		if *from == "" {
			faults = append(faults, manifest.Fault{Path: name, Message: "is empty: leave it out, or give it a value"})
		}
		*to = *from
	}
	take("name", f.Name, &t.Name)
	take("status", (*string)(f.Status), (*string)(&t.Status))
	take("content_mode", f.ContentMode, &t.ContentMode)
	if len(faults) > 0 {
		return manifest.Tenant{}, &admin.InvalidError{Faults: faults}
	}
	return t, nil
}

func (a *API) createTenant(c echo.Context) error {
	var body struct {
		ID string `json:"id"`
		tenantFields
	}
	if err := noParams(c); err != nil {
		return err
	}
	if err := readJSON(c, maxBody, &body); err != nil {
		return err
	}
	want, err := body.of(body.ID)
	if err != nil {
		return err
	}
	made, err := a.Admin.CreateTenant(c.Request().Context(), principal(c).Actor(), want)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, tenantWritten{made, a.push(c)})
}

func (a *API) updateTenant(c echo.Context) error {
	var body tenantFields
	if err := noParams(c); err != nil {
		return err
	}
	if err := readJSON(c, maxBody, &body); err != nil {
		return err
	}
	want, err := body.of(c.Param("id"))
	if err != nil {
		return err
	}
	changed, err := a.Admin.UpdateTenant(c.Request().Context(), principal(c).Actor(), want)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, tenantWritten{changed, a.push(c)})
}

func (a *API) listKeys(c echo.Context) error {
	id, err := tenantOf(c)
	if err != nil {
		return err
	}
	keys, err := a.Admin.Keys(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"items": keys})
}

func (a *API) createKey(c echo.Context) error {
	var body manifest.Key
	if err := noParams(c); err != nil {
		return err
	}
	if err := readJSON(c, maxBody, &body); err != nil {
		return err
	}
	key, secret, err := a.Admin.CreateKey(c.Request().Context(), principal(c).Actor(), c.Param("id"), body)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, struct {
		admin.Key
		Secret string `json:"secret"`
		Pushed bool   `json:"pushed"`
	}{key, secret, a.push(c)})
}

func (a *API) revokeKey(c echo.Context) error {
	if err := noParams(c); err != nil {
		return err
	}
	id := c.Param("id")
	if !keyID.MatchString(id) {
		return errNotFound
	}
	at, err := a.Admin.RevokeKey(c.Request().Context(), principal(c).Actor(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		ID        string    `json:"id"`
		RevokedAt time.Time `json:"revoked_at"`
		Pushed    bool      `json:"pushed"`
	}{id, at, a.push(c)})
}
