package dashboard_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/config"
)

// unreadable checks that nothing of a trace is shown, that the view is in the access log all
// the same, and that it is counted.
func (r *rig) unreadable(t *testing.T, name string, s *seeded, reason string) {
	t.Helper()
	const logged = `SELECT count(*) FROM access_log WHERE action = 'trace.decrypt' AND trace_id = $1 AND tenant_id = $2`
	before, lines := r.counted(t, reason), r.count(t, logged, s.id, s.tenant)
	f := r.fails(t, r.payloadOf(s), http.StatusInternalServerError, "payload_unreadable")
	if strings.Contains(f.Error.Message, "canary") || len(f.Faults) > 0 {
		t.Errorf("%s: the refusal says %+v", name, f)
	}
	if got := r.counted(t, reason) - before; got != 1 {
		t.Errorf("%s: counted %v times as %s, want once", name, got, reason)
	}
	if got := r.count(t, logged, s.id, s.tenant) - lines; got != 1 {
		t.Errorf("%s: %d lines in the access log, want 1", name, got)
	}
}

// Whatever is done to a row behind Loom's back, nothing of it is shown, and it is counted.
func TestTamperedPayloads(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, c := range map[string]struct{ set, reason string }{
		"swapped": {`request_body = response_body, request_iv = response_iv, request_codec = response_codec, request_length = response_length, request_sha256 = response_sha256,
			response_body = request_body, response_iv = request_iv, response_codec = request_codec, response_length = request_length, response_sha256 = request_sha256`, "tampered"},
		"answer as request": {`request_body = response_body, request_iv = response_iv, request_codec = response_codec, request_length = response_length`, "tampered"},
		"bit of iv":         {`request_iv = set_bit(request_iv, 0, 1 - get_bit(request_iv, 0))`, "tampered"},
		"last bit of iv":    {`response_iv = set_bit(response_iv, 95, 1 - get_bit(response_iv, 95))`, "tampered"},
		"bit of body":       {`response_body = set_bit(response_body, 5, 1 - get_bit(response_body, 5))`, "tampered"},
		"bit of tag":        {`request_body = set_bit(request_body, length(request_body) * 8 - 1, 1 - get_bit(request_body, length(request_body) * 8 - 1))`, "tampered"},
		"cut short":         {`request_body = substr(request_body, 1, length(request_body) - 1)`, "tampered"},
		"cut to a tag":      {`request_body = substr(request_body, 1, 16)`, "tampered"},
		"cut to less":       {`response_body = substr(response_body, 1, 15)`, "tampered"},
		"cut to nothing":    {`response_body = ''`, "tampered"},
		"longer":            {`request_body = request_body || '\x00'`, "tampered"},
		"not compressed":    {`response_codec = 0`, "tampered"},
		"compressed":        {`request_codec = 1`, "tampered"},
		"unknown codec":     {`request_codec = 2`, "tampered"},
		"codec beyond":      {`request_codec = request_codec + 256`, "tampered"},
		"negative codec":    {`request_codec = -1`, "tampered"},
		"no codec":          {`request_codec = NULL`, "tampered"},
		"one byte more":     {`request_length = request_length + 1`, "tampered"},
		"one byte less":     {`response_length = response_length - 1`, "tampered"},
		"huge":              {`response_length = 9223372036854775807`, "tampered"},
		"negative length":   {`response_length = -1`, "tampered"},
		"no length":         {`response_length = NULL`, "tampered"},
		"no iv":             {`response_iv = NULL`, "tampered"},
		"another suite":     {`encryption_suite = 2`, "tampered"},
		"suite beyond":      {`encryption_suite = 257`, "tampered"},
		"a later epoch":     {`encryption_key_version = 2`, "tampered"},
		"no such epoch":     {`encryption_key_version = 7`, "no_key"},
		"epoch 0":           {`encryption_key_version = 0`, "no_key"},
		"negative epoch":    {`encryption_key_version = -1`, "no_key"},
	} {
		s := r.trace(time.Now(), bodies("canary request "+name, strings.Repeat("canary response "+name, 60)))
		if name == "a later epoch" {
			r.insert(t, s)
			r.admins(t, "tenants/acme/data-keys", nil, nil)
		} else {
			s.tenant = "other" // which has one data key
			r.insert(t, s)
		}
		r.opens(t, s)
		r.exec(t, `UPDATE trace_bodies SET `+c.set+` WHERE trace_id = $1`, s.id)
		r.unreadable(t, name, s, c.reason)
	}
}

// The bodies of one trace are those of no other, of no other time and of no other tenant.
func TestMovedPayloads(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	canary := bodies("canary request", strings.Repeat("canary response ", 60))

	victim, thief := r.trace(time.Now(), canary), r.trace(time.Now(), bodies("mine", "mine"))
	foreign := r.trace(time.Now(), canary, func(s *seeded) { s.tenant = "other" })
	r.insert(t, victim, thief, foreign)
	r.exec(t, `
		UPDATE trace_bodies b SET request_body = o.request_body, request_iv = o.request_iv, request_codec = o.request_codec, request_length = o.request_length, request_sha256 = o.request_sha256
		FROM trace_bodies o WHERE b.trace_id = $1 AND o.trace_id = $2`, thief.id, victim.id)
	r.unreadable(t, "of another trace", thief, "tampered")

	// A whole trace that is moved to another tenant, and named after a data key of that one.
	for _, table := range []string{"traces", "trace_bodies", "usage_facts"} {
		r.exec(t, `UPDATE `+table+` SET tenant_id = 'acme' WHERE trace_id = $1`, foreign.id)
	}
	foreign.tenant = "acme"
	r.unreadable(t, "of another tenant", foreign, "tampered")
	r.admins(t, "tenants/acme/data-keys", nil, nil)
	r.exec(t, `UPDATE trace_bodies SET encryption_key_version = 2 WHERE trace_id = $1`, foreign.id)
	r.unreadable(t, "of another tenant, by its new key", foreign, "tampered")
	// Nor does it help to bring the data key along.
	r.exec(t, `UPDATE tenant_keys SET (iv, wrapped) = (SELECT iv, wrapped FROM tenant_keys WHERE tenant_id = 'other') WHERE tenant_id = 'acme' AND epoch = 2`)
	r.unreadable(t, "of another tenant, with its key", foreign, "tampered")
	// Or to give a data key another number.
	r.exec(t, `UPDATE tenant_keys SET (iv, wrapped) = (SELECT iv, wrapped FROM tenant_keys WHERE tenant_id = 'acme' AND epoch = 1) WHERE tenant_id = 'acme' AND epoch = 2`)
	r.exec(t, `UPDATE trace_bodies SET encryption_key_version = 2 WHERE trace_id = $1`, victim.id)
	r.unreadable(t, "by a data key with another number", victim, "tampered")
	r.exec(t, `UPDATE trace_bodies SET encryption_key_version = 1 WHERE trace_id = $1`, victim.id)
	r.opens(t, victim)
}

func TestPayloadsWithoutTheirMasterKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.trace(time.Now(), bodies("canary", "canary"))
	r.insert(t, s)
	both := r.beside(t, bothMasters)
	for _, label := range []string{"tampered", "shredded", "no_key", "unknown_master"} {
		if got := both.counted(t, label); got != 0 {
			t.Errorf("%s: %v to begin with", label, got)
		}
	}
	// The pepper is wrapped anew, the data key is not yet, and the first master key is away.
	both.rewrap(t, "", false)
	r.exec(t, `UPDATE tenant_keys SET master_version = 1 WHERE tenant_id = 'acme'`)
	alone := r.beside(t, config.VersionedSecret{2: masterKey2})
	alone.unreadable(t, "master key away", s, "unknown_master")
	both.unreadable(t, "wrapped by another version than it says", s, "tampered")
	r.exec(t, `UPDATE tenant_keys SET master_version = 2 WHERE tenant_id = 'acme'`)
	alone.opens(t, s)
}
