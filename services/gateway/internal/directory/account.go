package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"loom.internal/pkg/bus"
	"loom.internal/pkg/catalog"
	"loom.internal/pkg/envelope"
	"loom.internal/pkg/redact"
	"loom.internal/pkg/tenant"
)

// giveMaster says what to do about a master key that is not there.
const giveMaster = "give this gateway all versions of the master key that the dashboard has"

// Caller is who a request acts for, and how its bodies are recorded.
type Caller struct {
	tenant.Principal
	DataKey  *envelope.DataKey // seals them; nil: there is none that this gateway can use
	Redactor *redact.Redactor  // nil: nothing is taken out
	NoRules  error             // why it is not known what is to be taken out; nothing of the client's may be recorded then
}

// account is a tenant made ready: its data key unwrapped, its rules compiled. It is cached
// in place of the record, and goes with it.
type account struct {
	tenant.Tenant
	key      *envelope.DataKey
	redactor *redact.Redactor
	noRules  error // of rules that do not compile
}

func decodeKey(_ string, data []byte) (k tenant.Key, err error) {
	err = json.Unmarshal(data, &k)
	return k, err
}

// decodeAccount makes a tenant's record ready. A data key that was wrapped anew, with a
// master key that is not here, is the same key: the one that is cached stays in use.
func (d *Directory) decodeAccount(name string, data []byte) (account, error) {
	var a account
	if err := json.Unmarshal(data, &a.Tenant); err != nil {
		return a, err
	}
	if bus.PrefixTenant+a.ID != name {
		return a, fmt.Errorf("it is that of tenant %q", a.ID)
	}
	ctx := context.Background() // a record is made ready for whoever asks for it next
	if a.redactor, a.noRules = redact.Compile(a.Redact); a.noRules != nil {
		// To record what was to be taken out is worse than to record nothing.
		d.opt.Log.LogAttrs(ctx, slog.LevelError, "rules of redaction are wrong, requests of which something is to be recorded are refused: put the rules of the tenant right",
			slog.String("name", name), slog.Any("error", a.noRules))
	}
	if a.DataKey == nil {
		return a, nil
	}
	var err error
	before, _ := d.tenants.peek(a.ID)
	a.key, err = a.DataKey.Unwrap(ctx, d.opt.Keys, a.ID)
	switch {
	case err == nil:
	case errors.Is(err, envelope.ErrUnknownKeyVersion) && before.key != nil && before.key.Epoch() == a.DataKey.Epoch:
		a.key = before.key
		d.opt.Log.LogAttrs(ctx, slog.LevelError, "data key is wrapped with a master key that is not here, it is used as long as this gateway remembers it: "+giveMaster,
			slog.String("name", name), slog.Any("error", err))
	default:
		d.opt.Log.LogAttrs(ctx, slog.LevelError, "data key cannot be unwrapped, requests whose bodies are to be recorded are refused: "+giveMaster,
			slog.String("name", name), slog.Any("error", err))
	}
	return a, nil
}

// setPepper puts what keys are hashed with in force. It stays the same for good, so one
// that cannot be unwrapped changes nothing.
func (d *Directory) setPepper(ctx context.Context, data []byte) {
	var p catalog.Pepper
	err := json.Unmarshal(data, &p)
	if err == nil {
		var secret []byte
		if secret, err = d.opt.Keys.Unwrap(ctx, catalog.PepperLabel(), p.Wrapped); err == nil {
			defer clear(secret)
			var h *tenant.Hasher
			if h, err = tenant.NewHasher(secret); err == nil {
				d.hasher.Store(h)
				return
			}
		}
	}
	d.opt.Log.LogAttrs(ctx, slog.LevelError, "what API keys are hashed with cannot be unwrapped: "+giveMaster, slog.Any("error", err))
}
