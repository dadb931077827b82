package gateway_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/event"
	"loom.internal/pkg/telemetry"
	"loom.internal/pkg/tenant"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway"
	"loom.internal/services/gateway/internal/record"
	"loom.internal/services/gateway/internal/spool"
)

const (
	masterKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	patience  = 10 * time.Second
)

// world is a gateway on a real port, with a broker of its own.
type world struct {
	tb      testing.TB
	broker  *testkit.Broker
	nc      *nats.Conn
	js      jetstream.JetStream
	kv      jetstream.KeyValue
	ring    *envelope.Ring
	data    map[string]*envelope.DataKey // of tenants
	hasher  *tenant.Hasher
	metrics *prometheus.Registry
	ready   *telemetry.Readiness
	url     string
	key     string // of tenant acme, may do everything
	stop    func() error
	client  *http.Client
	rev     int64
	spool   string // directory
	masters config.VersionedSecret
	log     *slog.Logger
}

type setup struct {
	upstream string // of provider "up"
	kind     catalog.Kind
	change   func(*gateway.Config)
	others   map[string]string // name and base URL of more providers
	routes   []catalog.Route   // more of them
	noStart  bool
	files    bool                   // the test reads the broker's files
	masters  config.VersionedSecret // of the gateway; version 1 unless there are any
	log      *slog.Logger           // of the gateway; the test's unless there is one
}

func start(tb testing.TB, s setup) *world {
	tb.Helper()
	broker := testkit.NATS
	if s.files {
		broker = testkit.NATSInProcess
	}
	w := &world{tb: tb, broker: broker(tb), masters: s.masters, log: s.log}
	if w.masters == nil {
		w.masters = config.VersionedSecret{1: masterKey}
	}
	if w.log == nil {
		w.log = quiet(tb)
	}
	w.nc = w.broker.Conn(tb, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	var err error
	w.js, err = jetstream.New(w.nc)
	w.must(err)
	w.must(bus.Ensure(tb.Context(), w.js, bus.DefaultLayout()))
	w.kv, err = w.js.KeyValue(tb.Context(), bus.BucketConfig)
	w.must(err)
	w.ring, err = envelope.NewRing(map[uint32]string{1: masterKey})
	w.must(err)
	pepper := []byte(strings.Repeat("pepper! ", 4))
	w.hasher, err = tenant.NewHasher(pepper)
	w.must(err)
	wrapped, err := w.ring.Wrap(tb.Context(), catalog.PepperLabel(), pepper)
	w.must(err)
	w.put(bus.KeyPepper, catalog.Pepper{Revision: w.next(), Wrapped: wrapped})

	w.data = make(map[string]*envelope.DataKey)
	w.addTenant(tenant.Tenant{ID: "acme"})
	w.key = w.addKey(tenant.Key{TenantID: "acme", Scopes: tenant.Scopes()})
	kind := s.kind
	if kind == "" {
		kind = catalog.Compatible
	}
	providers := []catalog.Provider{{Name: "demo", Kind: catalog.Demo}}
	routes := []catalog.Route{
		{Model: "loom-demo", Targets: []catalog.Target{{Provider: "demo"}}},
		{Model: "loom-demo-large", Targets: []catalog.Target{{Provider: "demo"}}},
	}
	if s.upstream != "" {
		secret, err := catalog.SealSecret(tb.Context(), w.ring, "up", s.upstream, "sk-upstream-secret")
		w.must(err)
		providers = append(providers, catalog.Provider{Name: "up", Kind: kind, BaseURL: s.upstream, Secret: secret})
		routes = append(routes,
			catalog.Route{Model: "gpt-*", Targets: []catalog.Target{{Provider: "up"}}},
			catalog.Route{Model: "finish-*", Targets: []catalog.Target{{Provider: "up"}}, OnDisconnect: catalog.Finish},
			catalog.Route{Model: "alias", Targets: []catalog.Target{{Provider: "up", Model: "gpt-real \"quoted\""}}})
	}
	for name, base := range s.others {
		providers = append(providers, catalog.Provider{Name: name, Kind: catalog.Compatible, BaseURL: base})
	}
	routes = append(routes, s.routes...)
	w.put(bus.KeyCatalog, catalog.Snapshot{Revision: w.next(), Providers: providers, Routes: routes})
	if !s.noStart {
		w.start(s.change)
	}
	return w
}

// addTenant puts a tenant with a data key of its own, active and in full unless t says
// otherwise.
func (w *world) addTenant(t tenant.Tenant) {
	w.tb.Helper()
	if w.data[t.ID] == nil {
		w.data[t.ID] = envelope.NewDataKey(t.ID, 1)
	}
	wrapped, err := w.data[t.ID].Wrap(context.Background(), w.ring)
	w.must(err)
	t.Status, t.ContentMode = cmp.Or(t.Status, tenant.Active), cmp.Or(t.ContentMode, "full")
	t.Revision, t.DataKey = w.next(), &wrapped
	w.put(bus.PrefixTenant+t.ID, t)
}

func (w *world) config(change func(*gateway.Config)) gateway.Config {
	w.tb.Helper()
	cfg := gateway.Config{
		Addr: "127.0.0.1:0", LogLevel: "info", LogFormat: "text", NATSURL: config.Secret(w.broker.URL), MasterKey: w.masters,
		Drain: 2 * time.Second, AllowPrivateUpstreams: true, ConnectTimeout: 5 * time.Second,
		HeaderTimeout: time.Minute, IdleTimeout: time.Minute, WriteTimeout: time.Minute, BodyTimeout: time.Minute,
		MaxBody: 32 << 20, BodyMemory: 256 << 20, CaptureLimit: 16 << 20, KeyCache: 100, NegativeTTL: 200 * time.Millisecond,
	}
	if w.spool == "" {
		w.spool = w.tb.TempDir()
	}
	cfg.SpoolDir, cfg.SpoolMaxBytes, cfg.Durability, cfg.TracePolicy, cfg.ResendAfter = w.spool, 256<<20, spool.Process, record.Required, time.Minute
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func (w *world) start(change func(*gateway.Config)) {
	w.tb.Helper()
	w.run(change)
	w.eventually("ready", func() bool { return w.ready.Err() == nil })
}

// run starts a gateway that may not become ready.
func (w *world) run(change func(*gateway.Config)) {
	w.tb.Helper()
	cfg := w.config(change)
	w.metrics, w.ready = prometheus.NewRegistry(), new(telemetry.Readiness)
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	w.must(err)
	w.url = "http://" + ln.Addr().String()
	nc, err := bus.Connect(w.broker.URL, "gateway-test", quiet(w.tb), nats.ReconnectWait(20*time.Millisecond))
	w.must(err)
	bodies, err := bus.Connect(w.broker.URL, "gateway-test-bodies", quiet(w.tb), nats.ReconnectWait(20*time.Millisecond))
	w.must(err)
	svc, err := gateway.New(cfg, gateway.Deps{Log: w.log, Metrics: w.metrics, Ready: w.ready, NATS: nc, Bodies: bodies, Listener: ln})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	stopped := false
	w.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		err := <-done
		nc.Close()
		bodies.Close()
		return err
	}
	w.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	w.tb.Cleanup(func() {
		w.client.CloseIdleConnections()
		_ = w.stop()
	})
}

// quiet logs to the test, or nowhere for a benchmark.
func quiet(tb testing.TB) *slog.Logger {
	tb.Helper()
	if _, ok := tb.(*testing.B); ok {
		return slog.New(slog.DiscardHandler)
	}
	return testkit.Log(tb)
}

func (w *world) must(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
}

func (w *world) next() int64 { w.rev++; return w.rev }

func (w *world) put(name string, v any) {
	w.tb.Helper()
	w.must(bus.PutNewer(context.Background(), w.kv, name, w.rev, v))
}

// addKey makes an API key and returns its text.
func (w *world) addKey(k tenant.Key) string {
	w.tb.Helper()
	text, err := tenant.NewKeyText(tenant.TenantPrefix)
	w.must(err)
	k.ID = text.ID()
	k.Revision = w.next()
	w.putKey(text.Reveal(), k)
	return text.Reveal()
}

func (w *world) putKey(text string, k tenant.Key) {
	w.tb.Helper()
	parsed, err := tenant.ParseKeyText(text)
	w.must(err)
	hash := w.hasher.Hash(parsed)
	k.ID = parsed.ID()
	k.Revision = w.next()
	w.put(bus.PrefixKey+hex.EncodeToString(hash[:]), k)
}

// eventually polls cond until it holds.
func (w *world) eventually(what string, cond func() bool) {
	w.tb.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			w.tb.Fatalf("not %s within %s", what, patience)
		}
	}
}

// request makes a request with the key of the world unless header has one of its own.
func (w *world) request(ctx context.Context, method, path string, body []byte, header ...string) *http.Request {
	w.tb.Helper()
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, bytes.NewReader(body))
	w.must(err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+w.key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Del(header[i])
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	return req
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

func (w *world) do(req *http.Request) answer {
	w.tb.Helper()
	resp, err := w.client.Do(req)
	w.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), err}
}

func (w *world) chat(body string, header ...string) answer {
	w.tb.Helper()
	return w.do(w.request(w.tb.Context(), http.MethodPost, "/v1/chat/completions", []byte(body), header...))
}

// traces waits for n events in the stream and returns them all, by producer sequence.
func (w *world) traces(n int) []*event.TraceEvent {
	w.tb.Helper()
	stream, err := w.js.Stream(context.Background(), bus.StreamTrace)
	w.must(err)
	var events []*event.TraceEvent
	w.eventually("all traces published", func() bool {
		info, err := stream.Info(context.Background())
		w.must(err)
		return info.State.Msgs >= uint64(n)
	})
	info, err := stream.Info(context.Background())
	w.must(err)
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		msg, err := stream.GetMsg(context.Background(), seq)
		w.must(err)
		e, err := event.Decode(msg.Subject, msg.Data)
		w.must(err)
		if got := msg.Header.Get(jetstream.MsgIDHeader); got != e.GetTraceId() {
			w.tb.Errorf("dedupe id: got %q, want the trace id %q", got, e.GetTraceId())
		}
		events = append(events, e)
	}
	if len(events) != n {
		w.tb.Fatalf("got %d traces, want %d", len(events), n)
	}
	slices.SortFunc(events, func(a, b *event.TraceEvent) int {
		return int(a.GetProducer().GetSeq()) - int(b.GetProducer().GetSeq())
	})
	return events
}

// trace waits for the only trace.
func (w *world) trace() *event.TraceEvent {
	w.tb.Helper()
	return w.traces(1)[0]
}

// open decrypts a body of a trace, wherever it is.
func (w *world) open(e *event.TraceEvent, field envelope.Field) string {
	w.tb.Helper()
	b := e.GetRequestBody()
	if field == envelope.FieldResponse {
		b = e.GetResponseBody()
	}
	if b == nil {
		w.tb.Fatalf("trace has no %s body", field)
	}
	bodies, err := bus.NewBodies(w.nc)
	w.must(err)
	w.must(bodies.Attach(context.Background(), e))
	plain, err := openWith(w.data[e.GetTenantId()], e, field)
	w.must(err)
	return string(plain)
}

// openWith opens a body of a trace, which has it, with any data key.
func openWith(data *envelope.DataKey, e *event.TraceEvent, field envelope.Field) ([]byte, error) {
	b := e.GetRequestBody()
	if field == envelope.FieldResponse {
		b = e.GetResponseBody()
	}
	key, err := data.Trace(e.GetTraceId())
	if err != nil {
		return nil, err
	}
	return key.Open(field, envelope.Sealed{
		Ciphertext: b.GetCiphertext(), IV: b.GetIv(), Suite: uint8(b.GetSuite()), Codec: envelope.Codec(b.GetCodec()),
		Epoch: b.GetKeyVersion(), PlainLen: b.GetPlainLength(),
	})
}

func contains(tb testing.TB, what, got, want string) {
	tb.Helper()
	if !strings.Contains(got, want) {
		tb.Errorf("%s: got %q, want it to contain %q", what, got, want)
	}
}

func equal[T comparable](tb testing.TB, what string, got, want T) {
	tb.Helper()
	if got != want {
		tb.Errorf("%s: got %v, want %v", what, got, want)
	}
}
