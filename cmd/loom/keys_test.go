package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestKeysUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"unknown", []string{"weave"}, 2, `unknown command "weave" for "loom keys"`},
		{"list of two", []string{"list", "a", "b"}, 2, "accepts at most 1 arg(s), received 2"},
		{"rotate nobody", []string{"rotate"}, 2, "accepts 1 arg(s), received 0"},
		{"rewrap somebody", []string{"rewrap", "acme"}, 2, `unknown command "acme" for "loom keys rewrap"`},
		{"reencrypt nobody", []string{"reencrypt"}, 2, "accepts 1 arg(s), received 0"},
		{"reencrypt at no rate", []string{"reencrypt", "acme", "--rate", "0"}, 2, "--rate must be at least 1, and --epoch not negative"},
		{"reencrypt below 1", []string{"reencrypt", "acme", "--epoch", "-1"}, 2, "--rate must be at least 1, and --epoch not negative"},
		{"reencrypt of no number", []string{"reencrypt", "acme", "--epoch", "one"}, 2, `invalid argument "one" for "--epoch"`},
		{"shred nobody", []string{"shred"}, 2, "accepts 1 arg(s), received 0"},
		{"shred without a word", []string{"shred", "acme"}, 2, "--confirm acme is missing: what is shredded cannot be had back"},
		{"shred another", []string{"shred", "acme", "--confirm", "other", "--reason", "r"}, 2, "--confirm acme is missing"},
		{"shred without why", []string{"shred", "acme", "--confirm", "acme", "--reason", " "}, 2, "--reason is missing: say why"},
		{"no dashboard", []string{"list", "--dashboard-url", "http://127.0.0.1:1"}, 1, "the dashboard does not answer at http://127.0.0.1:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := loom(t, []string{"LOOM_ADMIN_KEY=k", "LOOM_DATA_DIR=" + t.TempDir()}, append([]string{"keys"}, c.args...)...)
			if r.code != c.code || !strings.Contains(r.stderr, c.want) || r.stdout != "" {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", r.code, c.code, c.want, r.stderr, r.stdout)
			}
		})
	}
}

// wantRows checks that lines of a table have these words, whatever lies between them.
func wantRows(t *testing.T, table string, rows ...string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(table) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	text := "\n" + strings.Join(lines, "\n")
	for _, row := range rows {
		if !strings.Contains(text, "\n"+row) {
			t.Errorf("want the row %q in\n%s", row, table)
		}
	}
}

// asks records n traces of a tenant.
func (in *instance) asks(t *testing.T, key string, n int) {
	t.Helper()
	var before struct{ Items []trace }
	if err := in.get(key, "/api/v1/traces?range=1h", &before); err != nil {
		t.Fatal(err)
	}
	for range n {
		if got := in.ask(t, key, "loom-demo", "hello"); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
	eventually(t, 20*time.Second, func() error {
		var page struct{ Items []trace }
		if err := in.get(key, "/api/v1/traces?range=1h", &page); err != nil {
			return err
		}
		if got := len(page.Items) - len(before.Items); got < n { // others of that tenant may still have been on their way
			return fmt.Errorf("%d traces recorded, want %d", got, n)
		}
		return nil
	})
}

// TestKeys follows the keys of one Loom: another data key, bodies sealed anew, another
// master key, and the end of a tenant's.
func TestKeys(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	first := up(t, dir, nil, "--log-level", "error")
	key, _ := first.tenant(t, "acme")
	first.asks(t, key, 3)
	if out := first.cli(t, "keys", "rotate", "acme"); out != "Bodies of acme are sealed with data key 2.\n" {
		t.Errorf("rotate: got %q", out)
	}
	wantRows(t, first.cli(t, "keys", "list"), "MASTER KEY STATE DATA KEYS PROVIDERS SYSTEM", "version 1 active 3 0 1",
		"TENANT EPOCH STATE MASTER KEY CREATED ENDED", "acme 1 retired 1 20", "acme 2 active 1 20", "demo 1 active 1 20")
	if out := first.cli(t, "keys", "list", "acme"); strings.Contains(out, "demo") || !strings.Contains(out, "acme") {
		t.Errorf("list of acme: got\n%s", out)
	}
	// The gateway seals with it, when it has heard of it.
	eventually(t, 20*time.Second, func() error {
		first.asks(t, key, 1)
		var n int
		err := first.database(t).QueryRow(t.Context(), `SELECT count(*) FROM trace_bodies WHERE tenant_id = 'acme' AND encryption_key_version = 2`).Scan(&n)
		if err == nil && n == 0 {
			err = errors.New("no trace is sealed with data key 2")
		}
		return err
	})
	if r := loom(t, []string{"LOOM_DATA_DIR=" + dir}, "keys", "rotate", "nobody"); r.code != 1 || !strings.Contains(r.stderr, "the dashboard answered 404") {
		t.Errorf("rotate nobody's: exit code %d\n%s", r.code, r.stderr)
	}
	first.reencrypts(t)
	first.interrupted(t, os.Interrupt)

	env := []string{"ENCRYPTION_MASTER_KEY_V2=" + strings.Repeat("0123456789abcdef", 4)}
	second := up(t, dir, env, "--log-level", "error")
	second.rewraps(t)
	second.asks(t, key, 1)
	second.shreds(t, key)
}

// reencrypts seals three traces anew, one of which cannot be.
func (in *instance) reencrypts(t *testing.T) {
	t.Helper()
	env := []string{"LOOM_DATA_DIR=" + in.dir}
	db := in.database(t)
	_, err := db.Exec(t.Context(), `UPDATE trace_bodies SET request_iv = set_bit(request_iv, 0, 1 - get_bit(request_iv, 0)) WHERE trace_id =
		(SELECT trace_id FROM trace_bodies WHERE tenant_id = 'acme' AND encryption_key_version = 1 ORDER BY started_at LIMIT 1)`)
	if err != nil {
		t.Fatal(err)
	}
	r := loom(t, env, "keys", "reencrypt", "acme", "--dry-run")
	if r.code != 1 || r.stdout != "3 traces looked at, 2 to be sealed anew with data key 2.\n" || !strings.Contains(r.stderr, "request: sealed data cannot be opened\n") ||
		!strings.Contains(r.stderr, "1 traces are left as they were") {
		t.Errorf("dry run: exit code %d, want 1\n%s%s", r.code, r.stdout, r.stderr)
	}
	r = loom(t, env, "keys", "reencrypt", "acme", "--epoch", "7")
	if r.code != 0 || r.stdout != "0 traces looked at, 0 sealed anew with data key 2.\n" {
		t.Errorf("of data key 7: exit code %d, want 0\n%s%s", r.code, r.stdout, r.stderr)
	}
	r = loom(t, env, "keys", "reencrypt", "acme", "--epoch", "1", "--rate", "1")
	if r.code != 1 || r.stdout != "3 traces looked at, 2 sealed anew with data key 2.\n" || !strings.Contains(r.stderr, "2 traces looked at, 1 sealed anew, next 20") {
		t.Errorf("one a second: exit code %d, want 1\n%s%s", r.code, r.stdout, r.stderr)
	}
	if _, err := db.Exec(t.Context(), `DELETE FROM trace_bodies WHERE tenant_id = 'acme' AND encryption_key_version = 1`); err != nil {
		t.Fatal(err)
	}
	if out := in.cli(t, "keys", "reencrypt", "acme"); out != "0 traces looked at, 0 sealed anew with data key 2.\n" {
		t.Errorf("again: got %q", out)
	}
}

// rewraps has the second master key take the place of the first; one data key was changed.
func (in *instance) rewraps(t *testing.T) {
	t.Helper()
	env := []string{"LOOM_DATA_DIR=" + in.dir}
	db := in.database(t)
	const flip = `UPDATE tenant_keys SET wrapped = set_bit(wrapped, 0, 1 - get_bit(wrapped, 0)) WHERE tenant_id = 'acme' AND epoch = 1`
	if _, err := db.Exec(t.Context(), flip); err != nil {
		t.Fatal(err)
	}
	wantRows(t, in.cli(t, "keys", "list"), "version 1 needed: run loom keys rewrap 3 0 1", "version 2 active 0 0 0")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--dry-run"}, "4 keys looked at, 3 to be rewrapped with master key 2.\n"},
		{nil, "4 keys looked at, 3 rewrapped with master key 2.\n"},
		{nil, "4 keys looked at, 0 rewrapped with master key 2.\n"},
	} {
		r := loom(t, env, append([]string{"keys", "rewrap"}, c.args...)...)
		if r.code != 1 || r.stdout != c.want || !strings.Contains(r.stderr, "data key 1 of acme: sealed data cannot be opened\n") || !strings.Contains(r.stderr, "1 keys are left as they were") {
			t.Errorf("rewrap %v: exit code %d, want 1\n%s%s", c.args, r.code, r.stdout, r.stderr)
		}
	}
	wantRows(t, in.cli(t, "keys", "list"), "version 1 needed: run loom keys rewrap 1 0 0", "version 2 active 2 0 1", "acme 1 retired 1", "acme 2 active 2")
	if _, err := db.Exec(t.Context(), flip); err != nil {
		t.Fatal(err)
	}
	if out := in.cli(t, "keys", "rewrap"); out != "4 keys looked at, 1 rewrapped with master key 2.\n" {
		t.Errorf("rewrap what was put right: got %q", out)
	}
	var list struct {
		MasterKeys []struct {
			Version      int
			Here, Active bool
			DataKeys     int `json:"data_keys"`
		} `json:"master_keys"`
		DataKeys []struct {
			TenantID      string `json:"tenant_id"`
			MasterVersion *int   `json:"master_version"`
		} `json:"data_keys"`
	}
	if err := json.Unmarshal([]byte(in.cli(t, "keys", "list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.MasterKeys) != 2 || list.MasterKeys[0].DataKeys != 0 || list.MasterKeys[1].DataKeys != 3 || !list.MasterKeys[1].Active || len(list.DataKeys) != 3 {
		t.Errorf("list --json: got %+v", list)
	}
	for _, k := range list.DataKeys {
		if k.MasterVersion == nil || *k.MasterVersion != 2 {
			t.Errorf("list --json: got %+v", k)
		}
	}
	wantRows(t, in.cli(t, "keys", "list"), "version 1 no longer needed 0 0 0")
}

// shreds ends the tenant acme.
func (in *instance) shreds(t *testing.T, key string) {
	t.Helper()
	type receipt struct {
		TenantID string `json:"tenant_id"`
		Reason   string
		Keys     []struct {
			SHA256 string `json:"wrapped_sha256"`
		}
		Bodies map[int]int
		DryRun bool `json:"dry_run"`
		Pushed bool
	}
	var page struct{ Items []trace }
	if err := in.get(key, "/api/v1/traces?range=1h", &page); err != nil {
		t.Fatal(err)
	}
	var dry, done receipt
	if err := json.Unmarshal([]byte(in.cli(t, "keys", "shred", "acme", "--dry-run")), &dry); err != nil {
		t.Fatal(err)
	}
	if !dry.DryRun || dry.Pushed || len(dry.Keys) != 2 || dry.Bodies[2] == 0 {
		t.Errorf("dry run: got %+v", dry)
	}
	path := "/api/v1/traces/" + page.Items[0].ID + "/payload"
	if err := in.get(key, path, new(any)); err != nil {
		t.Errorf("after a dry run: %v", err)
	}
	if err := json.Unmarshal([]byte(in.cli(t, "keys", "shred", "acme", "--confirm", "acme", "--reason", "end of contract")), &done); err != nil {
		t.Fatal(err)
	}
	if done.TenantID != "acme" || done.Reason != "end of contract" || done.DryRun || !done.Pushed || len(done.Keys) != 2 || len(done.Keys[0].SHA256) != 64 || done.Bodies[2] != dry.Bodies[2] {
		t.Errorf("receipt: got %+v", done)
	}
	in.answers(t, key, http.StatusUnauthorized)
	wantRows(t, in.cli(t, "keys", "list"), "acme 1 shredded - 20", "acme 2 shredded - 20", "demo 1 active 2")
	r := loom(t, []string{"LOOM_DATA_DIR=" + in.dir}, "keys", "shred", "acme", "--confirm", "acme", "--reason", "again")
	if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "the dashboard answered 404") {
		t.Errorf("shred again: exit code %d, want 1\n%s%s", r.code, r.stdout, r.stderr)
	}

	in.cli(t, "tenant", "activate", "acme")
	in.answers(t, key, http.StatusOK)
	if err := in.get(key, path, new(any)); err == nil || !strings.Contains(err.Error(), "got 410") || !strings.Contains(err.Error(), "payload_shredded") {
		t.Errorf("a body from before: %v, want 410", err)
	}
	in.asks(t, key, 1)
	if err := in.get(key, "/api/v1/traces?range=1h", &page); err != nil {
		t.Fatal(err)
	}
	if err := in.get(key, "/api/v1/traces/"+page.Items[0].ID+"/payload", new(any)); err != nil {
		t.Errorf("a body of today: %v", err)
	}
}
