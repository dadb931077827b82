package capture_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loom.internal/services/gateway/internal/capture"
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
	"loom.internal/services/gateway/internal/sse"
)

// maxFrame is what the record of an answer may come to beyond its limit: names that are
// all control characters, a usage object and an error as long as may be.
const maxFrame = 40 << 10

// samples are events of each endpoint: usual ones, and those that are just not.
var samples = map[string][]string{
	endpoint.Chat.Name: {
		`{"id":"c","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"fp","service_tier":"default","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`,
		`{"id":"c","choices":[{"index":0,"delta":{"content":"é\n\"x"},"logprobs":{"content":[{"token":"é"}],"refusal":null},"finish_reason":null}],"obfuscation":"abc","usage":null}`,
		`{"choices":[{"index":2,"delta":{"refusal":"no","reasoning":"hm"},"finish_reason":"stop"}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":-1,"id":"t","type":"function","function":{"name":"f","arguments":"{"}},{"id":"u","custom":{"name":"g","input":"y"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{"audio":{"id":"a","data":"AAAA","transcript":"hi","expires_at":9}},"finish_reason":"odd_reason"}]}`,
		`{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`,
		`{"choices":[{"index":0,"finish_reason":"x"}]}`, `{"choices":[{"index":0,"delta":{"role":"x"}}]}`, `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":-1,"id":"x"}]}}]}`,
		`{"choices":[{"index":128,"delta":{"content":"x"}},{"index":1e99},{"index":"1","delta":[]}]}`,
	},
	endpoint.Completions.Name: {
		`{"id":"cmpl","object":"text_completion","created":7,"model":"m","choices":[{"index":0,"text":"a\u0001","logprobs":{"tokens":["a"],"token_logprobs":[-0.5],"top_logprobs":[null],"text_offset":[0]},"finish_reason":null}]}`,
		`{"choices":[{"index":1,"text":"b","finish_reason":"length"}],"usage":{"prompt_tokens":1}}`,
		`{"choices":[{"text":7},{"text":null}]}`,
	},
	endpoint.Responses.Name: {
		`{"type":"response.created","sequence_number":0,"response":{"id":"resp","object":"response","created_at":7,"model":"m","status":"in_progress","usage":null,"error":null,"output":[]}}`,
		`{"type":"response.output_item.added","output_index":0,"item":{"id":"msg","type":"message","status":"in_progress","content":[],"role":"assistant"}}`,
		`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"é\u0001","obfuscation":"xyz"}`,
		`{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"whole"}`,
		`{"type":"response.refusal.delta","output_index":0,"content_index":1,"delta":"no"}`,
		`{"type":"response.reasoning_summary_text.delta","output_index":1,"summary_index":3,"delta":"because"}`,
		`{"type":"response.reasoning_text.delta","output_index":1,"content_index":-4,"delta":"deep"}`,
		`{"type":"response.output_item.added","output_index":2,"item":{"id":"fc","type":"function_call","call_id":"call","name":"f","arguments":""}}`,
		`{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\":1}"}`,
		`{"type":"response.mcp_call_arguments.done","output_index":3,"arguments":"{}"}`,
		`{"type":"response.output_item.done","output_index":2,"item":{"id":"fc","type":"function_call","call_id":"call","name":"f","arguments":"{}","status":"completed"}}`,
		`{"type":"response.output_item.done","output_index":4,"item":{"type":"image_generation_call","result":"` + strings.Repeat("A", 400) + `"}}`,
		`{"type":"response.completed","response":{"id":"resp","status":"completed","model":"m2","output":[{"type":"function_call","name":"f"}],"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}}`,
		`{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}`,
		`{"type":"response.failed","response":{"status":"failed","error":{"code":"x","message":"y"}}}`,
		`{"type":"error","code":"x","message":"y","param":null,"sequence_number":3}`,
		`{"type":"response.output_text.delta","output_index":500,"delta":"x"}`, `{"type":"response.output_item.done","item":7}`,
		`{"type":"response.completed","response":null}`, `{"type":"response.output_item.added","item":{"type":7,"name":["x"]}}`,
	},
	endpoint.Speech.Name: {
		`{"type":"speech.audio.delta","audio":"AAAA"}`, `{"type":"speech.audio.done","usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}`,
		`{"type":"speech.audio.delta","audio":null}`,
	},
	endpoint.Transcriptions.Name: {
		`{"type":"transcript.text.delta","delta":"é\"","logprobs":[{"token":"é"}]}`, `{"type":"transcript.text.segment","id":"s","start":0.0,"end":1,"speaker":"A","text":"hi"}`,
		`{"type":"transcript.text.done","text":"whole","logprobs":[{"token":"w"}],"languages":[{"code":"en"}],"usage":{"type":"duration","seconds":7}}`, `{"type":"transcript.text.delta","delta":{}}`,
	},
	endpoint.ImageGenerations.Name: {
		`{"type":"image_generation.partial_image","b64_json":"AAAA","partial_image_index":0,"created_at":7,"size":"1x1","quality":"low","background":"opaque","output_format":"png"}`,
		`{"type":"image_edit.completed","b64_json":"AAAAAAAA","created_at":7,"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}`, `{"type":"image_generation.completed","b64_json":7}`,
	},
}

// odd are events that any provider may send.
var odd = []string{
	`[DONE]`, ` [DONE] `, `{"error":{"message":"m","type":"t"}}`, `{"error":null}`, `{}`, `[]`, `null`, `7`, `nonsense`, `{"type":`, "\xff\xfe", "",
	`{"usage":{"a":1,"a":2},"id":"\ud800","model":"\u0000"}`, `{"usage":[],"choices":{},"response":{},"item":[],"delta":1}`,
}

var endpoints = append(endpoint.OpenAIs(), endpoint.CountTokens)

// trace is all that a stream comes to.
type trace struct {
	Tokens, Lasts    []bool
	Summary          capture.Summary
	JSON             string
	Truncated, Ended bool
}

// read feeds a stream in pieces. Their memory is used again, as a connection's is.
func read(s capture.Stream, pieces [][]byte) (got trace, err error) {
	var p sse.Events
	var buf []byte
	for _, piece := range pieces {
		buf = append(buf[:0], piece...)
		err := p.Feed(buf, func(e sse.Event) error {
			if len(e.Data) == 0 {
				return nil
			}
			token, last := s.Event(e)
			got.Tokens, got.Lasts = append(got.Tokens, token), append(got.Lasts, last)
			return nil
		})
		if err != nil {
			return got, err
		}
		for i := range buf {
			buf[i] = 'x'
		}
	}
	answer, truncated := s.JSON()
	got.Summary, got.JSON, got.Truncated, got.Ended = s.Summary(), string(answer), truncated, s.Ended()
	return got, nil
}

// streams draws streams of an endpoint's events and of others.
func streams(name string) *rapid.Generator[[]byte] {
	data := rapid.SampledFrom(append(append([]string(nil), samples[name]...), odd...))
	names := rapid.SampledFrom([]string{"", "", "", "event: error", "event: response.completed", "id: 7", ": note", "retry: 1"})
	ends := rapid.SampledFrom([]string{"\n", "\r\n", "\r"})
	return rapid.Custom(func(t *rapid.T) []byte {
		var b bytes.Buffer
		for range rapid.IntRange(0, 12).Draw(t, "events") {
			end := ends.Draw(t, "end")
			if n := names.Draw(t, "name"); n != "" {
				b.WriteString(n + end)
			}
			text := data.Draw(t, "data")
			if rapid.IntRange(0, 9).Draw(t, "damage") == 0 && text != "" {
				at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
				text = text[:at] + rapid.SampledFrom([]string{"", "\x00", `"`, "}", "7", `,"usage":{},`}).Draw(t, "by") + text[at+1:]
			}
			b.WriteString("data: " + strings.Replace(text, ",", ","+rapid.SampledFrom([]string{"", "", end + "data: "}).Draw(t, "lines"), 1) + end + end)
		}
		return b.Bytes()
	})
}

func check(t interface{ Errorf(string, ...any) }, got trace, limit int) {
	if !json.Valid([]byte(got.JSON)) || len(got.JSON) > limit+maxFrame {
		t.Errorf("answer of %d bytes is no JSON or over %d: %q", len(got.JSON), limit, got.JSON)
	}
	if u := got.Summary.Usage; u != nil && (!json.Valid(u) || u[0] != '{' || len(u) > 16<<10) {
		t.Errorf("usage: got %q", u)
	}
	for _, name := range append(append([]string{got.Summary.ID, got.Summary.Model, got.Summary.ServiceTier}, got.Summary.FinishReasons...), got.Summary.ToolNames...) {
		if len(name) > 512 {
			t.Errorf("name of %d bytes: %.20q", len(name), name)
		}
	}
}

// Whatever pieces a stream comes in, its trace is the same.
func TestTraceOfAnySplit(t *testing.T) {
	t.Parallel()
	for _, e := range endpoints {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			form := capture.FormOf(e)
			rapid.Check(t, func(t *rapid.T) {
				stream := streams(e.Name).Draw(t, "stream")
				limit := rapid.SampledFrom([]int{0, 4200, 5000, 1 << 20}).Draw(t, "limit")
				want, err := read(form.Stream(limit), [][]byte{stream})
				if err != nil {
					t.Fatal(err)
				}
				check(t, want, limit)
				var pieces [][]byte
				for rest := stream; len(rest) > 0; {
					n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
					pieces, rest = append(pieces, rest[:n]), rest[n:]
				}
				got, err := read(form.Stream(limit), pieces)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%q (-whole +pieces):\n%s", stream, diff)
				}
			})
		})
	}
}

// Texts come out as the pieces put together, whatever they hold.
func TestTextIsItsPieces(t *testing.T) {
	t.Parallel()
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	for e, row := range map[endpoint.Endpoint]struct{ before, after, text, end string }{
		endpoint.Chat:           {`{"choices":[{"index":0,"delta":{"content":`, `}}]}`, "choices.0.message.content", ""},
		endpoint.Completions:    {`{"choices":[{"index":0,"text":`, `}]}`, "choices.0.text", ""},
		endpoint.Responses:      {`{"type":"response.output_text.delta","output_index":3,"delta":`, `}`, "output.0.content.0.text", `{"type":"error"}`},
		endpoint.Transcriptions: {`{"type":"transcript.text.delta","delta":`, `}`, "text", `{"type":"transcript.text.done"}`},
	} {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				s := capture.FormOf(e).Stream(1 << 20)
				var want strings.Builder
				for _, piece := range rapid.SliceOfN(rapid.String(), 1, 8).Draw(t, "pieces") {
					want.WriteString(piece)
					if token, _ := s.Event(sse.Event{Data: []byte(row.before + quote(piece) + row.after)}); token != (piece != "") {
						t.Errorf("%q: got token %v", piece, token)
					}
				}
				s.Event(sse.Event{Data: []byte(row.end)})
				answer, truncated := s.JSON()
				got, _ := at(t, answer, row.text).(string)
				if got != want.String() || truncated {
					t.Errorf("got %q in %s, want %q, truncated %v", got, answer, want.String(), truncated)
				}
			})
		})
	}
}

// at is the value that a path of names and numbers leads to.
func at(t interface{ Fatal(...any) }, doc []byte, path string) any {
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			i := int(name[0] - '0')
			if i >= len(x) {
				return nil
			}
			v = x[i]
		}
	}
	return v
}

// However much a provider sends, of whatever kind, what is kept is bounded: of each event
// over and over, for other choices and items every time, with names of any length.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const limit = 20 << 10
	long := `"` + strings.Repeat(`\u0001`, 600) + `"`
	head := `{"id":"x","model":"x","service_tier":"x","system_fingerprint":"x","usage":{"x":"x"},"error":{"x":"x"}}`
	for _, e := range endpoints {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			for _, sample := range append(samples[e.Name], head) {
				s := capture.FormOf(e).Stream(limit)
				for round := range 150 {
					at := `index":` + strconv.Itoa(round)
					data := regexp.MustCompile(`"[a-z0-9_]{1,4}"([,}\]])`).ReplaceAllString(sample, long+"$1")
					data = regexp.MustCompile(`index":-?[0-9]+`).ReplaceAllString(data, at)
					s.Event(sse.Event{Data: []byte(data)})
				}
				answer, _ := s.JSON()
				check(t, trace{JSON: string(answer), Summary: s.Summary()}, limit)
			}
		})
	}
}

func FuzzSSE(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n"), 3, byte(0))
	f.Add([]byte("event: error\r\ndata: {\"error\":{}}\r\n\r\n"), 1, byte(0))
	f.Add([]byte("data: {\"usage\":null,\"choices\":[]}\r\rdata: {\"choices\":[{\"index\":-1,\"delta\":{\"tool_calls\":[{\"index\":99,\"function\":{\"name\":\"n\",\"arguments\":\"{\"}}]}}]}\n\n"), 7, byte(0))
	for i, e := range endpoints {
		f.Add([]byte("data: "+strings.Join(samples[e.Name], "\n\ndata: ")+"\n\n"), 11, byte(i))
		f.Add([]byte("data: "+strings.Join(odd, "\r\n\r\ndata: ")+"\r\n\r\n"), 5, byte(i))
	}
	f.Fuzz(func(t *testing.T, stream []byte, size int, which byte) {
		const limit = 8 << 10
		size = max(1, size%64)
		form := capture.FormOf(endpoints[int(which)%len(endpoints)])
		var p sse.Events
		var raw []byte
		pieces := bytes.NewBuffer(bytes.Clone(stream))
		var split [][]byte
		for piece := pieces.Next(size); len(piece) > 0; piece = pieces.Next(size) {
			split = append(split, piece)
			err := p.Feed(piece, func(e sse.Event) error {
				raw = append(raw, e.Raw...)
				if hidden := openai.HideUsage(e); len(hidden) > len(e.Raw) {
					t.Errorf("hiding usage made %q longer: %q", e.Raw, hidden)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := append(raw, p.Rest()...); !bytes.Equal(got, stream) {
			t.Errorf("bytes: got %q, want %q", got, stream)
		}
		want, err := read(form.Stream(limit), [][]byte{stream})
		if err != nil {
			t.Fatal(err)
		}
		check(t, want, limit)
		if got, _ := read(form.Stream(limit), split); !cmp.Equal(got, want) {
			t.Errorf("in pieces of %d:\n%s", size, cmp.Diff(want, got))
		}
		form.Whole(stream)
		if kept := form.Keep("application/json", stream); len(kept) > len(stream) {
			t.Errorf("kept %d bytes", len(kept))
		}
	})
}
