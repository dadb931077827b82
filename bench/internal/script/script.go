// Package script says, from a seed alone, how one request is to go: what is asked, what
// the provider answers and how it misbehaves, what the answer costs, and whether the
// client leaves. The client and the provider make the same plan from the same seed.
package script

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Kind is how the provider behaves.
type Kind string

// The kinds of answers.
const (
	Answer    Kind = "answer"
	Slow      Kind = "slow"      // a whole answer, with pauses
	Long      Kind = "long"      // likewise, of many seconds
	Uncounted Kind = "uncounted" // a whole answer, without a usage that can be read
	Refused   Kind = "refused"   // status 429
	Broken    Kind = "broken"    // status 500
	Page      Kind = "page"      // status 502 with a page of HTML
	Cut       Kind = "cut"       // the connection drops in the middle
	Endless   Kind = "endless"   // all of a stream but its end marker; else a whole answer
	Garbage   Kind = "garbage"   // a stream that turns into garbage and ends; else status 500
	Complaint Kind = "complaint" // an error in the middle of a stream; else status 500
	Abandoned Kind = "abandoned" // the client leaves: at any time, or after so many events
	Halved    Kind = "halved"    // the client leaves before it has sent its request
	Lazy      Kind = "lazy"      // a whole answer, a long one, that the client reads slowly

	lateLeave = 300 * time.Millisecond // at most, of a client that leaves
	maxNoise  = 1 << 20
	longWords = 2000
)

// Kinds lists them.
func Kinds() []Kind {
	return []Kind{Answer, Slow, Long, Uncounted, Refused, Broken, Page, Cut, Endless, Garbage, Complaint, Abandoned, Halved, Lazy}
}

// Provider is the name the rig gives the scripted provider.
const Provider = "mock"

// Price of a model, in picodollars a token.
type Price struct{ Input, CachedInput, Output int64 }

// Prices are of the models that are asked for. They have no common divisor, so that a
// wrong count cannot come to the right sum.
func Prices() map[string]Price {
	return map[string]Price{
		"chaos-large": {Input: 2_500_003, CachedInput: 1_250_007, Output: 10_000_019},
		"chaos-small": {Input: 150_011, CachedInput: 75_013, Output: 600_023},
	}
}

// Usage is what the provider reports.
type Usage struct {
	Prompt, Cached, Completion int64 // Cached is part of Prompt
}

// Plan is one request.
type Plan struct {
	Seed     uint64
	Kind     Kind
	Model    string
	Stream   bool
	AskUsage bool // the client asks for usage in the stream
	Words    []string
	Pause    time.Duration // of the provider, between words, or before a plain answer
	Usage    Usage
	Tags     map[string]string // of the request: a few names, each with some values

	Leave      time.Duration // when the client leaves, if it is Abandoned; 0: it does not
	LeaveAfter int           // likewise, after how many events of a stream

	noise int // bytes that the request is longer
}

// words of answers: some need escaping in JSON, some more than a byte a letter.
var words = strings.Fields("loom warp weft \"shuttle\" heddle reed tréadle bobbin \\twill\\ selvage 織機 fringe sett harness knot")

// tagNames are those of tags; a request has most of them.
var tagNames = []string{"team", "feature", "größe \"x\""}

// New makes the plan of a seed. Every answer holds the canary.
func New(seed uint64, canary string) Plan {
	r := rand.New(rand.NewPCG(seed, 0x6c6f6f6d)) //nolint:gosec // must be repeatable, need not be secret
	p := Plan{Seed: seed, Kind: Answer, Model: "chaos-small", Stream: r.IntN(3) > 0, AskUsage: r.IntN(2) == 0}
	if r.IntN(3) == 0 {
		p.Model = "chaos-large"
	}
	n := 3 + r.IntN(40)
	if r.IntN(50) == 0 {
		n = longWords
	}
	for range n {
		p.Words = append(p.Words, words[r.IntN(len(words))]+" ")
	}
	p.Words[r.IntN(n)] = canary + " "
	p.Usage = Usage{Prompt: 10 + r.Int64N(5000), Completion: int64(n)}
	p.Usage.Cached = r.Int64N(p.Usage.Prompt)
	switch dice := r.IntN(100); {
	case dice < 10:
		p.Kind, p.Pause = Slow, time.Duration(1+r.IntN(60))*time.Millisecond
	case dice < 13:
		p.Kind = Refused
	case dice < 16:
		p.Kind = Broken
	case dice < 20:
		p.Kind = Cut
	case dice < 24:
		p.Kind, p.Pause = Abandoned, 20*time.Millisecond
		p.Leave = 1 + time.Duration(r.Int64N(int64(lateLeave)))
		if p.Stream && r.IntN(2) == 0 {
			p.Leave, p.LeaveAfter = 0, 1+r.IntN(n+2)
		}
	case dice < 25:
		p.Kind, p.Pause = Long, time.Duration(100+r.IntN(200))*time.Millisecond
	case dice < 29:
		p.Kind = [...]Kind{Page, Endless, Garbage, Complaint}[(dice-25)%4]
	case dice < 31:
		p.Kind = Uncounted
	case dice < 32:
		p.Kind = Halved
	case dice < 33:
		p.Kind = Lazy
		for len(p.Words) < longWords {
			p.Words = append(p.Words, words[r.IntN(len(words))]+" ")
		}
		p.Usage.Completion = longWords
	}
	if !p.Stream && p.Pause > 0 {
		p.Pause *= 20
	}
	p.Tags = make(map[string]string)
	for i, name := range tagNames {
		if r.IntN(4) > 0 {
			p.Tags[name] = words[r.IntN(3+4*i)]
		}
	}
	return p
}

// Grow makes the request long, by what no compression gets rid of.
func (p *Plan) Grow() {
	r := rand.New(rand.NewPCG(p.Seed, 0x6e6f697365)) //nolint:gosec // must be repeatable, need not be secret
	share := r.Float64()
	p.noise = int(share * share * maxNoise)
}

// Text is the whole answer.
func (p *Plan) Text() string { return strings.Join(p.Words, "") }

// Whole reports whether the provider gives a whole answer to a client that waits.
func (p *Plan) Whole() bool {
	switch p.Kind {
	case Answer, Slow, Long, Uncounted, Endless, Abandoned, Lazy:
		return true
	default:
		return false
	}
}

// Cost of the whole answer, in picodollars.
func (p *Plan) Cost() int64 {
	if p.Kind == Uncounted {
		return 0
	}
	price, u := Prices()[p.Model], p.Usage
	return (u.Prompt-u.Cached)*price.Input + u.Cached*price.CachedInput + u.Completion*price.Output
}

// SessionHeader carries a request's number into its trace, as its session: one of its own.
const SessionHeader = "X-Loom-Session-Id"

type request struct {
	Model         string            `json:"model"`
	Stream        bool              `json:"stream,omitempty"`
	StreamOptions map[string]bool   `json:"stream_options,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	Messages      []message         `json:"messages"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// noiseText is the same for the same plan.
func (p *Plan) noiseText() string {
	if p.noise == 0 {
		return ""
	}
	r := rand.NewChaCha8([32]byte(fmt.Appendf(make([]byte, 0, 32), "%032d", p.Seed)))
	b := make([]byte, p.noise)
	_, _ = r.Read(b) // never fails
	return " " + base64.StdEncoding.EncodeToString(b)
}

// Body of the request.
func (p *Plan) Body(canary string) ([]byte, error) {
	r := request{
		Model: p.Model, Stream: p.Stream, Metadata: p.Tags,
		Messages: []message{{Role: "user", Content: fmt.Sprintf("seed=%d %s", p.Seed, canary) + p.noiseText()}},
	}
	if p.Stream && p.AskUsage {
		r.StreamOptions = map[string]bool{"include_usage": true}
	}
	return json.Marshal(r)
}
