package openai_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"loom.internal/services/gateway/internal/openai"
)

func TestParseRequestReadsWhatTheGatewayActsOn(t *testing.T) {
	t.Parallel()
	r, fault := openai.ParseRequest([]byte(`{"metadata":{"a":"1","b":2,"c":"\u00e9"},"stream":true,"user":"u","safety_identifier":"s","model":"m","stream_options":{"include_usage":true}}`), "")
	if fault != nil {
		t.Fatal(fault)
	}
	if r.Model != "m" || !r.Stream || !r.AsksUsage || r.User != "u" || r.SafetyIdentifier != "s" || r.CanAskUsage() {
		t.Errorf("got %+v", r)
	}
	if len(r.Metadata) != 2 || r.Metadata[0] != (openai.Member{Name: "a", Value: "1"}) || r.Metadata[1].Value != "é" {
		t.Errorf("metadata: got %v", r.Metadata)
	}
}

func TestParseRequestFaults(t *testing.T) {
	t.Parallel()
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for body, want := range map[string]string{
		"":                     "empty",
		" \n":                  "empty",
		"nul":                  "not valid JSON",
		"7":                    "must be a JSON object",
		`{"model":"m"`:         "not valid JSON",
		`{"model":"m",}`:       "not valid JSON",
		`{"model":"m"} x`:      "not valid JSON",
		`{"model":"m"}{}`:      "nothing after it",
		`{"a":01,"model":"m"}`: "not valid JSON",
		`{}`:                   "must provide a model",
		`{"model":""}`:         "model must be",
		`{"model":null}`:       "model must be",
		`{"model":"a\u0000"}`:  "model must be",
		`{"model":"m","stream":true,"stream":false}`:                              "'stream' more than once",
		`{"model":"m","stream_options":{"include_usage":true,"include_usage":1}}`: "more than once",
		`{"model":"m","Model":"n"}`:                                               "has 'Model' where 'model' is meant",
		`{"STREAM":true,"model":"m"}`:                                             "has 'STREAM' where 'stream' is meant",
		`{"model":"m","x":` + nest(64) + `}`:                                      "nested more than 64",
		`{"model":"` + strings.Repeat("m", 513) + `"}`:                            "model must be",
	} {
		_, fault := openai.ParseRequest([]byte(body), "")
		if fault == nil || fault.Status != 400 || !strings.Contains(fault.Message, want) {
			t.Errorf("%q: got %v, want %q", body, fault, want)
		}
	}
	if _, fault := openai.ParseRequest([]byte(`{"model":"m","s":"[[[[\"{","x":`+nest(63)+`}`), ""); fault != nil {
		t.Errorf("63 levels within the object: got %v", fault)
	}
}

// FuzzScan checks that a rewrite changes what it is to change and nothing else.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{"model":"m"}`, `{"model":"m","stream":true}`, ` {"a":"\\\"","stream":true, "stream_options" : {"x":1} ,"model":"m"}`,
		`{"stream":true,"stream_options":null,"model":"m"}`, `{"stream_options":{"include_usage":false},"model":"\u00e9","stream":true}`,
		`{"model":"m","n":12345678901234567890,"f":1.0,"stream":true,"stream_options":{}}`, `{"model":"m"`, `[`, "{\"model\":\"m\",\"x\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, fault := openai.ParseRequest(body, "")
		if fault != nil {
			if fault.Status != 400 || !json.Valid(fault.Body()) {
				t.Errorf("fault: %v", fault)
			}
			return
		}
		if got := r.Rewrite(r.Model, false); !bytes.Equal(got, body) {
			t.Errorf("without a change: got %q, want %q", got, body)
		}
		out := r.Rewrite("other", r.CanAskUsage())
		again, fault := openai.ParseRequest(out, "")
		if fault != nil {
			t.Fatalf("%q became %q: %v", body, out, fault)
		}
		if again.Model != "other" || again.Stream != r.Stream || again.User != r.User || (r.CanAskUsage() && !again.AsksUsage) {
			t.Errorf("%q became %q", body, out)
		}
	})
}

// A model named by the path goes before the body's, and is put where there is none.
func TestParseRequestForANamedModel(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:                              `{"model":"d","stream_options":{"include_usage":true}}`,
		` { "stream":true}`:               ` {"model":"d","stream_options":{"include_usage":true}, "stream":true}`,
		`{"model":"x","stream":true}`:     `{"stream_options":{"include_usage":true},"model":"d","stream":true}`,
		`{"model":7,"stream_options":{}}`: `{"model":"d","stream_options":{"include_usage":true}}`,
	} {
		r, fault := openai.ParseRequest([]byte(body), "d")
		if fault != nil || r.Model != "d" {
			t.Errorf("%s: got %+v, %v", body, r, fault)
			continue
		}
		if got := string(r.Rewrite("d", true)); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
	if _, fault := openai.ParseRequest([]byte(`{}`), "a\x00"); fault == nil || fault.Param != "model" {
		t.Errorf("a name with NUL: got %v", fault)
	}
}

func BenchmarkParseRequest(b *testing.B) {
	body := []byte(`{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"` + strings.Repeat("lorem ipsum ", 800) + `"}],"temperature":0.5}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r, fault := openai.ParseRequest(body, "")
		if fault != nil {
			b.Fatal(fault)
		}
		r.Rewrite(r.Model, true)
	}
}
