package rights_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

var streams = []string{"LOOM_TRACE", "KV_LOOM_CONFIG", "KV_LOOM_WATERMARK", "KV_LOOM_RESPONSES", "OBJ_LOOM_BODIES"}

// data are subjects of what is stored, one for each kind that anybody may be let write.
var data = []string{
	"loom.trace.v1.acme.completed", "loom.trace.v1.acme", "loom.trace.v1.acme.completed.more",
	"loom.live.v1.acme.completed", "loom.replay.run",
	"$KV.LOOM_CONFIG.catalog", "$KV.LOOM_CONFIG.pepper", "$KV.LOOM_CONFIG.key.00ff", "$KV.LOOM_CONFIG.tenant.acme", "$KV.LOOM_CONFIG.other",
	"$KV.LOOM_WATERMARK.gw.1.recorder", "$KV.LOOM_WATERMARK.gw.1.recorder-lacks", "$KV.LOOM_WATERMARK.gw.1.analytics",
	"$KV.LOOM_WATERMARK.gw.1.analytics-lacks", "$KV.LOOM_WATERMARK.gw.1.numbered", "$KV.LOOM_WATERMARK.gw.1.gone", "$KV.LOOM_WATERMARK.gw",
	"$KV.LOOM_RESPONSES.abc", "$KV.OTHER.abc",
	"$O.LOOM_BODIES.C.abc", "$O.LOOM_BODIES.M.abc", "$O.OTHER.M.abc",
}

// universe is everything that somebody could want of the broker.
func universe() (all []string) {
	all = append(all, data...)
	for _, s := range streams {
		for _, verb := range []string{
			"STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.GET", "STREAM.MSG.DELETE",
			"STREAM.SNAPSHOT", "STREAM.RESTORE", "STREAM.LEADER.STEPDOWN", "STREAM.PEER.REMOVE", "DIRECT.GET",
			"CONSUMER.NAMES", "CONSUMER.LIST", "CONSUMER.CREATE",
		} {
			all = append(all, "$JS.API."+verb+"."+s)
		}
		for _, c := range []string{"recorder", "analytics", "replay", "replay_out", "random"} {
			for _, verb := range []string{"CREATE", "DURABLE.CREATE", "INFO", "DELETE", "MSG.NEXT", "PAUSE", "UNPIN", "RESET", "LEADER.STEPDOWN"} {
				all = append(all, "$JS.API.CONSUMER."+verb+"."+s+"."+c)
			}
			all = append(all, "$JS.ACK."+s+"."+c+".1.1.1.1.0")
		}
		all = append(all, "$JS.FC."+s+".random.x")
		for _, subject := range data {
			all = append(all, "$JS.API.DIRECT.GET."+s+"."+subject, "$JS.API.CONSUMER.CREATE."+s+".random."+subject)
		}
	}
	for _, user := range append(users, "other") {
		all = append(all, "_INBOX_"+user+".x")
	}
	return append(all, "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.TEMPLATE.NAMES",
		"$JS.API.CONSUMER.CREATE.KV_LOOM_WATERMARK.random.$KV.LOOM_WATERMARK.*.*.numbered",
		"$JS.API.SERVER.REMOVE", "$JS.API.ACCOUNT.PURGE.LOOM", "$JS.API.META.LEADER.STEPDOWN",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.LOOM.CONNZ", "$SYS.REQ.USER.INFO", "_INBOX.x", "_R_.x", "loom", "x")
}

// may is what each user may do of that, in the words of a person.
func may() map[string][]string {
	api := func(verbs string, names ...string) (all []string) {
		for verb := range strings.FieldsSeq(verbs) {
			for _, name := range names {
				all = append(all, "$JS.API."+verb+"."+name)
			}
		}
		return all
	}
	watch := func(s string) []string {
		// Any name will do for a consumer that watches.
		all := []string{"$JS.FC." + s + ".random.x"}
		for _, c := range []string{"recorder", "analytics", "replay", "replay_out", "random"} {
			all = append(all, api("CONSUMER.CREATE CONSUMER.DELETE", s+"."+c)...)
		}
		return all
	}
	projection := func(name string) []string {
		return slices.Concat(
			api("STREAM.INFO DIRECT.GET", "LOOM_TRACE"), api("CONSUMER.INFO CONSUMER.MSG.NEXT", "LOOM_TRACE."+name), []string{"$JS.ACK.LOOM_TRACE." + name + ".1.1.1.1.0"},
			api("STREAM.INFO", "KV_LOOM_WATERMARK"), watch("KV_LOOM_WATERMARK"),
			[]string{"$KV.LOOM_WATERMARK.gw.1." + name, "$KV.LOOM_WATERMARK.gw.1." + name + "-lacks"},
			api("DIRECT.GET.KV_LOOM_WATERMARK", "$KV.LOOM_WATERMARK.gw.1."+name, "$KV.LOOM_WATERMARK.gw.1."+name+"-lacks"),
		)
	}
	return map[string][]string{
		"gateway": slices.Concat(
			[]string{"loom.trace.v1.acme.completed", "$O.LOOM_BODIES.C.abc", "$O.LOOM_BODIES.M.abc", "$KV.LOOM_RESPONSES.abc"},
			[]string{"$KV.LOOM_WATERMARK.gw.1.numbered", "$KV.LOOM_WATERMARK.gw.1.gone"},
			api("STREAM.INFO", streams...), api("STREAM.MSG.GET", "KV_LOOM_RESPONSES"),
			watch("KV_LOOM_CONFIG"),
			api("DIRECT.GET.KV_LOOM_CONFIG", "$KV.LOOM_CONFIG.key.00ff", "$KV.LOOM_CONFIG.tenant.acme"),
			api("DIRECT.GET.KV_LOOM_WATERMARK", "$KV.LOOM_WATERMARK.gw.1.recorder", "$KV.LOOM_WATERMARK.gw.1.analytics", "$KV.LOOM_WATERMARK.gw.1.numbered"),
		),
		"recorder":  slices.Concat(projection("recorder"), api("STREAM.INFO STREAM.MSG.GET", "OBJ_LOOM_BODIES")),
		"analytics": projection("analytics"),
		"dashboard": slices.Concat(
			[]string{"$JS.API.INFO", "loom.trace.v1.acme.completed", "$KV.LOOM_CONFIG.catalog", "$KV.LOOM_CONFIG.pepper", "$KV.LOOM_CONFIG.key.00ff", "$KV.LOOM_CONFIG.tenant.acme"},
			api("STREAM.INFO STREAM.CREATE", streams...), api("CONSUMER.INFO CONSUMER.CREATE", "LOOM_TRACE.recorder", "LOOM_TRACE.analytics"),
			api("DIRECT.GET", "LOOM_TRACE"), api("DIRECT.GET.KV_LOOM_CONFIG", "$KV.LOOM_CONFIG.catalog", "$KV.LOOM_CONFIG.pepper", "$KV.LOOM_CONFIG.key.00ff", "$KV.LOOM_CONFIG.tenant.acme"),
			api("CONSUMER.CREATE.KV_LOOM_WATERMARK.random", "$KV.LOOM_WATERMARK.gw.1.numbered", "$KV.LOOM_WATERMARK.*.*.numbered"),
			slices.DeleteFunc(watch("KV_LOOM_WATERMARK"), func(s string) bool { return strings.Contains(s, "CREATE") }),
		),
		"migrate": slices.Concat([]string{"$JS.API.INFO"}, api("STREAM.CREATE STREAM.UPDATE", streams...),
			api("CONSUMER.CREATE", "LOOM_TRACE.recorder", "LOOM_TRACE.analytics")),
		"replay": slices.Concat(api("STREAM.INFO", "LOOM_TRACE"), api("CONSUMER.INFO", "LOOM_TRACE.recorder", "LOOM_TRACE.analytics"),
			api("CONSUMER.CREATE CONSUMER.INFO CONSUMER.DELETE CONSUMER.MSG.NEXT", "LOOM_TRACE.replay", "LOOM_TRACE.replay_out"),
			api("STREAM.INFO STREAM.MSG.GET", "OBJ_LOOM_BODIES")),
	}
}

// TestMatrix tries every subject as every user: the broker denies all but what is his.
func TestMatrix(t *testing.T) {
	t.Parallel()
	b := start(t, options(t))
	all := universe()
	for user, mine := range may() {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			for _, subject := range mine {
				if !slices.Contains(all, subject) {
					t.Errorf("may %s, which is not tried", subject)
				}
			}
			w := b.watched(t, user)
			denied := w.denied(func() {
				for _, subject := range all {
					if err := w.Publish(subject, nil); err != nil {
						t.Fatal(err)
					}
				}
			})
			allowed := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return denied[s] })
			slices.Sort(allowed)
			slices.Sort(mine)
			if diff := cmp.Diff(slices.Compact(mine), allowed); diff != "" {
				t.Errorf("of %d subjects (-may +is let):\n%s", len(all), diff)
			}
		})
	}
}

// TestInboxes: everybody hears the inboxes of his own service and nothing else.
func TestInboxes(t *testing.T) {
	t.Parallel()
	b := start(t, options(t))
	for _, user := range users {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			subjects := []string{
				">", "*.>", "_INBOX.>", "loom.>", "loom.trace.v1.>", "loom.trace.v1.acme.completed", "loom.live.v1.>", "$KV.>", "$KV.LOOM_CONFIG.>", "$O.>",
				"$JS.>", "$JS.API.>", "$JS.API.STREAM.INFO.LOOM_TRACE", "$JS.ACK.>", "$JS.EVENT.>", "$SYS.>", "_R_.>", "_INBOX_" + user,
			}
			for _, other := range append(users, "other") {
				if other != user {
					subjects = append(subjects, "_INBOX_"+other+".>", "_INBOX_"+other+".x")
				}
			}
			w := b.watched(t, user)
			denied := w.denied(func() {
				for _, subject := range append(subjects, "_INBOX_"+user+".x", "_INBOX_"+user+".>") {
					if _, err := w.SubscribeSync(subject); err != nil {
						t.Fatal(err)
					}
				}
			})
			if got := slices.Sorted(maps.Keys(denied)); !slices.Equal(got, slices.Sorted(slices.Values(subjects))) {
				t.Errorf("denied (-want +got):\n%s", cmp.Diff(slices.Sorted(slices.Values(subjects)), got))
			}
		})
	}
}

// TestAccountsHold takes the permissions away, so that everybody may publish anything:
// nothing but what may is asked reaches the streams all the same.
func TestAccountsHold(t *testing.T) {
	t.Parallel()
	opts := options(t)
	for _, u := range opts.Users {
		u.Permissions = nil
	}
	b := start(t, opts)
	for user, mine := range may() {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			nc := b.conn(t, user)
			for _, subject := range universe() {
				if strings.ContainsAny(subject, "*") || strings.HasPrefix(subject, "$SYS.") || subject == "$JS.API.INFO" {
					continue // of the server, about the user's own account
				}
				if strings.HasPrefix(subject, "$JS.FC.") || strings.HasPrefix(subject, "$JS.API.CONSUMER.MSG.NEXT.LOOM_TRACE.replay") {
					continue // nobody listens as long as there is no such consumer
				}
				_, err := nc.Request(subject, []byte("{"), patience(slices.Contains(mine, subject)))
				if got := !errors.Is(err, nats.ErrNoResponders); got != slices.Contains(mine, subject) {
					t.Errorf("%s: somebody listens: %v (%v)", subject, got, err)
				}
			}
		})
	}
}

// patience with an answer: what is heard need not be answered.
func patience(heard bool) time.Duration {
	if heard {
		return 20 * time.Millisecond
	}
	return 5 * time.Second
}
