package redact_test

import (
	"fmt"
	"strings"
	"testing"

	"loom.internal/pkg/redact"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	r := compile(t, redact.Rules{
		Builtin: []string{"email", "credit_card", "private_key"},
		Patterns: []redact.Pattern{
			{Name: "ticket", Regexp: `\bT-\d+`}, {Name: "word", Regexp: `(?i)redacted`}, {Name: "user", Regexp: `user=\S+ mail=\S+`}, {Name: "begin", Regexp: `^zz`}, {Name: "broken", Regexp: `\\ü`},
		},
	})
	pem := strings.Join([]string{"-----BEGIN ", "PRIVATE KEY-----•MIIE•-----END ", "PRIVATE KEY-----"}, "")
	for _, c := range []struct{ name, in, want string }{
		{"nothing to redact", ` { "a" : [1, "b\u00e9\/", null ] } `, ` { "a" : [1, "b\u00e9\/", null ] } `},
		{"all else stays", ` { "a" : ["\u00e9\/ a@b.co \u00e9" , 1.50 ],"a":2} `, ` { "a" : ["\u00e9\/ [redacted:email] \u00e9" , 1.50 ],"a":2} `},
		{"names stay", `{"a@b.co":"a@b.co"}`, `{"a@b.co":"[redacted:email]"}`},
		{"names in lists and objects", `[{"a@b.co":["a@b.co",{"a@b.co":{}}]}]`, `[{"a@b.co":["[redacted:email]",{"a@b.co":{}}]}]`},
		{"a string alone", `"a@b.co"`, `"[redacted:email]"`},
		{"escapes hide nothing", `["\u0061\u0040b\u002eco"]`, `["[redacted:email]"]`},
		{"an escape before stays whole", `["\na@b.co\n"]`, `["\n[redacted:email]\n"]`},
		{"a number", `[4111111111111111,4111111111111112,-4111111111111111]`, `["[redacted:credit_card]",4111111111111112,"-[redacted:credit_card]"]`},
		{"JSON in a string", `{"arguments":"{\"to\":\"\\na@b.co\",\"n\":1}"}`, `{"arguments":"{\"to\":\"\\n[redacted:email]\",\"n\":1}"}`},
		{"JSON in a string, with escapes", `{"arguments":"{\"to\":\"a\\u0040b.co\"}"}`, `{"arguments":"{\"to\":\"[redacted:email]\"}"}`},
		{"a key over lines", `["` + strings.ReplaceAll(pem, "•", `\n`) + `"]`, `["[redacted:private_key]"]`},
		{"a key over lines in JSON in a string", `["{\"k\":\"` + strings.ReplaceAll(pem, "•", `\\n`) + `\"}"]`, `["{\"k\":\"[redacted:private_key]\"}"]`},
		{"a mark is left alone", `["[redacted:email] [redacted:other]"]`, `["[redacted:email] [[redacted:word]:other]"]`},
		{"text between marks is a text of its own", `["zzzz-zz"]`, `["[redacted:begin][redacted:begin]-zz"]`},
		{"rules that overlap", `["user=me mail=a@b.co T-1"]`, `["[redacted:user] [redacted:ticket]"]`},
		{"bytes that are not UTF-8", "[\"\xff a@b.co \xff\"]", "[\"\xff [redacted:email] \xff\"]"},
		{"a surrogate alone", `["\ud83d a@b.co \ude00 \ud83d\ude00"]`, `["\ud83d [redacted:email] \ude00 \ud83d\ude00"]`},
		{"cut in a string", `{"a@b.co":"a@b.co","b":"x\u0040y.org \u00`, `{"a@b.co":"[redacted:email]","b":"[redacted:email] \u00`},
		{"cut in a key", `{"k":"` + strings.ReplaceAll(pem, "•", `\n`)[:34], `{"k":"[redacted:private_key]`},
		{"cut between", `{"a":"a@b.co",`, `{"a":"[redacted:email]",`},
		{"no JSON", "data: {\"a\":\"\\u0061@b.co\"}\n\ndata: 4111111111111111\n", "data: {\"a\":\"[redacted:email]\"}\n\ndata: [redacted:credit_card]\n"},
		{"no JSON that begins with what is redacted", "a@b.co 1", "[redacted:email] 1"},
		{"JSON once something is out of it", `["\ü","{\"n\":\"\\u0034111111111111111\"}"]`, `["[redacted:broken]","{\"n\":\"[redacted:credit_card]\"}"]`},
		{"several values", "{\"a\":\"a@b.co\"}\n{\"a\":\"a@b.co\"}\n", "{\"a\":\"[redacted:email]\"}\n{\"a\":\"[redacted:email]\"}\n"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := []byte(c.in)
			got := r.JSON(in)
			if string(got) != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if string(in) != c.in {
				t.Errorf("the input is changed: %s", in)
			}
			if c.in == c.want && len(in) > 0 && &in[0] != &got[0] {
				t.Error("what is not redacted is copied")
			}
			if again := r.JSON(got); string(again) != c.want {
				t.Errorf("once more: got %s, want %s", again, c.want)
			}
		})
	}
}

func TestNoRules(t *testing.T) {
	t.Parallel()
	r := compile(t, redact.Rules{})
	if r != nil {
		t.Fatalf("got %v, want nil", r)
	}
	if got := string(r.JSON([]byte("a@b.co"))) + r.Text("a@b.co"); got != "a@b.coa@b.co" {
		t.Errorf("got %s, want all as it was", got)
	}
}

func TestWorkIsBounded(t *testing.T) {
	t.Parallel()
	one := compile(t, redact.Rules{Patterns: []redact.Pattern{{Name: "one", Regexp: `1`}}})
	last := compile(t, redact.Rules{Patterns: []redact.Pattern{{Name: "last", Regexp: `a$`}}})
	far := compile(t, redact.Rules{Patterns: []redact.Pattern{{Name: "far", Regexp: `c`}}})
	for _, c := range []struct {
		name, in, want string
		r              *redact.Redactor
	}{
		{"what grows in a string", `["` + strings.Repeat("1", 1<<15) + `",2]`, `["[redacted:all]",2]`, one},
		{"what grows over strings", "[" + strings.Repeat("1,", 1<<15) + "1]", `"[redacted:all]"`, one},
		{"what grows in a text", "x" + strings.Repeat("1", 1<<15), `[redacted:all]`, one},
		{"what does not come to rest", `["` + strings.Repeat("a", 9) + `"]`, `["[redacted:all]"]`, last},
		{"what comes to rest", `["` + strings.Repeat("a", 7) + `"]`, `["` + strings.Repeat("[redacted:last]", 7) + `"]`, last},
		{"what has to look far too often", `["` + strings.Repeat(strings.Repeat("x", 1<<10)+"c", 1<<11) + `"]`, `["[redacted:all]"]`, far},
	} {
		if got := string(c.r.JSON([]byte(c.in))); got != c.want {
			t.Errorf("%s: got %.200s, want %s", c.name, got, c.want)
		}
		if got := string(c.r.JSON([]byte(c.want))); got != c.want {
			t.Errorf("%s, once more: got %.200s, want %s", c.name, got, c.want)
		}
	}
}

func TestRulesFaults(t *testing.T) {
	t.Parallel()
	many := func(n int, re string) (p []redact.Pattern) {
		for i := range n {
			p = append(p, redact.Pattern{Name: fmt.Sprintf("p%d", i), Regexp: re})
		}
		return p
	}
	one := func(name, re string) redact.Rules {
		return redact.Rules{Patterns: []redact.Pattern{{Name: name, Regexp: re}}}
	}
	for _, c := range []struct {
		name  string
		rules redact.Rules
		want  string // "" if there is none
	}{
		{"all builtins", redact.Rules{Builtin: allBuiltins}, ""},
		{"unknown builtin", redact.Rules{Builtin: []string{"email", "mail"}}, `builtin[1]: "mail" is not known; there are private_key, jwt, api_key, bearer_token, email, iban, credit_card, us_ssn, phone, ip_address`},
		{"builtin twice", redact.Rules{Builtin: []string{"email", "email"}}, "builtin[1]: email is named twice"},
		{"most patterns", redact.Rules{Patterns: many(32, "a")}, ""},
		{"too many patterns", redact.Rules{Patterns: many(33, "a")}, "patterns: there are 33, at most 32 are possible"},
		{"no name", one("", "a"), "patterns[0].name: want 1 to 32 of a-z, 0-9, _ and -"},
		{"name with a break", one("a\n", "a"), "patterns[0].name: want"},
		{"name too long", one(strings.Repeat("a", 33), "a"), "patterns[0].name: want"},
		{"name of a builtin", one("email", "a"), "patterns[0].name: email is taken"},
		{"name of what is redacted as a whole", one("all", "a"), "patterns[0].name: all is taken"},
		{"name twice", redact.Rules{Patterns: []redact.Pattern{{Name: "a", Regexp: "a"}, {Name: "a", Regexp: "b"}}}, "patterns[1].name: a is taken"},
		{"no pattern", one("a", ""), "patterns[0].regexp: is empty"},
		{"longest pattern", one("a", strings.Repeat("a", 512)), ""},
		{"too long", one("a", strings.Repeat("a", 513)), "patterns[0].regexp: has 513 bytes, at most 512 are possible"},
		{"no RE2", one("a", "(?=a)"), "patterns[0].regexp: is not in RE2's syntax"},
		{"matches nothing", one("a", "a*"), "patterns[0].regexp: can match nothing at all"},
		{"matches between", one("a", `\b`), "can match nothing at all"},
		{"matches nothing by a branch", one("a", `abc|(d?e{0,3})`), "can match nothing at all"},
		{"at least one", one("a", `(a|bc+)\b{1}[x-z]?`), ""},
		{"compiles to much", one("a", `(a{1,30}){1,33}`), "patterns[0].regexp: takes 1025 steps or more, at most 1024 are possible"},
		{"compiles to very much", one("a", `((((a{100}){100})b){90}){10}`), "patterns[0].regexp:"},
		{"much in all", redact.Rules{Patterns: many(10, "a{1,500}")}, "patterns[8].regexp: the patterns up to here take"},
	} {
		faults := c.rules.Validate()
		_, err := redact.Compile(c.rules)
		if (err == nil) != (c.want == "") || (len(faults) == 0) != (c.want == "") {
			t.Errorf("%s: got %v and %v, want %q", c.name, faults, err, c.want)
			continue
		}
		if err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
	}
}
