package envelope_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"loom.internal/pkg/envelope"
)

var masterKey, secondKey = strings.Repeat("0123456789abcdef", 4), strings.Repeat("fedcba9876543210", 4)

func ring(tb testing.TB) *envelope.Ring {
	tb.Helper()
	return ringOf(tb, map[uint32]string{1: masterKey})
}

func ringOf(tb testing.TB, keys map[uint32]string) *envelope.Ring {
	tb.Helper()
	r, err := envelope.NewRing(keys)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestParseMasterKey(t *testing.T) {
	t.Parallel()
	want, err := hex.DecodeString(masterKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"hex": masterKey, "hex in capitals": strings.ToUpper(masterKey),
		"base64": base64.StdEncoding.EncodeToString(want), "base64 without padding": base64.RawURLEncoding.EncodeToString(want),
	} {
		if got, err := envelope.ParseMasterKey(s); !bytes.Equal(got, want) || err != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for name, s := range map[string]string{
		"missing": "", "short": masterKey[:62], "long": masterKey + "00", "not hex": strings.Repeat("g", 64), "odd": masterKey[:63],
		"all zero": strings.Repeat("0", 64), "all alike": strings.Repeat("ab", 32), "a passphrase": "correct horse battery staple",
	} {
		_, err := envelope.ParseMasterKey(s)
		if !errors.Is(err, envelope.ErrMasterKey) {
			t.Errorf("%s: %v, want ErrMasterKey", name, err)
		}
		if s != "" && strings.Contains(fmt.Sprint(err), s) {
			t.Errorf("%s: the error repeats the key: %v", name, err)
		}
	}
}

func TestNewRing(t *testing.T) {
	t.Parallel()
	r := ringOf(t, map[uint32]string{2: masterKey, 7: secondKey})
	if got := r.Versions(); r.Active() != 7 || !slices.Equal(got, []uint32{2, 7}) {
		t.Errorf("active %d of %v, want 7 of 2 and 7", r.Active(), got)
	}
	for name, tt := range map[string]struct {
		keys map[uint32]string
		says []string
	}{
		"no key":          {nil, []string{"not set"}},
		"version 0":       {map[uint32]string{0: masterKey}, []string{"version 0"}},
		"two are wrong":   {map[uint32]string{1: masterKey[:62], 3: strings.Repeat("0", 64)}, []string{"version 1", "version 3"}},
		"same key doubly": {map[uint32]string{1: masterKey, 2: secondKey, 3: strings.ToUpper(masterKey)}, []string{"versions 1 and 3 are the same"}},
	} {
		_, err := envelope.NewRing(tt.keys)
		if !errors.Is(err, envelope.ErrMasterKey) {
			t.Errorf("%s: %v, want ErrMasterKey", name, err)
		}
		for _, says := range tt.says {
			if !strings.Contains(fmt.Sprint(err), says) {
				t.Errorf("%s: %v, want %q in it", name, err, says)
			}
		}
		for _, key := range slices.Collect(maps.Values(tt.keys)) {
			if strings.Contains(fmt.Sprint(err), key) {
				t.Errorf("%s: the error shows a key: %v", name, err)
			}
		}
	}
}

// The same master key and tenant always give the same key, in every process; anything
// else gives another.
func TestDerivationIsDeterministicAndApart(t *testing.T) {
	t.Parallel()
	both := map[uint32]string{1: masterKey, 2: secondKey}
	derive := func(version uint32, l envelope.Label) string {
		key, err := ringOf(t, both).WrappingKey(version, l)
		if err != nil || len(key) != envelope.KeyLength {
			t.Fatalf("derive: %d bytes, %v", len(key), err)
		}
		return string(key)
	}
	acme := envelope.Label{Purpose: envelope.PurposeTenant, Owner: "acme"}
	if first, again := derive(1, acme), derive(1, acme); first != again {
		t.Error("the same tenant got two keys")
	}
	// What it came to when it was first made, so that another version of Go or of this
	// package does not make all that is stored unreadable.
	if got, want := hex.EncodeToString([]byte(derive(1, acme))), "533398ea61bcbdfc58b1deec60565bf093babfc017fbd74fd191141f17ad8fac"; got != want {
		t.Errorf("key of acme: got %s, want %s", got, want)
	}
	seen := map[string]string{}
	for _, version := range []uint32{1, 2} {
		for _, l := range []envelope.Label{
			acme,
			{Purpose: "tenant", Owner: "acmf"},
			{Purpose: "tenant"},
			{Purpose: "tenanta", Owner: "cme"},
			{Purpose: envelope.PurposeCredential, Owner: "acme"},
			{Purpose: envelope.PurposeAPIKey, Owner: "acme"},
		} {
			key := derive(version, l)
			if other, ok := seen[key]; ok {
				t.Errorf("%v of version %d and %s share a key", l, version, other)
			}
			seen[key] = fmt.Sprintf("%v of version %d", l, version)
		}
	}
}

func TestPrefixedFieldsNeverRunTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.SliceOf(rapid.StringOf(rapid.RuneFrom([]rune{'a', 'b', 0, 1, 2})))
		a, b := fields.Draw(t, "a"), fields.Draw(t, "b")
		if bytes.Equal(envelope.Prefixed(a...), envelope.Prefixed(b...)) != slices.Equal(a, b) {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

func TestWrapUnwrap(t *testing.T) {
	t.Parallel()
	label := envelope.Label{Purpose: envelope.PurposeCredential, Owner: "openai", Context: []string{"https://api.openai.com:443"}}
	w, err := ring(t).Wrap(t.Context(), label, []byte("sk-upstream"))
	if err != nil {
		t.Fatal(err)
	}
	rotated := ringOf(t, map[uint32]string{1: masterKey, 2: secondKey})
	if got, err := rotated.Unwrap(t.Context(), label, w); string(got) != "sk-upstream" || err != nil {
		t.Errorf("with a second master key: %q, %v", got, err)
	}
	again, err := rotated.Wrap(t.Context(), label, []byte("sk-upstream"))
	if err != nil || again.MasterVersion != 2 {
		t.Errorf("wrapped with version %d, %v; want the highest", again.MasterVersion, err)
	}
	for name, tt := range map[string]struct {
		label envelope.Label
		spoil func(*envelope.Wrapped)
		want  error
	}{
		"another purpose": {label: envelope.Label{Purpose: envelope.PurposeTenant, Owner: label.Owner, Context: label.Context}},
		"another owner":   {label: envelope.Label{Purpose: label.Purpose, Owner: "azure", Context: label.Context}},
		"another origin":  {label: envelope.Label{Purpose: label.Purpose, Owner: label.Owner, Context: []string{"https://evil.example:443"}}},
		"an origin more":  {label: envelope.Label{Purpose: label.Purpose, Owner: label.Owner, Context: []string{label.Context[0], ""}}},
		"a changed bit":   {label: label, spoil: func(w *envelope.Wrapped) { w.Ciphertext[3] ^= 1 }},
		"a short iv":      {label: label, spoil: func(w *envelope.Wrapped) { w.IV = w.IV[1:] }},
		"nothing":         {label: label, spoil: func(w *envelope.Wrapped) { *w = envelope.Wrapped{MasterVersion: 1} }},
		"unknown version": {label: label, spoil: func(w *envelope.Wrapped) { w.MasterVersion = 2 }, want: envelope.ErrUnknownKeyVersion},
	} {
		m := envelope.Wrapped{MasterVersion: w.MasterVersion, IV: bytes.Clone(w.IV), Ciphertext: bytes.Clone(w.Ciphertext)}
		if tt.spoil != nil {
			tt.spoil(&m)
		}
		if tt.want == nil {
			tt.want = envelope.ErrOpen
		}
		if got, err := ring(t).Unwrap(t.Context(), tt.label, m); !errors.Is(err, tt.want) || got != nil {
			t.Errorf("%s: %q, %v; want %v and nothing", name, got, err, tt.want)
		}
	}
}
