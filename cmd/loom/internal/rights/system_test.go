package rights_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"loom.internal/cmd/loom/internal/client"
	"loom.internal/cmd/loom/internal/replay"
	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/event"
	"loom.internal/pkg/manifest"
	"loom.internal/pkg/testkit"
)

const (
	completion = `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},` +
		`"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`
	response = `{"id":"resp_1","object":"response","status":"completed","model":"m","output":[],"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}`
	hello    = `{"model":"m","messages":[{"role":"user","content":"hello"}]}`
)

// TestEverythingWorks takes all of Loom through what it does on the broker, each service
// with its own user: none of them is denied anything.
func TestEverythingWorks(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	migrate := s.jetStream("migrate")
	for range 2 { // the second time changes what is there
		if err := bus.Ensure(t.Context(), migrate, bus.DefaultLayout()); err != nil {
			t.Fatal("as loom migrate does:", err)
		}
	}
	provider := testkit.Upstream(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "application/json")
		answer := completion
		if strings.Contains(r.URL.Path, "/responses") {
			answer = response
		}
		_, _ = io.WriteString(w, answer)
	})
	dash, dashURL := s.dashboard()
	stopRecorder, stopAnalytics := s.recorder(), s.analytics()
	one, other := s.gateway(), s.gateway()

	// The configuration comes to gateways that run.
	adminKey, _, err := dash.Bootstrap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(dashURL, adminKey)
	if err != nil {
		t.Fatal(err)
	}
	applied, err := admin.Apply(t.Context(), manifest.Manifest{
		Providers: []manifest.Provider{{Name: "p", Kind: catalog.Compatible, BaseURL: provider.URL + "/v1", Secret: "sk-p"}},
		Routes:    []manifest.Route{{Model: "m", Targets: []manifest.Target{{Provider: "p"}}}},
		Tenants:   []manifest.Tenant{{ID: "acme", Keys: []manifest.Key{{Name: "app"}}}},
	}, false)
	if err != nil || !applied.Pushed || len(applied.Keys) != 1 {
		t.Fatalf("apply: %+v, %v", applied, err)
	}
	key := applied.Keys[0].Secret
	for _, gateway := range []string{one, other} {
		testkit.Await(t, "the gateway knows the key and the model", func(ctx context.Context) bool {
			status, _ := s.ask(ctx, http.MethodPost, gateway+"/v1/chat/completions", key, hello)
			return status == http.StatusOK
		})
	}
	s.counts("both traces", 2, `SELECT count(*) FROM traces WHERE outcome = 'completed'`)
	s.counts("both facts", 2, `SELECT count(*) FROM usage_facts`)

	// A body too large for an event, that does not shrink.
	noise := make([]byte, 2<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	large := strings.Replace(hello, "hello", base64.StdEncoding.EncodeToString(noise), 1)
	if status, answer := s.ask(t.Context(), http.MethodPost, one+"/v1/chat/completions", key, large); status != http.StatusOK {
		t.Fatalf("%d: %s", status, answer)
	}
	const largeBody = `SELECT count(*) FROM trace_bodies WHERE octet_length(request_body) > 1048576`
	s.counts("the large body", 1, largeBody)
	s.holds("OBJ_LOOM_BODIES")

	// A response is known to the other gateway.
	if status, answer := s.ask(t.Context(), http.MethodPost, one+"/v1/responses", key, `{"model":"m","input":"hi"}`); status != http.StatusOK {
		t.Fatalf("%d: %s", status, answer)
	}
	testkit.Await(t, "the other gateway knows the response", func(ctx context.Context) bool {
		status, answer := s.ask(ctx, http.MethodGet, other+"/v1/responses/resp_1", key, "")
		return status == http.StatusOK && answer == response
	})

	// A new key works at once; a revoked one soon does not.
	made, err := admin.CreateKey(t.Context(), "acme", client.KeySpec{Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := s.ask(t.Context(), http.MethodPost, one+"/v1/chat/completions", made.Secret, hello); status != http.StatusOK {
		t.Fatalf("with a new key: %d: %s", status, answer)
	}
	if _, err := admin.RevokeKey(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "the key is revoked", func(ctx context.Context) bool {
		status, _ := s.ask(ctx, http.MethodPost, one+"/v1/chat/completions", made.Secret, hello)
		return status == http.StatusUnauthorized
	})
	s.complete(admin)
	s.deadAndBack(admin)
	s.replays()

	// The database loses everything. The stream has it, and the bucket the large body.
	var traces int
	if err := s.db.Pool("").QueryRow(t.Context(), `SELECT count(*) FROM traces`).Scan(&traces); err != nil {
		t.Fatal(err)
	}
	stopRecorder()
	stopAnalytics()
	s.exec(`TRUNCATE traces, trace_bodies, producers, usage_facts, rollups, tag_rollups, producers_accounted`)
	stopRecorder, stopAnalytics = s.recorder(), s.analytics()
	s.counts("the traces again", traces, `SELECT count(*) FROM traces`)
	s.counts("the large body again", 1, largeBody)
	s.complete(admin)

	// The broker loses everything. The dashboard makes it anew, and what is asked for next
	// is recorded. Consumers that were there would have it 30 s later: what they had in hand
	// of a stream that is another one has to come again.
	stopRecorder()
	stopAnalytics()
	s.wipe()
	testkit.Await(t, "the streams are there again", func(ctx context.Context) bool {
		_, err := s.broker.own.Stream(ctx, "OBJ_LOOM_BODIES") // the last to be made
		return err == nil
	})
	testkit.Await(t, "the configuration is there again", func(ctx context.Context) bool {
		kv, err := s.broker.own.KeyValue(ctx, bus.BucketConfig)
		if err == nil {
			_, err = kv.Get(ctx, bus.KeyCatalog)
		}
		return err == nil
	})
	s.recorder()
	s.analytics()
	if status, answer := s.ask(t.Context(), http.MethodPost, one+"/v1/chat/completions", key, hello); status != http.StatusOK {
		t.Fatalf("%d: %s", status, answer)
	}
	s.counts("the trace after the broker's loss", traces+1, `SELECT count(*) FROM traces`)
	s.complete(admin)

	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "NATS denies") || strings.Contains(line, "NATS refuse") {
			t.Error(line)
		}
		if strings.Contains(line, "secret-of-") {
			t.Error("shows a password:", line)
		}
	}
}

// holds fails the test if a stream has never had a message.
func (s *system) holds(name string) {
	s.t.Helper()
	stream, err := s.broker.own.Stream(s.t.Context(), name)
	if err != nil || stream.CachedInfo().State.LastSeq == 0 {
		s.t.Errorf("stream %s is not used: %v", name, err)
	}
}

// complete waits until the dashboard finds that nothing is missing, nor on its way.
func (s *system) complete(admin *client.Client) {
	s.t.Helper()
	var last client.Report
	testkit.Await(s.t, "verify finds everything", func(ctx context.Context) bool {
		report, err := admin.Verify(ctx, 1)
		if err != nil {
			s.t.Fatal("verify:", err)
		}
		last = report
		return report.State == "complete"
	})
	if len(last.Producers) == 0 {
		s.t.Errorf("verify knows no gateway: %+v", last)
	}
}

// deadAndBack has an event set aside, and published again by the dashboard.
func (s *system) deadAndBack(admin *client.Client) {
	s.t.Helper()
	if _, err := s.broker.own.Publish(s.t.Context(), event.SubjectPrefix+"acme.completed", []byte("junk")); err != nil {
		s.t.Fatal(err)
	}
	s.counts("the junk of both consumers", 2, `SELECT count(*) FROM dead_events`)
	dead, err := admin.DeadEvents(s.t.Context(), "", 10)
	if err != nil || len(dead) != 2 {
		s.t.Fatalf("dead events: %+v, %v", dead, err)
	}
	if _, err := admin.RetryDead(s.t.Context(), dead[0].ID); err != nil {
		s.t.Fatal(err)
	}
	s.counts("it again, and the other one", 3, `SELECT count(*) FROM dead_events`)
	s.exec(`TRUNCATE dead_events`)
}

// replays makes the projections anew, and exports the stream.
func (s *system) replays() {
	s.t.Helper()
	cfg := replay.Config{DatabaseURL: s.db.DSN(""), JS: s.jetStream("replay"), Log: s.logger("replay")}
	for range 2 {
		report, err := replay.Run(s.t.Context(), cfg, replay.Options{Traces: true, Usage: true})
		if err != nil || report.Counts.Applied == 0 || report.Counts.LostBodies != 0 {
			s.t.Fatalf("replay: %+v, %v", report, err)
		}
	}
	var out strings.Builder
	if report, err := replay.Export(s.t.Context(), cfg, replay.Scope{}, &out); err != nil || report.Written == 0 || report.LostBodies != 0 {
		s.t.Fatalf("export: %+v, %v", report, err)
	}
}
