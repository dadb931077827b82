package event_test

import (
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"loom.internal/pkg/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// full is an event with every field set.
func full() *event.TraceEvent {
	sealed := func(b byte) *event.SealedBody {
		return &event.SealedBody{
			Ciphertext: []byte(strings.Repeat(string(rune('a'+b)), 40)), Iv: []byte("123456789012"), Suite: 1, KeyVersion: 1,
			PlainLength: 24, Sha256: []byte(strings.Repeat("d", 32)), Truncated: true,
		}
	}
	return &event.TraceEvent{
		TraceId: "0192f0c1-8f7a-7c3b-9d2e-5a4b3c2d1e0f", TenantId: "acme", KeyId: "Ab3dEf7h",
		Producer: &event.Producer{Id: "gw-1", Epoch: 1_790_000_000_000_000, Seq: 42},
		Endpoint: "chat.completions", Route: "gpt-*", ModelRequested: "gpt-4o", ModelUpstream: "gpt-4o", ModelAnswered: "gpt-4o-2024-08-06",
		Provider: "openai", ProviderKind: "openai", Stream: true,
		Attempts: []*event.Attempt{
			{Provider: "azure", Model: "gpt-4o", Status: 503, ErrorClass: "upstream_error", StartUs: 100, DurationUs: 2_000},
			{Provider: "openai", Model: "gpt-4o", Status: 200, StartUs: 2_200, DurationUs: 900_000},
		},
		Outcome: event.Outcome_OUTCOME_COMPLETED, HttpStatus: 200, ErrorClass: "none",
		StartedAtUs: 1_790_000_123_456_789, DurationUs: 902_200, TtftUs: proto.Int64(250_000),
		GapP50Us: proto.Int64(18_000), GapP99Us: proto.Int64(40_000), RequestBytes: 512, ResponseBytes: 2048, Chunks: 31,
		FinishReasons: []string{"stop"}, ToolNames: []string{"get_weather"},
		UsageRaw:    []byte(`{"prompt_tokens":12,"completion_tokens":30,"total_tokens":42}`),
		UsageSource: event.UsageSource_USAGE_SOURCE_PROVIDER, ServiceTier: "default", Region: "eu",
		Tags: map[string]string{"env": "prod"}, EndUser: "user-7", SessionId: "s-1",
		ContentMode: event.ContentMode_CONTENT_MODE_FULL, RequestBody: sealed(0), ResponseBody: sealed(1),
	}
}

// detached is an event whose answer is in the object store.
func detached() *event.TraceEvent {
	e := full()
	e.ResponseBody.PlainLength = 3 << 20
	e.ResponseBody.Detach()
	return e
}

// Every golden file is an event as some released version wrote it. All of them must
// decode to what their JSON says, for good: add files, never change one.
func TestGolden(t *testing.T) {
	t.Parallel()
	const subject = "loom.trace.v1.acme.completed"
	if *update {
		for name, e := range map[string]*event.TraceEvent{"v1-full": full(), "v1-detached": detached()} {
			data, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			text := protojson.MarshalOptions{Multiline: true, UseProtoNames: true}.Format(e)
			for ending, content := range map[string][]byte{".binpb": data, ".json": []byte(text + "\n")} {
				if err := os.WriteFile(filepath.Join("testdata", name+ending), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*.binpb"))
	if err != nil || len(files) == 0 {
		t.Fatalf("golden events: %v, %v", files, err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := event.Decode(subject, data)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(strings.TrimSuffix(path, ".binpb") + ".json")
			if err != nil {
				t.Fatal(err)
			}
			want := new(event.TraceEvent)
			if err := protojson.Unmarshal(text, want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("decoded event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMarshalDecodeRoundTrip(t *testing.T) {
	t.Parallel()
	want := full()
	data, err := event.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := event.Decode(event.Subject(want), data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
}

func TestPlaceIsAddedLater(t *testing.T) {
	t.Parallel()
	e := full()
	place := e.Place()
	data, err := event.MarshalUnplaced(e)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = event.WithPlace(data, place); err != nil {
		t.Fatal(err)
	}
	got, err := event.Decode(event.Subject(e), data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(), got, protocmp.Transform()); diff != "" {
		t.Errorf("in two parts (-want +got):\n%s", diff)
	}
	spoiled := full()
	spoiled.TenantId = "No"
	if _, err := event.MarshalUnplaced(spoiled); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("an invalid event: %v, want ErrInvalid", err)
	}
	// What the bus cannot take is no fault before the bodies are elsewhere.
	big := full()
	big.RequestBody.Ciphertext, big.ResponseBody.Ciphertext = make([]byte, event.MaxBody+16), make([]byte, event.MaxBody+16)
	if data, err = event.MarshalUnplaced(big); err != nil || len(data) > event.MaxUnplaced {
		t.Errorf("two of the largest bodies: %d bytes, %v", len(data), err)
	}
	big.RequestBody.Ciphertext = make([]byte, 2*event.MaxBody)
	if _, err := event.MarshalUnplaced(big); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("a body larger than any: %v, want ErrInvalid", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	const subject = "loom.trace.v1.acme.completed"
	tests := map[string]func(*event.TraceEvent){
		"trace id not a UUID":         func(e *event.TraceEvent) { e.TraceId = "7" },
		"trace id of another version": func(e *event.TraceEvent) { e.TraceId = "0192f0c1-8f7a-4c3b-9d2e-5a4b3c2d1e0f" },
		"trace id in capitals":        func(e *event.TraceEvent) { e.TraceId = strings.ToUpper(e.TraceId) },
		"another tenant":              func(e *event.TraceEvent) { e.TenantId = "other" },
		"another outcome":             func(e *event.TraceEvent) { e.Outcome = event.Outcome_OUTCOME_FAILED },
		"no key":                      func(e *event.TraceEvent) { e.KeyId = "" },
		"no producer":                 func(e *event.TraceEvent) { e.Producer = nil },
		"seq over int64":              func(e *event.TraceEvent) { e.Producer.Seq = math.MaxUint64 },
		"unknown usage source":        func(e *event.TraceEvent) { e.UsageSource = 9 },
		"unknown content mode":        func(e *event.TraceEvent) { e.ContentMode = 9 },
		"status out of range":         func(e *event.TraceEvent) { e.HttpStatus = 1000 },
		"start before this age":       func(e *event.TraceEvent) { e.StartedAtUs = 12 },
		"start far off":               func(e *event.TraceEvent) { e.StartedAtUs = math.MaxInt64 },
		"negative duration":           func(e *event.TraceEvent) { e.DurationUs = -1 },
		"absurd duration":             func(e *event.TraceEvent) { e.DurationUs = math.MaxInt64 },
		"text too long":               func(e *event.TraceEvent) { e.ModelRequested = strings.Repeat("m", event.MaxText+1) },
		"text with NUL":               func(e *event.TraceEvent) { e.EndUser = "a\x00b" },
		"too many tools":              func(e *event.TraceEvent) { e.ToolNames = make([]string, event.MaxList+1) },
		"negative attempt":            func(e *event.TraceEvent) { e.Attempts[0].StartUs = -1 },
		"tag value too long":          func(e *event.TraceEvent) { e.Tags["k"] = strings.Repeat("v", event.MaxTagValue+1) },
		"tag without a name":          func(e *event.TraceEvent) { e.Tags[""] = "v" },
		"usage not JSON":              func(e *event.TraceEvent) { e.UsageRaw = []byte("{") },
		"usage not UTF-8":             func(e *event.TraceEvent) { e.UsageRaw = []byte("{\"a\":\"\xff\"}") },
		"usage without source":        func(e *event.TraceEvent) { e.UsageSource = event.UsageSource_USAGE_SOURCE_NONE },
		"source without usage":        func(e *event.TraceEvent) { e.UsageRaw = nil },
		"short iv":                    func(e *event.TraceEvent) { e.RequestBody.Iv = []byte("1") },
		"short digest":                func(e *event.TraceEvent) { e.ResponseBody.Sha256 = []byte("1") },
		"ciphertext without tag":      func(e *event.TraceEvent) { e.RequestBody.Ciphertext = []byte("short") },
		"key version 0":               func(e *event.TraceEvent) { e.RequestBody.KeyVersion = 0 },
		"detached, and here":          func(e *event.TraceEvent) { e.RequestBody.Detached = true },
		"detached without digest":     func(e *event.TraceEvent) { e.RequestBody.Detach(); e.RequestBody.Sha256 = nil },
		"longer than any body":        func(e *event.TraceEvent) { e.RequestBody.Detach(); e.RequestBody.PlainLength = event.MaxBody + 1 },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := full()
			spoil(e)
			data, err := proto.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := event.Decode(subject, data); !errors.Is(err, event.ErrInvalid) {
				t.Errorf("Decode: %v, want ErrInvalid", err)
			}
		})
	}
	t.Run("not protobuf", func(t *testing.T) {
		t.Parallel()
		if _, err := event.Decode(subject, []byte("\xff\xff")); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("Decode: %v, want ErrInvalid", err)
		}
	})
	t.Run("too big", func(t *testing.T) {
		t.Parallel()
		if _, err := event.Decode(subject, make([]byte, event.MaxSize+1)); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("Decode: %v, want ErrInvalid", err)
		}
		e := full()
		e.RequestBody.Ciphertext, e.RequestBody.PlainLength = make([]byte, event.MaxSize), event.MaxSize-16
		if _, err := event.Marshal(e); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("Marshal: %v, want ErrInvalid", err)
		}
	})
}

// A field that a later version added is ignored, not refused.
func TestDecodeIgnoresUnknownFields(t *testing.T) {
	t.Parallel()
	data, err := event.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	later := append(data, 0xfa, 0x3f, 3, 'n', 'e', 'w') // field 1023, length-delimited
	if _, err := event.Decode(event.Subject(full()), later); err != nil {
		t.Errorf("Decode with an unknown field: %v", err)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	e := full()
	if n := e.DetachedBytes(); n != 0 {
		t.Errorf("%d bytes detached of an event that has all", n)
	}
	bodies := e.Bodies()
	if len(bodies) != 2 || bodies[0].Object != e.GetTraceId()+".request" || bodies[1].Object != e.GetTraceId()+".response" {
		t.Fatalf("bodies: %v", bodies)
	}
	ciphertext := e.GetResponseBody().GetCiphertext()
	bodies[1].Detach()
	if n := e.DetachedBytes(); n < int64(len(ciphertext)) || n != e.GetResponseBody().MaxLength() {
		t.Errorf("%d bytes detached, want at least %d", n, len(ciphertext))
	}
	if _, err := event.Marshal(e); err != nil {
		t.Error(err)
	}
	bodies[1].Attach(ciphertext)
	if diff := cmp.Diff(full(), e, protocmp.Transform(), protocmp.IgnoreFields(&event.SealedBody{}, "sha256")); diff != "" {
		t.Errorf("detached and attached (-want +got):\n%s", diff)
	}
	e.ResponseBody.PlainLength = event.MaxBody
	if n := e.GetResponseBody().MaxLength(); n < event.MaxBody+16 {
		t.Errorf("at most %d bytes for the largest body", n)
	}
	e.Drop(bodies[0])
	if bodies = e.Bodies(); len(bodies) != 1 || !strings.HasSuffix(bodies[0].Object, ".response") {
		t.Errorf("bodies without a request: %v", bodies)
	}
}

func TestParseSubject(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "loom.trace.v1.", "loom.trace.v1.acme", "loom.trace.v1.acme.", "loom.trace.v1..completed",
		"loom.trace.v2.acme.completed", "loom.trace.v1.acme.completed.more", "loom.trace.v1.Acme.completed", "loom.trace.v1.-a.completed",
	} {
		if _, _, err := event.ParseSubject(bad); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("ParseSubject(%q): %v, want ErrInvalid", bad, err)
		}
	}
	tenantID, kind, err := event.ParseSubject("loom.trace.v1.a_b-9.canceled")
	if tenantID != "a_b-9" || kind != "canceled" || err != nil {
		t.Errorf("got %q %q %v", tenantID, kind, err)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"ce-specversion": {"1.0"}, "ce-id": {"0192f0c1-8f7a-7c3b-9d2e-5a4b3c2d1e0f"}, "ce-type": {"loom.trace.v1"},
		"ce-source": {"/loom/gateway/gw-1/1790000000000000"}, "ce-subject": {"acme"}, "ce-time": {"2026-09-21T14:15:23.456789Z"},
		"content-type": {"application/protobuf"}, "loom-producer": {"gw-1/1790000000000000"}, "loom-seq": {"42"},
	}
	if diff := cmp.Diff(want, event.Headers(full())); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestModelPrefersWhatAnswered(t *testing.T) {
	t.Parallel()
	e := &event.TraceEvent{ModelRequested: "asked"}
	if got := e.Model(); got != "asked" {
		t.Errorf("got %q", got)
	}
	e.ModelUpstream = "renamed"
	if got := e.Model(); got != "renamed" {
		t.Errorf("got %q", got)
	}
	e.ModelAnswered = "dated"
	if got := e.Model(); got != "dated" {
		t.Errorf("got %q", got)
	}
}

// Whatever arrives: no panic, and what is accepted can be sent again and read the same.
func FuzzDecode(f *testing.F) {
	data, err := event.Marshal(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add("loom.trace.v1.acme.completed", data)
	if data, err = event.Marshal(detached()); err != nil {
		f.Fatal(err)
	}
	f.Add("loom.trace.v1.acme.completed", data)
	f.Add("loom.trace.v1.acme.failed", []byte{})
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		e, err := event.Decode(subject, data)
		if err != nil {
			if !errors.Is(err, event.ErrInvalid) {
				t.Fatalf("error %v is not ErrInvalid", err)
			}
			return
		}
		again, err := event.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := event.Decode(event.Subject(e), again); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkMarshal(b *testing.B) {
	e := full()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Marshal(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	e := full()
	data, err := event.Marshal(e)
	if err != nil {
		b.Fatal(err)
	}
	subject := event.Subject(e)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Decode(subject, data); err != nil {
			b.Fatal(err)
		}
	}
}
