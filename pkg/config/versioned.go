package config

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// VersionedSecret is a secret that is replaced now and then while what was made
// with the earlier ones is still about, by version from 1 on. Version 1 comes from
// the variable <NAME>, version n from <NAME>_V<n>, each of them or, like a
// [Secret], from the file that <NAME>_FILE or <NAME>_V<n>_FILE names. A variable
// that is empty counts as not set. Version 1 may be absent.
//
// No way of printing, logging or marshalling it shows a value or which versions
// there are.
type VersionedSecret map[uint32]Secret

// Decode makes the value the only version. It keeps envconfig from reading the
// value as pairs of keys and values, which would print it in an error.
func (s *VersionedSecret) Decode(value string) error {
	*s = nil
	if value != "" {
		*s = VersionedSecret{1: Secret(value)}
	}
	return nil
}

// Reveal returns the values themselves.
func (s VersionedSecret) Reveal() map[uint32]string {
	values := make(map[uint32]string, len(s))
	for version, secret := range s {
		values[version] = secret.Reveal()
	}
	return values
}

// String returns "[redacted]".
func (s VersionedSecret) String() string { return redacted }

// GoString returns "[redacted]", for %#v.
func (s VersionedSecret) GoString() string { return redacted }

// Format prints "[redacted]" whatever the verb.
func (s VersionedSecret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]" to slog.
func (s VersionedSecret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[redacted]" as a JSON string.
func (s VersionedSecret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[redacted]", for XML, YAML and the like.
func (s VersionedSecret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// versions reads every version of v that the environment has.
func (v variable) versions() (VersionedSecret, []error) {
	var faults []error
	numbers := []uint32{1}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if value == "" {
			continue
		}
		for _, base := range v.lookups() {
			n, err := versionOf(base, name)
			if err != nil {
				faults = append(faults, err)
			} else if n != 0 {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	found := VersionedSecret{}
	for _, n := range slices.Compact(numbers) {
		for _, base := range v.lookups() {
			value, _, err := readSecret(versionName(base, n))
			if err != nil {
				faults = append(faults, err)
				break
			}
			if value != "" {
				found[n] = Secret(value)
				break
			}
		}
	}
	return found, faults
}

func versionName(base string, n uint32) string {
	if n == 1 {
		return base
	}
	return fmt.Sprintf("%s_V%d", base, n)
}

// versionOf is the version that the variable called name holds of the secret
// called base, 0 if it is about something else. What looks like a version and is
// none is a fault: a key that is passed over would be missed only when something
// that it sealed has to be opened.
//
// A word of three letters or more after the underscore, such as VAULT_ADDR or
// VERSION, begins the name of something else. All else that begins with V is meant as
// a version, _V, _V0, _Vx, _V-2, _V_2, _V2_OLD and _v2 alike.
func versionOf(base, name string) (uint32, error) {
	rest, ok := strings.CutPrefix(name, base+"_")
	if !ok || rest == "" || rest[0]|0x20 != 'v' {
		return 0, nil
	}
	rest, file := strings.CutSuffix(rest, "_FILE")
	number := rest[1:]
	if letter := func(i int) bool { return number[i]|0x20 >= 'a' && number[i]|0x20 <= 'z' }; len(number) > 1 && letter(0) && letter(1) {
		return 0, nil
	}
	n, err := strconv.ParseUint(number, 10, 32)
	switch {
	case err == nil && n == 1 && number == "1":
		first := base
		if file {
			first += "_FILE"
		}
		return 0, fmt.Errorf("%s: version 1 is %s, without a number: rename the variable", name, first)
	case err != nil || n == 0 || rest[0] != 'V' || strconv.FormatUint(n, 10) != number:
		return 0, fmt.Errorf("%s: a version is a number from 2 to %d after a large V, as in %s_V2: rename the variable, or unset it",
			name, uint32(math.MaxUint32), base)
	}
	return uint32(n), nil
}
