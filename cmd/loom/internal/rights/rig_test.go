package rights_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loom.internal/pkg/bus"
)

var users = []string{"gateway", "recorder", "analytics", "dashboard", "migrate", "replay"}

func password(user string) string { return "secret-of-" + user }

func TestMain(m *testing.M) {
	env := map[string]string{"ENCRYPTION_MASTER_KEY": strings.Repeat("0123456789abcdef", 4)}
	for _, user := range users {
		env["NATS_"+strings.ToUpper(user)+"_PASSWORD"] = password(user)
	}
	for name, value := range env {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// document is the file that operators include.
func document(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "deploy", "nats", "permissions.conf"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// options are those of a server that includes the file.
func options(t *testing.T) *server.Options {
	t.Helper()
	dir := t.TempDir()
	conf := fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\ninclude \"permissions.conf\"\n", "127.0.0.1:-1", filepath.Join(dir, "js"))
	for name, text := range map[string]string{"permissions.conf": document(t), "nats.conf": conf} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	return opts
}

// broker is a server with all streams, and one more user for the tests to look at them.
type broker struct {
	srv *server.Server
	own jetstream.JetStream // of the account that holds the streams
}

const owner = "owner"

func start(t *testing.T, opts *server.Options) *broker {
	t.Helper()
	b := serve(t, opts)
	if err := bus.Ensure(t.Context(), b.own, bus.DefaultLayout()); err != nil {
		t.Fatal(err)
	}
	return b
}

// serve is start without any stream.
func serve(t *testing.T, opts *server.Options) *broker {
	t.Helper()
	opts.Users = append(opts.Users, &server.User{Username: owner, Password: password(owner), Account: holder(opts)})
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	b := &broker{srv: srv}
	b.own = b.js(t, owner)
	return b
}

// holder is the account that holds the streams; nil is the one of a server without any.
func holder(opts *server.Options) *server.Account {
	for _, a := range opts.Accounts {
		if a.Name == "LOOM" {
			return a
		}
	}
	return nil
}

func (b *broker) conn(t *testing.T, user string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append([]nats.Option{
		nats.UserInfo(user, password(user)), nats.CustomInboxPrefix(bus.InboxPrefix(user)),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // whoever wants to know sets another
	}, opts...)
	nc, err := nats.Connect(b.srv.ClientURL(), opts...)
	if err != nil {
		t.Fatal(user, err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func (b *broker) js(t *testing.T, user string) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(b.conn(t, user))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// watched is a connection and what the broker has told it that it may not do.
type watched struct {
	t *testing.T
	*nats.Conn
	said chan error
}

func (b *broker) watched(t *testing.T, user string) *watched {
	t.Helper()
	w := &watched{t: t, said: make(chan error, 10_000)}
	w.Conn = b.conn(t, user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { w.said <- err }))
	return w
}

var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]*)"`)

// denied are the subjects that the broker denies of those that f publishes or subscribes to.
func (w *watched) denied(f func()) map[string]bool {
	w.t.Helper()
	f()
	const end = "the.end.of.it" // denied to everybody, and told after all that came before
	if err := errors.Join(w.Publish(end, nil), w.Flush()); err != nil {
		w.t.Fatal(err)
	}
	denied := make(map[string]bool)
	deadline := time.After(20 * time.Second)
	for {
		select {
		case err := <-w.said:
			m := violation.FindStringSubmatch(err.Error())
			if m == nil || !errors.Is(err, nats.ErrPermissionViolation) {
				w.t.Fatalf("not a violation of permissions: %v", err)
			}
			if m[2] == end {
				return denied
			}
			denied[m[2]] = true
		case <-deadline:
			w.t.Fatal("the broker does not say what it denies")
		}
	}
}
