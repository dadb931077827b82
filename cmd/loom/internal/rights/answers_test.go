package rights_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
)

// targets are subjects where an answer, or an empty message, would do harm.
var targets = []string{
	"$JS.API.STREAM.DELETE.LOOM_TRACE", "$JS.API.STREAM.DELETE.KV_LOOM_RESPONSES", "$JS.API.STREAM.PURGE.KV_LOOM_CONFIG",
	"$JS.API.STREAM.PURGE.OBJ_LOOM_BODIES", "$JS.API.CONSUMER.DELETE.LOOM_TRACE.recorder",
	"$KV.LOOM_CONFIG.catalog", "$KV.LOOM_CONFIG.key.00ff", "$KV.LOOM_WATERMARK.gw.1.other", "$O.LOOM_BODIES.M.abc", "loom.trace.v1.acme.completed",
}

// harmed is what an attacker has changed that he may not: streams and consumers that are
// gone, and values that are others.
func (b *broker) harmed(t *testing.T, user string, before map[string]string) (what []string) {
	t.Helper()
	for name, was := range before {
		if slices.Contains(may()[user], name) {
			continue
		}
		if is := b.look(t)[name]; is != was {
			what = append(what, fmt.Sprintf("%s: %s, was %s", name, is, was))
		}
	}
	slices.Sort(what)
	return what
}

// look is what there is: which streams and consumers, and what is on the subjects.
func (b *broker) look(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, s := range streams {
		stream, err := b.own.Stream(t.Context(), s)
		if err != nil {
			all[s] = err.Error()
			continue
		}
		all[s] = "there"
		for _, subject := range targets {
			if msg, err := stream.GetLastMsgForSubject(t.Context(), subject); err == nil {
				all[subject] = string(msg.Data)
			}
		}
	}
	_, err := b.own.Consumer(t.Context(), "LOOM_TRACE", "recorder")
	all["consumer recorder"] = fmt.Sprint(err)
	return all
}

// fill puts something under every subject that can hold it.
func (b *broker) fill(t *testing.T) {
	t.Helper()
	for _, subject := range data {
		if msg, err := b.own.Conn().Request(subject, []byte("good"), patience(false)); err != nil {
			continue // no stream takes it
		} else if len(msg.Data) == 0 {
			t.Fatal(subject, "is not stored")
		}
	}
}

// attack has the server answer all that a user may ask to where the answer does harm.
func (b *broker) attack(t *testing.T, user string) {
	t.Helper()
	nc := b.conn(t, user)
	for _, target := range targets {
		for _, subject := range may()[user] {
			for _, ask := range []string{"", `{"batch":1,"no_wait":true}`, `{"seq":1}`, `{"last_by_subj":"nothing"}`} {
				if err := nc.PublishRequest(subject, target, []byte(ask)); err != nil {
					t.Fatal(err)
				}
			}
		}
		// A consumer that delivers there, with and without what the messages hold.
		for _, s := range streams {
			for _, headersOnly := range []bool{false, true} {
				for _, name := range []string{"random", "replay"} {
					config, err := json.Marshal(map[string]any{"stream_name": s, "config": map[string]any{
						"name": name, "deliver_subject": target, "deliver_policy": "all", "ack_policy": "none", "headers_only": headersOnly, "inactive_threshold": 3e9,
					}})
					if err != nil {
						t.Fatal(err)
					}
					if err := nc.Publish("$JS.API.CONSUMER.CREATE."+s+"."+name, config); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	// What the server does in its own time comes before this: it is asked in turn.
	for range 20 {
		if _, err := b.own.AccountInfo(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnswersDoNoHarm: where an answer goes is in the request, and the server sends it
// there whoever asks. The accounts alone see to it that this is of no use.
func TestAnswersDoNoHarm(t *testing.T) {
	t.Parallel()
	for _, user := range users {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			opts := options(t)
			for _, u := range opts.Users {
				u.Permissions = nil
			}
			b := start(t, opts)
			b.fill(t)
			before := b.look(t)
			b.attack(t, user)
			if harmed := b.harmed(t, user, before); len(harmed) > 0 {
				t.Errorf("changed by an answer:\n%s", cmp.Diff([]string(nil), harmed))
			}
		})
	}
}

// TestAnswersDoHarmInOneAccount shows that the attack is one, and why there are accounts:
// the same users with the same permissions, beside one another, have the broker delete the
// stream of traces and write the configuration.
func TestAnswersDoHarmInOneAccount(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"gateway", "recorder", "analytics"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			opts := options(t)
			opts.Accounts = nil
			users := make([]*server.User, 0, len(opts.Users))
			for _, u := range opts.Users {
				users = append(users, &server.User{Username: u.Username, Password: u.Password, Permissions: u.Permissions})
			}
			opts.Users = users
			b := start(t, opts)
			b.fill(t)
			before := b.look(t)
			b.attack(t, user)
			harmed := b.harmed(t, user, before)
			t.Logf("%q", harmed)
			if len(harmed) < 3 {
				t.Errorf("changed by an answer: %q; the attack of the other test is none", harmed)
			}
		})
	}
}
