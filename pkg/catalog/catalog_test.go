package catalog_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loom.internal/pkg/catalog"
)

func routes(models ...string) []catalog.Route {
	rs := make([]catalog.Route, len(models))
	for i, m := range models {
		rs[i] = catalog.Route{Model: m, Targets: []catalog.Target{{Provider: "p"}}}
	}
	return rs
}

func TestMatchMostSpecificFirst(t *testing.T) {
	t.Parallel()
	table := catalog.NewTable(routes("*", "gpt-*", "gpt-4o", "gpt-4*", "*-mini", "a*b*c", "org/*"))
	for model, want := range map[string]string{
		"gpt-4o":            "gpt-4o", // an exact name beats every pattern
		"gpt-4o-2024-08-06": "gpt-4*",
		"gpt-5":             "gpt-*",
		"gpt-5-mini":        "*-mini", // 5 literal characters beat 4
		"claude":            "*",
		"abc":               "a*b*c",
		"a-x-b-y-c":         "a*b*c",
		"org/model/variant": "org/*",
		"":                  "*",
		"gpt":               "*",
	} {
		got, ok := table.Match(model)
		if !ok || got.Model != want {
			t.Errorf("Match(%q) = %q, %v; want %q", model, got.Model, ok, want)
		}
	}
	if got, ok := catalog.NewTable(routes("gpt-*", "x")).Match("claude"); ok {
		t.Errorf("claude went to %q", got.Model)
	}
	if diff := cmp.Diff([]string{"a", "b"}, catalog.NewTable(routes("b", "*", "a")).Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// A pattern matches exactly what the regular expression of the same meaning does.
func TestMatchAgainstRegexp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{0,8}`).Filter(func(s string) bool { return strings.Contains(s, "*") }).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "name")
		want := regexp.MustCompile("^" + strings.ReplaceAll(pattern, "*", ".*") + "$").MatchString(name)
		if _, got := catalog.NewTable(routes(pattern)).Match(name); got != want {
			t.Fatalf("%q on %q: %v, want %v", pattern, name, got, want)
		}
	})
}

func TestDecodeRefusesHalfASnapshot(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"not JSON":         `{`,
		"unknown provider": `{"revision":1,"providers":[{"name":"a","kind":"demo"}],"routes":[{"model":"m","targets":[{"provider":"b"}]}]}`,
		"no target":        `{"revision":1,"routes":[{"model":"m","targets":[]}]}`,
	} {
		if _, err := catalog.Decode([]byte(data)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	s, err := catalog.Decode([]byte(`{"revision":3,"providers":[{"name":"a","kind":"demo"}],"routes":[{"model":"m","targets":[{"provider":"a"}]}]}`))
	if err != nil || s.Revision != 3 || len(s.Routes) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestParseBaseURL(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://api.openai.com/v1", "http://127.0.0.1:11434/v1", "https://[::1]:8443"} {
		if _, err := catalog.ParseBaseURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "api.openai.com", "ftp://x", "https://", "https://u:p@x", "https://x?a=1", "https://x#f", "https://x?", ":", "file:///etc/passwd"} {
		if _, err := catalog.ParseBaseURL(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
