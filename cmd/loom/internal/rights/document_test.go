package rights_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/conf"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"loom.internal/pkg/bus"
)

// TestPermissionsAreTheImports: what the permissions of a user name and what his account
// imports is the same, whichever of the two somebody changes.
func TestPermissionsAreTheImports(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "permissions.conf")
	if err := os.WriteFile(path, []byte(document(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	parsed, err := conf.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	accounts := parsed["accounts"].(map[string]any)
	for _, user := range users {
		account := accounts[strings.ToUpper(user)].(map[string]any)
		var imports []string
		for _, one := range account["imports"].([]any) {
			if service, ok := one.(map[string]any)["service"].(map[string]any); ok {
				if service["account"] != "LOOM" {
					t.Errorf("%s imports from %v", user, service["account"])
				}
				imports = append(imports, service["subject"].(string))
			}
		}
		login := account["users"].([]any)[0].(map[string]any)
		permissions := login["permissions"].(map[string]any)
		var publish []string
		for _, subject := range permissions["publish"].(map[string]any)["allow"].([]any) {
			publish = append(publish, subject.(string))
		}
		if len(account["users"].([]any)) != 1 || login["user"] != user {
			t.Errorf("the account %s has the users %v", strings.ToUpper(user), account["users"])
		}
		// Imported by all, see there.
		if !slices.Contains(publish, "$JS.API.INFO") {
			publish = append(publish, "$JS.API.INFO")
		}
		slices.Sort(publish)
		slices.Sort(imports)
		if diff := cmp.Diff(publish, imports); diff != "" {
			t.Errorf("%s (-permissions +imports):\n%s", user, diff)
		}
		for _, subject := range imports {
			for token := range strings.SplitSeq(subject, ".") {
				if strings.ContainsAny(token, "*>") && len(token) > 1 {
					t.Errorf("%s: %s: no wildcard inside a token works", user, subject)
				}
			}
		}
	}
	if len(accounts) != len(users)+1 {
		t.Errorf("%d accounts, want one for each user and that of the streams", len(accounts))
	}
	if _, ok := accounts["LOOM"].(map[string]any)["users"]; ok {
		t.Error("somebody logs in where the streams are")
	}
}

// TestPasswords: nobody comes in without his own, and the server wants all of them.
func TestPasswords(t *testing.T) {
	t.Parallel()
	b := serve(t, options(t))
	for _, user := range append(users, "", "other") {
		for _, password := range []string{"", "wrong", password("gateway"), password("recorder")} {
			if password == "secret-of-"+user {
				continue
			}
			opts := []nats.Option{nats.UserInfo(user, password)}
			if user == "" {
				opts = nil
			}
			if nc, err := nats.Connect(b.srv.ClientURL(), opts...); err == nil {
				nc.Close()
				t.Errorf("%q comes in with the password %q", user, password)
			}
		}
	}
	dir := t.TempDir()
	for _, user := range users {
		text := strings.ReplaceAll(document(t), "NATS_"+strings.ToUpper(user)+"_PASSWORD\n", "LOOM_TEST_MISSING\n")
		path := filepath.Join(dir, user+".conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := server.ProcessConfigFile(path); err == nil {
			t.Errorf("the server starts without the password of %s", user)
		}
	}
}

// TestLargeBucketsAreWatched: the server sends so much at a time only as it hears that what
// came before has come, for which a watcher needs a right of its own.
func TestLargeBucketsAreWatched(t *testing.T) {
	t.Parallel()
	b := start(t, options(t))
	const many = 6000
	value := []byte(strings.Repeat("x", 8<<10))
	for bucket, names := range map[string][]string{bus.BucketWatermark: {"recorder", "analytics", "numbered"}, bus.BucketConfig: {"tenant"}} {
		kv, err := b.own.KeyValue(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			var g errgroup.Group
			g.SetLimit(64)
			for n := range many / len(names) {
				key := fmt.Sprintf("gw%d.1.%s", n, name)
				if bucket == bus.BucketConfig {
					key = fmt.Sprintf("tenant.t%d", n)
				}
				g.Go(func() error { _, err := kv.Put(t.Context(), key, value); return err })
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for user, watch := range map[string]struct {
		bucket string
		keys   []string
		want   int
	}{
		"gateway":   {bus.BucketConfig, []string{"key.>", "tenant.>"}, many},
		"recorder":  {bus.BucketWatermark, []string{"*.*.recorder", "*.*.recorder-lacks", "*.*.gone"}, many / 3},
		"analytics": {bus.BucketWatermark, []string{"*.*.analytics", "*.*.analytics-lacks", "*.*.gone"}, many / 3},
		"dashboard": {bus.BucketWatermark, []string{"*.*.numbered"}, many / 3},
	} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			w := b.watched(t, user)
			denied := w.denied(func() {
				js, err := jetstream.New(w.Conn)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				kv, err := js.KeyValue(ctx, watch.bucket)
				if err != nil {
					t.Fatal(err)
				}
				watcher, err := kv.WatchFiltered(ctx, watch.keys)
				if err != nil {
					t.Fatal(err)
				}
				got := 0
				for got < watch.want {
					select {
					case entry := <-watcher.Updates():
						if entry == nil {
							t.Fatalf("%d entries, want %d", got, watch.want)
						}
						got++
					case <-ctx.Done():
						t.Fatalf("%d entries, want %d: %v", got, watch.want, ctx.Err())
					}
				}
				if err := watcher.Stop(); err != nil {
					t.Error(err)
				}
			})
			if len(denied) > 0 {
				t.Errorf("denied: %v", denied)
			}
		})
	}
}
