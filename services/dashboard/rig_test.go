package dashboard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/telemetry"
	"loom.internal/pkg/testkit"
	"loom.internal/services/dashboard"
	"loom.internal/services/dashboard/api"
)

const masterKey = "1f6f6d2064617368626f61726420746573742d6b657920333220627974657351"

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// rig is a dashboard that runs on a database and a broker of its own, with two tenants.
type rig struct {
	*dashboard.Service
	db      *testkit.DB
	broker  *testkit.Broker
	nats    *nats.Conn
	js      jetstream.JetStream
	ring    *envelope.Ring
	ready   *telemetry.Readiness
	clock   *clock
	metrics *prometheus.Registry // of the last replica
	base    string
	stop    context.CancelFunc

	admin       string
	acme, other string // keys with every scope
	keyID       string // of acme
}

// clock runs as the real one, and can be put forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

func testConfig(t *testing.T) dashboard.Config {
	t.Helper()
	return dashboard.Config{
		Addr: "127.0.0.1:0", NATSURL: "nats://unused", NATSReplicas: 1, DatabaseURL: "unused", AdminDatabaseURL: "unused",
		MasterKey: config.VersionedSecret{1: masterKey}, KeyMaxAge: 30 * 24 * time.Hour, GatewayURL: "http://127.0.0.1:8080", Drain: time.Second,
	}
}

func newRig(t *testing.T, edit ...func(*dashboard.Config)) *rig {
	t.Helper()
	r := &rig{db: testkit.Postgres(t), broker: testkit.NATS(t), clock: new(clock), ready: new(telemetry.Readiness)}
	r.js = r.broker.Stream(t)
	r.nats = r.broker.Conn(t, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	var err error
	if r.ring, err = envelope.NewRing(map[uint32]string{1: masterKey}); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t)
	for _, f := range edit {
		f(&cfg)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.base = "http://" + ln.Addr().String()
	r.Service = r.replica(t, cfg, ln)
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	r.seedTenants(t)
	return r
}

// replica is a dashboard on the rig's engines; it does nothing until it is run.
func (r *rig) replica(t *testing.T, cfg dashboard.Config, ln net.Listener) *dashboard.Service {
	t.Helper()
	return r.replicaWith(t, cfg, ln, testkit.Log(t))
}

func (r *rig) replicaWith(t *testing.T, cfg dashboard.Config, ln net.Listener, log *slog.Logger) *dashboard.Service {
	t.Helper()
	r.metrics = prometheus.NewRegistry()
	s, err := dashboard.New(cfg, dashboard.Deps{
		Log: log, NATS: r.nats, DB: r.db.Pool("loom_dashboard"), AdminDB: r.db.Pool("loom_admin"),
		Metrics: r.metrics, Ready: r.ready, Listener: ln, Now: r.clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *rig) seedTenants(t *testing.T) {
	t.Helper()
	var (
		created bool
		err     error
	)
	if r.admin, created, err = r.Bootstrap(t.Context()); err != nil || !created {
		t.Fatalf("bootstrap: %v, created %v", err, created)
	}
	keys := []manifest.Key{{Name: "all"}}
	result, err := r.Apply(t.Context(), &manifest.Manifest{Tenants: []manifest.Tenant{
		{ID: "acme", Name: "Acme", Keys: keys}, {ID: "other", Keys: keys},
	}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if !result.Pushed {
		t.Fatal("the first configuration was not pushed")
	}
	r.acme, r.other, r.keyID = result.Keys[0].Secret, result.Keys[1].Secret, result.Keys[0].ID
}

// call is one request of a test.
type call struct {
	method, path string
	key          string // Authorization: Bearer
	body         any    // a string goes as it is
	header       map[string]string
	raw          bool // does not mean to keep to the contract's request
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

// do sends c. Whatever comes back must be as the contract says, and so must what was
// sent if it was accepted.
func (r *rig) do(t *testing.T, c call) reply {
	t.Helper()
	var body []byte
	switch b := c.body.(type) {
	case nil:
	case string:
		body = []byte(b)
	default:
		var err error
		if body, err = json.Marshal(b); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), c.method, r.base+c.path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var from io.Reader = resp.Body
	if strings.HasSuffix(req.URL.Path, "/traces/tail") && resp.StatusCode == http.StatusOK {
		from = io.LimitReader(from, 3) // the rest would take for ever
	}
	got, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	out := reply{resp.StatusCode, resp.Header, got}
	checkContract(t, c, req, body, out)
	return out
}

var contract = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		return nil, err
	}
	for _, kind := range []string{"application/yaml", "text/event-stream", "text/csv"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
	}
	return legacy.NewRouter(doc)
})

func checkContract(t *testing.T, c call, req *http.Request, body []byte, out reply) {
	t.Helper()
	router, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(req.URL.Path, "/loom") // the base path of one test
	route, params, err := router.FindRoute(&http.Request{Method: req.Method, URL: &url.URL{Path: path, RawQuery: req.URL.RawQuery}})
	if err != nil {
		if strings.HasPrefix(path, "/api/") && out.status != http.StatusNotFound && out.status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: status %d from what the contract does not have", c.method, c.path, out.status)
		}
		return
	}
	asked := req.Clone(t.Context())
	asked.Body = io.NopCloser(bytes.NewReader(body))
	in := &openapi3filter.RequestValidationInput{
		Request: asked, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if out.status < 300 && !c.raw {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s was accepted, but the contract refuses it: %v", c.method, c.path, err)
		}
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: out.status, Header: out.header, Body: io.NopCloser(bytes.NewReader(out.body)), Options: in.Options,
	})
	if err != nil {
		t.Errorf("%s %s: answer is not as the contract says: %v\n%s", c.method, c.path, err, out.body)
	}
}

// get reads path as the key's owner and unpacks the answer, which must be 200.
func (r *rig) get(t *testing.T, key, path string, v any) {
	t.Helper()
	r.ok(t, call{method: http.MethodGet, path: path, key: key}, v)
}

// ok sends c, which must succeed, and unpacks the answer.
func (r *rig) ok(t *testing.T, c call, v any) {
	t.Helper()
	out := r.do(t, c)
	if out.status >= 300 {
		t.Fatalf("%s %s: got %d %s", c.method, c.path, out.status, out.body)
	}
	if v != nil {
		if err := json.Unmarshal(out.body, v); err != nil {
			t.Fatalf("%s %s: %v in %s", c.method, c.path, err, out.body)
		}
	}
}

type failure struct {
	Error struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		RequestID string `json:"request_id"`
	} `json:"error"`
	Faults []manifest.Fault `json:"faults"`
}

// fails sends c, which must be refused with that status and code.
func (r *rig) fails(t *testing.T, c call, status int, code string) failure {
	t.Helper()
	out := r.do(t, c)
	var f failure
	if err := json.Unmarshal(out.body, &f); err != nil {
		t.Fatalf("%s %s: %v in %s", c.method, c.path, err, out.body)
	}
	if out.status != status || f.Error.Code != code {
		t.Errorf("%s %s: got %d %s (%s), want %d %s", c.method, c.path, out.status, f.Error.Code, f.Error.Message, status, code)
	}
	if f.Error.RequestID == "" || f.Error.RequestID != out.header.Get("X-Request-Id") {
		t.Errorf("%s %s: request id %q in the body, %q in the header", c.method, c.path, f.Error.RequestID, out.header.Get("X-Request-Id"))
	}
	return f
}

func (r *rig) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := r.db.Pool("").Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
}

func (r *rig) count(t *testing.T, sql string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := r.db.Pool("").QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
	return n
}

func (r *rig) kv(t *testing.T) jetstream.KeyValue {
	t.Helper()
	kv, err := r.js.KeyValue(t.Context(), bus.BucketConfig)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}
