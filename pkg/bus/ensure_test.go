package bus_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
)

// What is missing is made again, by as many as like to, with no right to change or delete
// anything; a user without the right to make it makes nothing.
func TestRestoreNeedsFewRights(t *testing.T) {
	t.Parallel()
	sees := []string{"$JS.API.INFO", "$JS.API.STREAM.INFO.>", "$JS.API.CONSUMER.INFO.>"}
	makes := []string{"$JS.API.STREAM.CREATE.*", "$JS.API.CONSUMER.CREATE.LOOM_TRACE.>"}
	user := func(name string, publish ...string) *server.User {
		return &server.User{Username: name, Password: name, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}
	}
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "owner", Password: "owner"}, user("dashboard", slices.Concat(sees, makes)...), user("recorder", sees...)},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	as := func(user string) jetstream.JetStream {
		nc, err := nats.Connect(srv.ClientURL(), nats.UserInfo(user, user))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	short, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	if made, err := bus.Restore(short, as("recorder"), bus.DefaultLayout()); err == nil || len(made) > 0 {
		t.Errorf("without the rights: made %v, %v", made, err)
	}
	var g errgroup.Group
	for range 3 {
		js := as("dashboard")
		g.Go(func() error { _, err := bus.Restore(t.Context(), js, bus.DefaultLayout()); return err })
	}
	if err := g.Wait(); err != nil {
		t.Fatal("three at once:", err)
	}
	owner := as("owner")
	configs := func() (all []jetstream.StreamConfig) {
		streams := owner.ListStreams(t.Context())
		for info := range streams.Info() {
			all = append(all, info.Config)
		}
		if err := streams.Err(); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(all, func(a, b jetstream.StreamConfig) int { return strings.Compare(a.Name, b.Name) })
		return all
	}
	before := configs()
	if made, err := bus.Restore(t.Context(), as("dashboard"), bus.DefaultLayout()); err != nil || len(made) > 0 {
		t.Errorf("of nothing missing: made %v, %v", made, err)
	}
	if err := bus.Ensure(t.Context(), owner, bus.DefaultLayout()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, configs()); diff != "" || len(before) != 5 {
		t.Errorf("%d streams; what Restore made is not what Ensure makes (-restore +ensure):\n%s", len(before), diff)
	}
	if err := owner.DeleteConsumer(t.Context(), bus.StreamTrace, bus.ConsumerRecorder); err != nil {
		t.Fatal(err)
	}
	made, err := bus.Restore(t.Context(), as("dashboard"), bus.DefaultLayout())
	if diff := cmp.Diff([]string{"consumer " + bus.ConsumerRecorder}, made); diff != "" || err != nil {
		t.Errorf("of a consumer missing: %v, made (-want +got):\n%s", err, diff)
	}
}
