package dashboard_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
)

// column is one that can hold text or bytes.
type column struct{ table, name, kind string }

// columns are those of every table there is, partitions too; what Postgres keeps of itself
// is not in them.
func (r *rig) columns(t *testing.T) []column {
	t.Helper()
	rows, err := r.db.Pool("").Query(t.Context(), `
		SELECT format('%I.%I', table_schema, table_name), quote_ident(column_name), data_type
		FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
		WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'
		  AND data_type NOT IN ('bigint', 'integer', 'smallint', 'boolean', 'numeric', 'uuid', 'date', 'timestamp with time zone', 'timestamp without time zone')
		ORDER BY 1, 2`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		err = row.Scan(&c.table, &c.name, &c.kind)
		return c, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// holds reports where in the database, as its superuser sees it, the bytes are: as they
// are, or written in hex or base64.
func (r *rig) holds(t *testing.T, columns []column, secret []byte) (where []string) {
	t.Helper()
	forms := []string{string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret))}
	// In base64 it depends on what stands before it: of each of the three, what stays the same.
	for shift := range 3 {
		if len(secret) < 20 {
			break // what stays the same is too little to say anything
		}
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		forms = append(forms, text[4:len(text)-4])
	}
	var raw [][]byte
	for _, f := range forms {
		raw = append(raw, []byte(f))
	}
	for _, c := range columns {
		bytes := c.name
		if c.kind != "bytea" {
			bytes = "convert_to(" + c.name + "::text, 'UTF8')"
		}
		sql := fmt.Sprintf(`SELECT count(*) FROM %s WHERE EXISTS (SELECT FROM unnest($1::bytea[]) AS f WHERE position(f IN %s) > 0)`, c.table, bytes)
		if r.count(t, sql, raw) > 0 {
			where = append(where, c.table+"."+c.name)
		}
	}
	return where
}

// Whoever reads the whole database, as its superuser, reads no body and no key.
func TestDatabaseHoldsNothingInClear(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apply(t, everything(), "")
	const canary = "canary-of-the-bodies"
	texts := []string{
		"",
		canary,
		strings.Repeat(canary+" in more than a mebibyte ", 1<<20/45+1),
		`{"` + canary + `":"\u0000 ' \" \\ ; DROP TABLE traces; -- %s $1 <script>"}`,
		canary + "\x00\x01\xff\xfe",
		"Kanarienvogel-" + canary + " 金丝雀 канарейка 🐤 é",
		"金丝雀канарейка🐤",
	}
	var all []*seeded
	for _, text := range texts {
		all = append(all, r.trace(time.Now(), bodies(text, text)))
	}
	r.insert(t, all...)
	r.admins(t, "tenants/acme/data-keys", nil, nil)
	r.reencrypt(t, map[string]any{"limit": 4})
	for _, s := range all {
		r.ok(t, r.payloadOf(s), nil)
	}
	r.beside(t, bothMasters).rewrap(t, "", false)
	r.fails(t, call{method: "POST", path: "/api/v1/admin/tenants/acme/data-keys/shred", key: r.admin, body: map[string]string{"confirm": "x"}}, 400, "invalid_body")

	columns := r.columns(t)
	if len(columns) < 60 {
		t.Fatalf("found %d columns to look at", len(columns))
	}
	// What is there to be found is found.
	r.exec(t, `INSERT INTO dead_events (consumer, stream_seq, subject, msg_id, data, reason) VALUES ('probe-one', 1, 's', 'm', 'probe-two', $1)`,
		base64.StdEncoding.EncodeToString([]byte("xprobe-three-in-base64")))
	for probe, want := range map[string]string{"probe-one": "public.dead_events.consumer", "probe-two": "public.dead_events.data", "probe-three-in-base64": "public.dead_events.reason"} {
		if got := r.holds(t, columns, []byte(probe)); len(got) != 1 || got[0] != want {
			t.Fatalf("looking for %s: got %v, want %s", probe, got, want)
		}
	}

	secrets := map[string][]byte{
		"a body": []byte(canary), "a body in other letters": []byte("金丝雀канарейка🐤"), "a provider's secret": []byte(providerSecret),
		"an API key": []byte(r.acme), "an admin's key": []byte(r.admin),
	}
	both, err := envelope.NewRing(bothMasters.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for version, text := range bothMasters.Reveal() {
		if secrets[fmt.Sprint("master key ", version)], err = envelope.ParseMasterKey(text); err != nil {
			t.Fatal(err)
		}
	}
	keys := r.storedKeys(t, "")
	if len(keys) != 4 { // two of acme, one of other and of new
		t.Errorf("%d data keys, want 4", len(keys))
	}
	for _, k := range keys {
		plain, err := both.Unwrap(t.Context(), envelope.DataKeyLabel(k.tenant, k.epoch), envelope.Wrapped{MasterVersion: *k.version, IV: k.iv, Ciphertext: k.wrapped})
		if err != nil {
			t.Fatal(err)
		}
		secrets[fmt.Sprint("data key ", k.epoch, " of ", k.tenant)] = plain
	}
	pepper := entryOf[catalog.Pepper](t, r.kv(t), bus.KeyPepper)
	if secrets["the pepper"], err = both.Unwrap(t.Context(), catalog.PepperLabel(), pepper.Wrapped); err != nil {
		t.Fatal(err)
	}
	for what, secret := range secrets {
		if where := r.holds(t, columns, secret); len(where) > 0 {
			t.Errorf("%s is in clear in %v", what, where)
		}
	}
	r.busHoldsNothing(t, secrets)
	for i, s := range all {
		if got := r.count(t, `SELECT length(request_body) FROM trace_bodies WHERE trace_id = $1`, s.id); got < 16 {
			t.Errorf("body %d is sealed in %d bytes", i, got)
		}
	}
}

// busHoldsNothing looks at all that gateways are told.
func (r *rig) busHoldsNothing(t *testing.T, secrets map[string][]byte) {
	t.Helper()
	kv := r.kv(t)
	names, err := kv.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		entry, err := kv.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(entry.Value())
		for what, secret := range secrets {
			if strings.Contains(text, string(secret)) || strings.Contains(text, hex.EncodeToString(secret)) || strings.Contains(text, base64.StdEncoding.EncodeToString(secret)) {
				t.Errorf("%s is in clear under %s on the bus", what, name)
			}
		}
	}
}
