package testkit

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// schema is a small set of migrations with one of the roles.
func schema(table string) fstest.MapFS {
	sql := "-- +goose Up\nCREATE TABLE " + table + " (n int);\n" +
		"-- +goose StatementBegin\nDO $$ BEGIN CREATE ROLE loom_recorder LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;\n-- +goose StatementEnd\n" +
		"GRANT SELECT, INSERT ON " + table + " TO loom_recorder;\n"
	return fstest.MapFS{"0001_init.sql": {Data: []byte(sql)}}
}

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	a, b := newDB(t, schema("x")), newDB(t, schema("x"))
	if _, err := a.Pool("").Exec(t.Context(), `INSERT INTO x VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	for db, want := range map[*DB]int{a: 1, b: 0} {
		var n int
		if err := db.Pool("loom_recorder").QueryRow(t.Context(), `SELECT count(*) FROM x`).Scan(&n); err != nil || n != want {
			t.Errorf("rows: got %d, %v, want %d", n, err, want)
		}
	}
	if first, second := a.Pool(""), a.Pool(""); first != second {
		t.Error("Pool gives a new pool each time")
	}
	if _, err := a.Pool("loom_recorder").Exec(t.Context(), `CREATE TABLE public.y ()`); err == nil && serverAtLeast15(t, a) {
		t.Error("the role may do what an owner may")
	}
	if _, err := newDB(t, schema("other")).Pool("").Exec(t.Context(), `SELECT * FROM other`); err != nil {
		t.Errorf("another set of migrations: %v", err)
	}
}

func serverAtLeast15(t *testing.T, db *DB) bool {
	t.Helper()
	var ok bool
	if err := db.Pool("").QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int >= 150000`).Scan(&ok); err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestDatabaseIsDropped(t *testing.T) {
	var name string
	t.Run("use", func(t *testing.T) {
		db := newDB(t, schema("x"))
		name = db.name
		if _, err := db.Pool("").Exec(t.Context(), `SELECT 1`); err != nil {
			t.Fatal(err)
		}
	})
	conn, err := pgx.Connect(t.Context(), shared.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var left bool
	if err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&left); err != nil || left {
		t.Errorf("database %s is left: %v, %v", name, left, err)
	}
}

func TestLoomSchema(t *testing.T) {
	t.Parallel()
	db := Postgres(t)
	for _, role := range []string{"", "loom_recorder", "loom_analytics", "loom_dashboard", "loom_admin"} {
		var user string
		if err := db.Pool(role).QueryRow(t.Context(), `SELECT current_user`).Scan(&user); err != nil || role != "" && user != role {
			t.Errorf("as %q: got %q, %v", role, user, err)
		}
	}
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for _, c := range [][4]string{
		{"postgres://u:p@h:1/a?sslmode=disable", "b", "", "postgres://u:p@h:1/b?sslmode=disable"},
		{"postgres://u:p@h:1/a", "b", "r", "postgres://r:loom-test@h:1/b"},
		{"host=h dbname=a user=u", "b", "r", "host=h dbname=a user=u dbname=b user=r password=loom-test"},
	} {
		if got := withDatabase(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("withDatabase(%q, %q, %q): got %q, want %q", c[0], c[1], c[2], got, c[3])
		}
		if cfg, err := pgx.ParseConfig(withDatabase(c[0], c[1], c[2])); err != nil || cfg.Database != c[1] {
			t.Errorf("pgx reads %v, %v, want database %s", cfg, err, c[1])
		}
	}
}

// Of the choice of LOOM_TEST_ENGINES; make test runs it first of all to show what it is.
func TestEngines(t *testing.T) {
	b := NATS(t)
	want, err := inContainers()
	if err != nil {
		t.Fatal(err)
	}
	if _, got := b.srv.(*natsContainer); got != want {
		t.Errorf("NATS in a container: %v, want %v", got, want)
	}
	if nc := b.Conn(t); nc.ConnectedServerName() != "loom" {
		t.Errorf("the server's name: got %q, want loom", nc.ConnectedServerName())
	}
	Postgres(t)
	if want && !strings.HasPrefix(shared.used, "a container") {
		t.Errorf("Postgres: got %s, want a container", shared.used)
	}
}

func TestEnginesUnknown(t *testing.T) {
	t.Setenv("LOOM_TEST_ENGINES", "container")
	var s pgServer
	if err := s.start(); err == nil || !strings.Contains(err.Error(), `LOOM_TEST_ENGINES is "container"`) {
		t.Errorf("got %v, want what LOOM_TEST_ENGINES may be", err)
	}
}

func TestNoServerSaysWhatToDo(t *testing.T) {
	t.Setenv("LOOM_TEST_ENGINES", "")
	t.Setenv("LOOM_TEST_DATABASE_URL", "")
	t.Setenv("LOOM_PG_BIN", "/nowhere")
	t.Setenv("DOCKER_HOST", "unix:///nowhere.sock")
	var s pgServer
	err := s.start()
	if s.stop != nil {
		s.stop()
	}
	if err == nil {
		return // an engine answered all the same
	}
	for _, want := range []string{"LOOM_TEST_DATABASE_URL", "LOOM_PG_BIN", "apt-get install postgresql", "Docker"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

func TestSharedServer(t *testing.T) {
	if err := shared.start(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LOOM_TEST_ENGINES", "")
	t.Setenv("LOOM_TEST_DATABASE_URL", shared.dsn)
	var s pgServer
	if err := s.start(); err != nil || s.dsn != shared.dsn || s.stop != nil {
		t.Errorf("got %q, %v, want the server named, not ours to stop", s.dsn, err)
	}
	// Two processes that build one template at a time: the second finds it made.
	name := "loom_tpl_test_race"
	errs := make(chan error, 4)
	for range 4 {
		go func() { errs <- (&template{name: name}).build(schema("x")) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := onServer(t.Context(), "DROP DATABASE "+name); err != nil {
		t.Error(err)
	}
}

func TestBrokerOutage(t *testing.T) {
	t.Parallel()
	b := NATS(t)
	publish := func() error {
		js, err := jetstream.New(b.Conn(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "A", Subjects: []string{"a"}}); err != nil {
			return err
		}
		ack, err := js.Publish(t.Context(), "a", []byte("x"))
		if err == nil && ack.Sequence == 0 {
			err = errors.New("no sequence")
		}
		return err
	}
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	url := b.URL
	b.Stop()
	b.Stop()
	b.Start(t)
	if b.URL != url {
		t.Errorf("URL after the outage: got %s, want %s", b.URL, url)
	}
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	js, _ := jetstream.New(b.Conn(t))
	s, err := js.Stream(t.Context(), "A")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().State.Msgs; got != 2 {
		t.Errorf("messages: got %d, want 2", got)
	}
	b.Wipe(t)
	if b.URL != url {
		t.Errorf("URL without its disk: got %s, want %s", b.URL, url)
	}
	js, _ = jetstream.New(b.Conn(t))
	if _, err := js.Stream(t.Context(), "A"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("stream of a disk that is gone: got %v, want none", err)
	}
}

func TestNATSThatNeverAnswers(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := awaitNATS(ctx, "nats://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "nats://127.0.0.1:1 does not answer") {
		t.Errorf("got %v, want who does not answer", err)
	}
}

func post(t *testing.T, ctx context.Context, url string) (*http.Response, error) { //nolint:revive // t first, as in every helper
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/x?y=1", strings.NewReader(`{"a": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Test", "yes")
	return http.DefaultClient.Do(req)
}

func TestUpstreamStreamsAndRecords(t *testing.T) {
	t.Parallel()
	p := Upstream(t, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		if err := errors.Join(SSE(w, "data: 1\n\n"), SSE(w, "data: "+string(body)+"\n\n")); err != nil {
			t.Error(err)
		}
	})
	res, err := post(t, t.Context(), p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if want := "data: 1\n\ndata: {\"a\": 1}\n\n"; err != nil || string(b) != want || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("stream: got %q, %v, %v", b, err, res.Header)
	}
	got := p.Await(t, 1, time.Second)[0]
	if got.Method != "POST" || got.Path != "/v1/x?y=1" || got.Header.Get("X-Test") != "yes" || string(got.Body) != `{"a": 1}` {
		t.Errorf("recorded: %+v", got)
	}
	if n := len(p.Requests()); n != 1 {
		t.Errorf("requests: got %d, want 1", n)
	}
}

func TestUpstreamCutsAndSeesTheClientGo(t *testing.T) {
	t.Parallel()
	cut := Upstream(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		if err := errors.Join(SSE(w, "data: 1\n\n"), Cut(w)); err != nil {
			t.Error(err)
		}
	})
	res, err := post(t, t.Context(), cut.URL)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if string(b) != "data: 1\n\n" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut stream: got %q, %v, want an unexpected EOF", b, err)
	}

	gone := make(chan error, 1)
	waits := Upstream(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if err := WaitGone(r, time.Millisecond); err == nil {
			t.Error("WaitGone: the client is there, got no error")
		}
		gone <- errors.Join(SSE(w, "data: 1\n\n"), WaitGone(r, 10*time.Second))
	})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	if res, err = post(t, ctx, waits.URL); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	leave()
	if err := <-gone; err != nil {
		t.Error(err)
	}
}

func TestLogAfterTheEnd(t *testing.T) {
	var late func()
	t.Run("logs", func(t *testing.T) {
		log := Log(t)
		log.Debug("in time")
		late = func() { log.Info("too late") }
	})
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("a late line panics: %v", p)
		}
	}()
	late()
}
