// Package link is a proxy on the way between two parts of a system, which does to them
// what networks do: connections are cut, bytes come late or slowly or not at all.
package link

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	chunk = 16 << 10
	ahead = 64 // chunks that are on their way in one direction; then the sender has to wait
)

// State is how bytes travel, both ways.
type State struct {
	Delay   time.Duration // how much later they come
	Rate    int           // of them come in a second; 0: as many as do
	Stalled bool          // none come, and nobody is told
}

// Link is a proxy that listens on loopback.
type Link struct {
	ln   net.Listener
	to   func() (network, address string)
	busy sync.Mutex // held during a disturbance
	all  sync.WaitGroup

	mu      sync.Mutex
	state   State
	changed chan struct{} // closed when state is another
	closed  bool
	pairs   map[*pair]bool
}

// pair is a connection and its other half.
type pair struct {
	client, server net.Conn
	done           chan struct{} // closed when one of them has ended
	once           sync.Once
}

// Listen makes a link to what to says at each connection.
func Listen(ctx context.Context, to func() (network, address string)) (*Link, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{ln: ln, to: to, changed: make(chan struct{}), pairs: make(map[*pair]bool)}
	l.all.Go(l.accept)
	return l, nil
}

// Addr is where it listens.
func (l *Link) Addr() string { return l.ln.Addr().String() }

// Cut resets all connections.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.end(reset)
	}
}

// During has bytes travel like this for a while, once others that asked for something
// like that have had theirs.
func (l *Link) During(ctx context.Context, s State, d time.Duration) {
	l.busy.Lock()
	defer l.busy.Unlock()
	l.set(s)
	defer l.set(State{})
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (l *Link) set(s State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Link) now() (State, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.changed
}

// Close ends everything and waits for it.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	err := l.ln.Close()
	l.Cut()
	l.all.Wait()
	return err
}

func (l *Link) accept() {
	for {
		client, err := l.ln.Accept()
		if err != nil {
			return // closed
		}
		l.all.Go(func() { l.serve(client) })
	}
}

// serve brings bytes to and fro until one side ends.
func (l *Link) serve(client net.Conn) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	network, address := l.to()
	server, err := d.DialContext(ctx, network, address)
	if err != nil {
		reset(client) // nobody there: as far as a proxy can say so
		return
	}
	p := &pair{client: client, server: server, done: make(chan struct{})}
	l.mu.Lock()
	l.pairs[p] = true
	if l.closed {
		p.end(reset)
	}
	l.mu.Unlock()
	var ways sync.WaitGroup
	ways.Go(func() { l.carry(p, client, server) })
	ways.Go(func() { l.carry(p, server, client) })
	ways.Wait()
	l.mu.Lock()
	delete(l.pairs, p)
	l.mu.Unlock()
}

// end ends both sides.
func (p *pair) end(how func(net.Conn)) {
	p.once.Do(func() {
		close(p.done)
		how(p.client)
		how(p.server)
	})
}

func shut(c net.Conn) { _ = c.Close() } // one that has ended is what it should be

func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // of one that has ended, nothing is left to reset
	}
	shut(c)
}

// parcel is bytes on their way; without any, the sender's end.
type parcel struct {
	data []byte
	at   time.Time
}

// carry brings what from sends to to, and ends the pair when one of them has ended.
func (l *Link) carry(p *pair, from, to net.Conn) {
	way := make(chan parcel, ahead)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(way)
		for {
			b := make([]byte, chunk)
			n, err := from.Read(b)
			select {
			case way <- parcel{b[:n], time.Now()}:
			case <-p.done:
				return
			}
			if err != nil {
				return
			}
		}
	})
	for c := range way {
		if err := l.bring(p, c, to); err != nil {
			break
		}
	}
	p.end(shut)
	reading.Wait()
}

var errEnded = errors.New("the connection has ended")

// bring writes a parcel when its time has come.
func (l *Link) bring(p *pair, c parcel, to net.Conn) error {
	for len(c.data) > 0 {
		s, changed := l.now()
		wait := time.Until(c.at.Add(s.Delay))
		piece := c.data
		if s.Rate > 0 {
			piece = piece[:min(len(piece), max(s.Rate/20, 1))]
			wait = max(wait, time.Duration(len(piece))*time.Second/time.Duration(s.Rate))
		}
		var after <-chan time.Time // never, when stalled
		if !s.Stalled {
			after = time.After(max(wait, 0))
		}
		select {
		case <-p.done:
			return errEnded
		case <-changed:
			continue
		case <-after:
		}
		if _, err := to.Write(piece); err != nil {
			return err
		}
		c.data = c.data[len(piece):]
	}
	return nil
}
