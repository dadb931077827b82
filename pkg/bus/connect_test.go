package bus_test

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/testkit"
)

// password has what a URL has to encode.
const password = "p@ss/w#rd?1"

// guarded is the address, for a user, of a broker that lets gateway listen to its own
// inboxes, and nobody do anything else but publish to one subject.
func guarded(t *testing.T) func(user, password string) string {
	t.Helper()
	_, address := guard(t)
	return address
}

func guard(t *testing.T) (reload func(password string), address func(user, password string) string) {
	t.Helper()
	user := func(name, password string) *server.User {
		return &server.User{Username: name, Password: password, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{"open.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_" + name + ".>"}},
		}}
	}
	opts := &server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "owner", Password: password}, user("gateway", password)},
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	reload = func(password string) {
		next := opts.Clone()
		next.Users = []*server.User{user("gateway", password)}
		if err := srv.ReloadOptions(next); err != nil {
			t.Fatal(err)
		}
	}
	return reload, func(user, password string) string {
		return (&url.URL{Scheme: "nats", User: url.UserPassword(user, password), Host: srv.Addr().String()}).String()
	}
}

// logged waits until a log holds so many of a text.
func logged(t *testing.T, log *safeBuffer, want string, times int) {
	t.Helper()
	tick, deadline := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for strings.Count(log.String(), want) < times {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the log has not %d times %q:\n%s", times, want, log.String())
		}
	}
}

func TestConnectLogsIn(t *testing.T) {
	t.Parallel()
	address := guarded(t)
	owner := testkitConn(t, address("owner", password), "owner", new(safeBuffer))
	if _, err := owner.Subscribe("open.>", func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	if err := owner.Flush(); err != nil {
		t.Fatal(err)
	}
	// Its answers come to the inboxes of its service, on every connection of that.
	for _, name := range []string{"gateway", "gateway bodies"} {
		var log safeBuffer
		nc := testkitConn(t, address("gateway", password), name, &log)
		// In vain for a user who may not publish an answer: it only has to be heard.
		if _, err := nc.Request("open.door", nil, 5*time.Second); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		testkit.Await(t, "told of the connection", func(context.Context) bool { return strings.Contains(log.String(), "connected to NATS") })
		if s := log.String(); strings.Contains(s, "p@ss") || strings.Contains(s, "p%40ss") {
			t.Errorf("%s: the log says %s", name, s)
		}
	}
}

func testkitConn(t *testing.T, address, name string, log *safeBuffer) *nats.Conn {
	t.Helper()
	nc, err := bus.Connect(address, name, slog.New(slog.NewTextHandler(log, nil)), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// A wrong password is said, and tried again: it may be set on the broker later.
func TestConnectWithAWrongPassword(t *testing.T) {
	t.Parallel()
	reload, address := guard(t)
	var log safeBuffer
	nc := testkitConn(t, address("gateway", "hunter2"), "gateway", &log)
	for _, password := range []string{"hunter2", "hunter3", "hunter2"} {
		reload(password)
		if password == "hunter2" {
			waitFor(t, nc, nats.CONNECTED)
			continue
		}
		waitFor(t, nc, nats.RECONNECTING)
		// As often as it is tried: it is not given up at the second time.
		for range 20 {
			if err := bus.Ready(nc); err == nil || nc.IsClosed() {
				t.Fatalf("the connection is %s", nc.Status())
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	if s := log.String(); strings.Count(s, "NATS refuses the login") != 1 || strings.Contains(s, "hunter") {
		t.Errorf("want it told once, without the password:\n%s", s)
	}
}

func waitFor(t *testing.T, nc *nats.Conn, want nats.Status) {
	t.Helper()
	tick, deadline := time.NewTicker(time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for nc.Status() != want {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the connection is %s, want %s", nc.Status(), want)
		}
	}
}

func TestNoAddressShowsItsPassword(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"nats://gateway:hunter2%zz@127.0.0.1:4222", "nats://gateway:hunter2/x@127.0.0.1:4222", "nats://gateway:hunter2#x@127.0.0.1:4222",
		"nats://gateway:1#hunter2@127.0.0.1:4222", "nats://gateway:1/hunter2@127.0.0.1", "nats://gateway:1?hunter2@127.0.0.1",
		"gateway:hunter2 x@127.0.0.1", "nats://a:1,nats://gateway:hunter2/@b/c", "nats://:hunter2@", "", "nats://host/hunter2",
	} {
		nc, err := bus.Connect(address, "gateway", testkit.Log(t), nats.RetryOnFailedConnect(false))
		if err == nil {
			nc.Close()
			t.Errorf("%q: connected", address)
			continue
		}
		if !strings.Contains(err.Error(), "nats://user:password@host:4222") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", address, err)
		}
	}
	for _, address := range []string{"nats://gateway:hunter2@127.0.0.1:1", "gateway:hunter2@127.0.0.1:1", "nats://hunter2@127.0.0.1:1", "nats://127.0.0.1:1, tls://gateway:hunter2@127.0.0.1:1"} {
		var log safeBuffer
		testkitConn(t, address, "gateway", &log)
		logged(t, &log, "NATS not reachable yet", 1)
		if s := log.String(); strings.Contains(s, "hunter2") || !strings.Contains(s, "://127.0.0.1:1") {
			t.Errorf("%q: the log says %s", address, s)
		}
	}
}

// What the broker denies is in the log at once, and once: the caller sees a timeout later.
func TestDenialsAreLogged(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	nc := testkitConn(t, guarded(t)("gateway", password), "gateway", &log)
	for range 3 {
		for _, subject := range []string{"shut.door", "shut.window"} {
			if err := nc.Publish(subject, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := nc.SubscribeSync("_INBOX_recorder.>"); err != nil {
		t.Fatal(err)
	}
	logged(t, &log, "NATS denies this", 3)
	if err := nc.Publish("shut.gate", nil); err != nil {
		t.Fatal(err)
	}
	logged(t, &log, "subject=shut.gate", 1) // by when the ones before would have been told again
	s := log.String()
	for _, want := range []string{"operation=publish subject=shut.door", "operation=publish subject=shut.window", "operation=subscription subject=_INBOX_recorder.>"} {
		if strings.Count(s, want) != 1 {
			t.Errorf("want %q once in\n%s", want, s)
		}
	}
	if strings.Count(s, "level=ERROR") != 4 || !strings.Contains(s, "deploy/nats/permissions.conf") {
		t.Errorf("the log says\n%s", s)
	}
	// Subjects without end do not fill the log, nor the memory.
	for n := range 200 {
		if err := nc.Publish("shut."+strings.Repeat("x", n+1), nil); err != nil {
			t.Fatal(err)
		}
	}
	logged(t, &log, "NATS denies this", 64)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "NATS denies this"); got != 64 {
		t.Errorf("%d lines, want 64", got)
	}
}
