package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/tenant"
)

func newKey(t *testing.T, prefix string) tenant.KeyText {
	t.Helper()
	k, err := tenant.NewKeyText(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyTextRoundTrip(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{tenant.TenantPrefix, tenant.AdminPrefix} {
		k := newKey(t, prefix)
		got, err := tenant.ParseKeyText(k.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if got != k {
			t.Errorf("parsed %v, want %v", got, k)
		}
		if got.Admin() != (prefix == tenant.AdminPrefix) {
			t.Errorf("Admin() = %v for %s", got.Admin(), prefix)
		}
		if len(k.ID()) != 8 || !strings.HasPrefix(k.Reveal(), prefix+k.ID()) || !strings.HasSuffix(k.Reveal(), k.Last4()) {
			t.Errorf("id %q or last4 %q are not parts of the key", k.ID(), k.Last4())
		}
	}
}

func TestKeyTextHidesItsSecret(t *testing.T) {
	t.Parallel()
	k := newKey(t, tenant.TenantPrefix)
	secret := k.Reveal()[len(tenant.TenantPrefix)+8:]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, k); strings.Contains(got, secret[:8]) {
			t.Errorf("%s prints the secret: %s", verb, got)
		}
	}
}

func TestParseKeyTextRefuses(t *testing.T) {
	t.Parallel()
	good := newKey(t, tenant.TenantPrefix).Reveal()
	flipped := []byte(good)
	if flipped[20]++; flipped[20] > 'z' {
		flipped[20] = '0'
	}
	for name, s := range map[string]string{
		"empty": "", "another vendor's": "sk-" + good, "prefix alone": tenant.TenantPrefix, "one short": good[:len(good)-1],
		"one long": good + "0", "one changed": string(flipped), "in spaces": " " + good, "not base62": strings.Replace(good, good[30:31], "-", 1),
		"very long": tenant.TenantPrefix + strings.Repeat("a", 1<<20),
	} {
		if _, err := tenant.ParseKeyText(s); !errors.Is(err, tenant.ErrUnauthorized) {
			t.Errorf("%s: %v, want ErrUnauthorized", name, err)
		}
	}
}

func TestHashDependsOnPepperAndWholeKey(t *testing.T) {
	t.Parallel()
	if _, err := tenant.NewHasher(make([]byte, 31)); err == nil {
		t.Error("a short pepper was taken")
	}
	a, err := tenant.NewHasher([]byte(strings.Repeat("a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := tenant.NewHasher([]byte(strings.Repeat("b", 32)))
	if err != nil {
		t.Fatal(err)
	}
	k, other := newKey(t, tenant.TenantPrefix), newKey(t, tenant.TenantPrefix)
	if first, again := a.Hash(k), a.Hash(k); first != again {
		t.Error("the same key hashes differently")
	}
	if a.Hash(k) == b.Hash(k) || a.Hash(k) == a.Hash(other) {
		t.Error("another pepper or key gives the same hash")
	}
}

func TestKeyRights(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_790_000_000, 0)
	past, future := now.Add(-time.Second), now.Add(time.Second)
	for name, tt := range map[string]struct {
		key  tenant.Key
		want bool
	}{
		"plain":            {tenant.Key{}, true},
		"not yet expired":  {tenant.Key{ExpiresAt: &future}, true},
		"expired":          {tenant.Key{ExpiresAt: &past}, false},
		"expires just now": {tenant.Key{ExpiresAt: &now}, false},
		"revoked":          {tenant.Key{Revoked: true, ExpiresAt: &future}, false},
	} {
		if got := tt.key.Valid(now); got != tt.want {
			t.Errorf("%s: Valid = %v, want %v", name, got, tt.want)
		}
	}
	k := tenant.Key{Scopes: []tenant.Scope{tenant.ScopeChat}, Models: []string{"gpt-4o"}}
	if !k.Has(tenant.ScopeChat) || k.Has(tenant.ScopeTracesDecrypt) {
		t.Error("scopes are not those given")
	}
	if !k.MayUse("gpt-4o") || k.MayUse("gpt-4") || !(&tenant.Key{}).MayUse("anything") {
		t.Error("model allow-list")
	}
}

func TestParseScope(t *testing.T) {
	t.Parallel()
	for _, s := range tenant.Scopes() {
		if got, err := tenant.ParseScope(string(s)); got != s || err != nil {
			t.Errorf("%s: %v %v", s, got, err)
		}
	}
	if _, err := tenant.ParseScope("admin"); err == nil || !strings.Contains(err.Error(), "chat") {
		t.Errorf("unknown scope: %v, want an error that lists the known ones", err)
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	if got := tenant.From(context.Background()); got != nil {
		t.Errorf("got %v from an empty context", got)
	}
	p := &tenant.Principal{Tenant: tenant.Tenant{ID: "acme"}}
	if got := tenant.From(tenant.With(context.Background(), p)); got != p {
		t.Errorf("got %v, want %v", got, p)
	}
}

func FuzzParseKeyText(f *testing.F) {
	f.Add("loom_sk_")
	f.Add("loom_adm_0123456701234567890123456789012345678901abcdef")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := tenant.ParseKeyText(s)
		if err == nil && k.Reveal() != s {
			t.Errorf("parsed %q as %q", s, k.Reveal())
		}
	})
}
