// Package load offers requests at a rate over real HTTP connections, and enters in the
// ledger what came of each. It tries nothing twice.
package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"loom.internal/bench/internal/ledger"
	"loom.internal/bench/internal/script"
)

const (
	maxOpen   = 512 // requests at a time; a slot that finds no room is waited for
	patience  = 30 * time.Second
	maxAnswer = 4 << 20
	maxEvent  = 1 << 20

	// A lazy client takes about 200 KB a second, and its kernel holds little for it.
	lazyPause  = 20 * time.Millisecond
	lazyBuffer = 4 << 10
)

// Client is who asks.
type Client struct{ Tenant, Key string }

// Options of Run.
type Options struct {
	Gateways []string // base URLs, asked in turn
	Clients  []Client // likewise
	Canary   string
	Seed     uint64  // of the first request; the next has the next
	Rate     float64 // requests a second
	Bulky    int     // one request in so many is long; 0: none
	Ledger   *ledger.Ledger

	// More is asked before each request, with the number of those before it.
	More func(offered int) bool
}

// Run offers load until there is no more or ctx ends, and returns when the last answer
// has ended.
func Run(ctx context.Context, o Options) {
	eager := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxOpen, DisableCompression: true}}
	defer eager.CloseIdleConnections()
	lazy := &http.Client{Transport: &http.Transport{DialContext: dialLazily, DisableKeepAlives: true, DisableCompression: true}}
	defer lazy.CloseIdleConnections()
	var open sync.WaitGroup
	defer open.Wait()
	room := make(chan struct{}, maxOpen)
	tick := time.NewTicker(time.Duration(float64(time.Second) / o.Rate))
	defer tick.Stop()
	for n := 0; o.More(n); n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		open.Go(func() {
			o.Ledger.Add(o.one(context.WithoutCancel(ctx), eager, lazy, n))
			<-room
		})
	}
}

// one makes request n.
func (o *Options) one(ctx context.Context, eager, lazy *http.Client, n int) ledger.Line {
	p := script.New(o.Seed+uint64(n), o.Canary) //nolint:gosec // n counts up
	who := o.Clients[n%len(o.Clients)]
	line := ledger.Line{
		ID: fmt.Sprintf("r%08d", n), Seed: p.Seed, Tenant: who.Tenant, Kind: p.Kind, Stream: p.Stream, At: time.Now(),
		Prompt: p.Usage.Prompt, Output: p.Usage.Completion, Cost: p.Cost(),
	}
	c, limit := eager, patience
	if p.Kind == script.Lazy {
		c = lazy
	}
	if p.Leave > 0 {
		limit = p.Leave
	}
	if o.Bulky > 0 && n%o.Bulky == 0 {
		p.Grow()
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := o.ask(ctx, c, &p, who, &line, o.Gateways[n/len(o.Clients)%len(o.Gateways)]); err != nil {
		line.Fault = err.Error()
	}
	return line
}

func (o *Options) ask(ctx context.Context, c *http.Client, p *script.Plan, who Client, line *ledger.Line, base string) error {
	body, err := p.Body(o.Canary)
	if err != nil {
		return err
	}
	line.Asked = ledger.DigestOf(string(body))
	var from io.Reader = bytes.NewReader(body)
	if p.Kind == script.Halved {
		from = io.MultiReader(bytes.NewReader(body[:len(body)/2]), broken{errHalved})
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", from)
	if err != nil {
		return err
	}
	req.GetBody, req.ContentLength = nil, int64(len(body)) // or the transport might send it a second time
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+who.Key)
	req.Header.Set(script.SessionHeader, line.ID)
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	line.Status, line.First, line.TraceID = resp.StatusCode, time.Since(line.At), resp.Header.Get("X-Loom-Trace-Id")
	read := readPlain
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media == "text/event-stream" {
		read = readStream
	}
	from = resp.Body
	if p.Kind == script.Lazy {
		from = slow{from}
	}
	text, err := read(from, resp.StatusCode, p.LeaveAfter)
	if err != nil {
		return err
	}
	line.Ended = true
	if line.Answered() {
		line.Text, line.Wrong = ledger.DigestOf(text), text != p.Text()
	}
	return nil
}

// answer is what is read of a completion or of a chunk of one.
type answer struct {
	Choices []struct {
		Message, Delta struct {
			Content string `json:"content"`
		}
	} `json:"choices"`
	Error json.RawMessage `json:"error"`
}

// Text of a whole completion.
func Text(completion []byte) (string, error) {
	var a answer
	if err := json.Unmarshal(completion, &a); err != nil {
		return "", err
	}
	if len(a.Choices) != 1 {
		return "", fmt.Errorf("answer has %d choices", len(a.Choices))
	}
	return a.Choices[0].Message.Content, nil
}

func readPlain(r io.Reader, status, _ int) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer))
	if err != nil || status != http.StatusOK {
		return "", err
	}
	return Text(b)
}

var (
	errNoEnd  = errors.New("the stream ended without its end marker")
	errHalved = errors.New("the client broke off its request")
	errLeft   = errors.New("the client left the stream")
)

func dialLazily(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetReadBuffer(lazyBuffer)
	}
	return conn, err
}

// slow is a reader that takes its time.
type slow struct{ r io.Reader }

func (s slow) Read(b []byte) (int, error) {
	<-time.After(lazyPause)
	return s.r.Read(b[:min(len(b), lazyBuffer)])
}

// broken is a reader that fails.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// readStream reads a stream up to its end marker, and then to its end if it comes. It
// leaves after so many events, if that is not 0.
func readStream(r io.Reader, _, leave int) (string, error) {
	events := 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvent)
	var text strings.Builder
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		if string(data) == "[DONE]" {
			_, _ = io.Copy(io.Discard, r) // so that the connection can be used again
			return text.String(), nil
		}
		if events++; leave > 0 && events > leave {
			return "", errLeft
		}
		var a answer
		if err := json.Unmarshal(data, &a); err != nil {
			return "", fmt.Errorf("event: %w", err)
		}
		if a.Error != nil {
			return "", errors.New("the stream ended with an error event")
		}
		for _, c := range a.Choices {
			text.WriteString(c.Delta.Content)
		}
	}
	return "", errors.Join(lines.Err(), errNoEnd)
}
