package gateway_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/testkit"
	"loom.internal/services/gateway"
	"loom.internal/services/gateway/internal/record"
	"loom.internal/services/gateway/internal/spool"
)

// BenchmarkOverhead calls one upstream directly and through the gateway, over
// loopback; the difference is what the gateway costs.
func BenchmarkOverhead(b *testing.B) {
	text := strings.Repeat("lorem ipsum ", 160) // 2 KB each way
	answer := strings.Replace(whole, "hello", text, 1)
	request := strings.Replace(asked, `"hi"`, `"`+text+`"`, 1)
	up := testkit.Upstream(b, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	})
	w := start(b, setup{upstream: up.URL})
	for name, url := range map[string]string{"direct": up.URL, "gateway": w.url} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var took []time.Duration
			for b.Loop() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url+"/chat/completions", strings.NewReader(request))
				w.must(err)
				req.Header.Set("Authorization", "Bearer "+w.key)
				begin := time.Now()
				resp, err := w.client.Do(req)
				w.must(err)
				if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(len(answer)) {
					b.Fatal(n, err)
				}
				_ = resp.Body.Close()
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
	fmt.Printf("own time by the gateway's metric: mean %.0f µs\n", w.overhead())
}

// BenchmarkSealing calls a gateway whose answers are of 2 KB and 10 KB, and between the
// calls seals what it sealed: the request compressed, the answer as it is and compressed.
// Beside the whole request stands what of it the gateway spent itself.
func BenchmarkSealing(b *testing.B) {
	for _, size := range []int{2 << 10, 10 << 10} {
		answer, request := []byte(strings.Replace(whole, "hello", prose(size), 1)), strings.Replace(asked, "hi", prose(2<<10), 1)
		up := testkit.Upstream(b, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer)
		})
		b.Run(fmt.Sprintf("%dK", size>>10), func(b *testing.B) {
			w := start(b, setup{upstream: up.URL, change: func(c *gateway.Config) { c.SpoolMaxBytes = 16 << 30 }})
			kinds := []struct {
				name  string
				field envelope.Field
				body  []byte
				codec envelope.Codec
				took  []time.Duration
			}{
				{"seal-request", envelope.FieldRequest, []byte(request), envelope.Zstd, nil},
				{"seal-answer-identity", envelope.FieldResponse, answer, envelope.Identity, nil},
				{"seal-answer-zstd", envelope.FieldResponse, answer, envelope.Zstd, nil},
			}
			var whole []time.Duration
			for b.Loop() {
				begin := time.Now()
				if a := w.chat(request); a.status != http.StatusOK || a.err != nil {
					b.Fatal(a)
				}
				whole = append(whole, time.Since(begin))
				for i := range kinds {
					k := &kinds[i]
					begin := time.Now()
					key, err := w.data["acme"].Trace("019a0000-0000-7000-8000-000000000001")
					w.must(err)
					_, err = key.Seal(k.field, k.body, k.codec)
					w.must(err)
					k.took = append(k.took, time.Since(begin))
				}
			}
			b.ReportMetric(0, "ns/op") // of all of them: says nothing
			b.ReportMetric(median(whole), "request-p50-us")
			b.ReportMetric(w.overhead(), "own-mean-us") // on a machine with other work mostly waiting for a processor
			for _, k := range kinds {
				b.ReportMetric(median(k.took), k.name+"-p50-us")
				b.ReportMetric(100*median(k.took)/median(whole), k.name+"-%-of-request")
			}
		})
	}
}

// prose is text that compresses about as what people and models write does.
func prose(n int) string {
	words := strings.Fields("the of gateway and model answers a question about weather in Prague tomorrow while some other tool is called with arguments that hold numbers")
	var b strings.Builder
	for r := rand.New(rand.NewPCG(1, 1)); b.Len() < n; {
		fmt.Fprintf(&b, "%s%d ", words[r.IntN(len(words))], r.IntN(16))
	}
	return b.String()[:n]
}

func median(took []time.Duration) float64 {
	slices.Sort(took)
	return float64(took[len(took)/2].Nanoseconds()) / 1e3
}

// overhead is the mean time, in microseconds, that requests spent in the gateway itself.
func (w *world) overhead() float64 {
	w.tb.Helper()
	families, err := w.metrics.Gather()
	w.must(err)
	for _, f := range families {
		if f.GetName() == "loom_gateway_overhead_seconds" {
			h := f.GetMetric()[0].GetHistogram()
			return 1e6 * h.GetSampleSum() / float64(h.GetSampleCount())
		}
	}
	w.tb.Fatal("no metric of the overhead")
	return 0
}

// BenchmarkSpool calls gateways in turn, with the same request: one whose spool is full, so
// that by best effort it keeps no trace, and one of each durability.
func BenchmarkSpool(b *testing.B) {
	up := testkit.Upstream(b, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, whole)
	})
	change := func(f func(*gateway.Config)) *world { return start(b, setup{upstream: up.URL, change: f}) }
	off := change(func(c *gateway.Config) {
		c.SpoolMaxBytes, c.CaptureLimit, c.TracePolicy = 16<<20, 512<<10, record.BestEffort
	})
	untraced := func() float64 { return off.metric("loom_untraced_total") }
	off.fillSpool(func(answer) bool { return untraced() > 0 })
	for n := untraced(); untraced() < n+10; {
		off.chat(asked)
	}
	kinds := []struct {
		name string
		w    *world
		took []time.Duration
	}{
		{"off", off, nil},
		{"process", change(func(c *gateway.Config) { c.SpoolMaxBytes, c.CaptureLimit = 16<<30, 512<<10 }), nil},
		{"power", change(func(c *gateway.Config) { c.SpoolMaxBytes, c.CaptureLimit, c.Durability = 16<<30, 512<<10, spool.Power }), nil},
	}
	before, requests := untraced(), 0.0
	for b.Loop() {
		requests++
		for i := range kinds {
			begin := time.Now()
			if a := kinds[i].w.chat(asked); a.status != http.StatusOK || a.err != nil {
				b.Fatal(a)
			}
			kinds[i].took = append(kinds[i].took, time.Since(begin))
		}
	}
	if got := untraced() - before; got != requests {
		b.Errorf("without a trace: %v of %v requests", got, requests)
	}
	b.ReportMetric(0, "ns/op") // of three requests: says nothing
	for _, k := range kinds {
		slices.Sort(k.took)
		b.ReportMetric(float64(k.took[len(k.took)/2].Microseconds()), k.name+"-p50-us")
		b.ReportMetric(float64(k.took[len(k.took)*99/100].Microseconds()), k.name+"-p99-us")
	}
}
