package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"loom.internal/pkg/tenant"
)

// need is what a route asks of the caller.
type need struct {
	public bool
	admin  bool
	scope  tenant.Scope // of the tenant that is read; empty: any caller
}

type route struct {
	method, path string
	need         need
	handle       echo.HandlerFunc
}

const (
	trace      = "/api/v1/traces/:id"
	tailing    = "/api/v1/traces/tail"
	playing    = "/api/v1/playground/chat/completions"
	costsFile  = "/api/v1/costs.csv"
	session    = "/api/v1/session"
	tenants    = "/api/v1/admin/tenants"
	tenantKeys = "/api/v1/admin/tenants/:id/keys"
	deadEvents = "/api/v1/admin/dead"
	verifying  = "/api/v1/admin/verify"
	gaps       = "/api/v1/admin/gaps"
	masters    = "/api/v1/admin/master-keys"
	dataKeys   = "/api/v1/admin/data-keys"
	tenantData = "/api/v1/admin/tenants/:id/data-keys"
)

// routes is every route of the API and who may call it.
func (a *API) routes() []route {
	var (
		public  = need{public: true}
		caller  = need{}
		reader  = need{scope: tenant.ScopeTracesRead}
		decrypt = need{scope: tenant.ScopeTracesDecrypt}
		admin   = need{admin: true}
	)
	return []route{
		{http.MethodGet, "/api/v1/openapi.yaml", public, a.spec},
		{http.MethodPost, session, public, a.login},
		{http.MethodDelete, session, public, a.logout},
		{http.MethodGet, "/api/v1/me", caller, a.me},

		{http.MethodGet, "/api/v1/traces", reader, a.listTraces},
		{http.MethodGet, tailing, reader, a.tailTraces},
		{http.MethodGet, trace, reader, a.getTrace},
		{http.MethodGet, trace + "/payload", decrypt, a.getPayload},
		{http.MethodGet, "/api/v1/summary", reader, a.summary},
		{http.MethodGet, "/api/v1/timeseries", reader, a.timeseries},
		{http.MethodGet, "/api/v1/facets", reader, a.facets},
		{http.MethodGet, "/api/v1/costs", reader, a.costs},
		{http.MethodGet, costsFile, reader, a.costsCSV},
		{http.MethodGet, "/api/v1/models", reader, a.models},
		{http.MethodGet, "/api/v1/compare", reader, a.compare},

		{http.MethodPost, playing, reader, a.playground},

		{http.MethodPost, "/api/v1/admin/apply", admin, a.apply},
		{http.MethodGet, tenants, admin, a.listTenants},
		{http.MethodPost, tenants, admin, a.createTenant},
		{http.MethodPatch, tenants + "/:id", admin, a.updateTenant},
		{http.MethodGet, tenantKeys, admin, a.listKeys},
		{http.MethodPost, tenantKeys, admin, a.createKey},
		{http.MethodDelete, "/api/v1/admin/keys/:id", admin, a.revokeKey},

		{http.MethodGet, masters, admin, a.listMasters},
		{http.MethodPost, masters + "/rewrap", admin, a.rewrap},
		{http.MethodGet, dataKeys, admin, a.listDataKeys},
		{http.MethodPost, tenantData, admin, a.rotateDataKey},
		{http.MethodPost, tenantData + "/reencrypt", admin, a.reencrypt},
		{http.MethodPost, tenantData + "/shred", admin, a.shred},

		{http.MethodGet, "/api/v1/admin/pipeline", admin, a.pipeline},
		{http.MethodGet, verifying, admin, a.verify},
		{http.MethodPost, gaps, admin, a.acknowledgeGap},
		{http.MethodGet, deadEvents, admin, a.listDead},
		{http.MethodGet, deadEvents + "/:id", admin, a.getDead},
		{http.MethodDelete, deadEvents + "/:id", admin, a.discardDead},
		{http.MethodPost, deadEvents + "/:id/retry", admin, a.retryDead},
	}
}

// Routes lists every route there is, as "METHOD path".
func (a *API) Routes() []string {
	var all []string
	for _, r := range a.echo.Routes() {
		all = append(all, r.Method+" "+r.Path)
	}
	return all
}
