package azure

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"loom.internal/services/gateway/internal/provider/call"
)

const (
	fetchTimeout   = 10 * time.Second
	renewAfter     = 0.75             // of a token's life: Entra's live for an hour or more, which leaves time for an outage
	waitAhead      = 10 * time.Second // between tries to renew a token that is still good
	waitWithout    = time.Second      // between tries to get one at all
	waitRefused    = 10 * time.Second // between tokens given up because Azure refused them: it may have another reason
	maxLife        = 24 * time.Hour
	lifeUnknown    = 5 * time.Minute // of a token that does not tell
	earlier        = 0.05            // of a token's life: so much before its end it is not sent any more
	theOnlyFlight  = ""
	maxTokenLength = 16 << 10
)

var errClosed = fmt.Errorf("%w: the client is closed", call.ErrSignIn)

// token is an access token. Its times have a monotonic reading, so that a clock which is
// set does not make it older or younger.
type token struct {
	text    string
	got     time.Time
	renew   time.Time // from then on another is fetched while this one is used
	expires time.Time
}

func newToken(text string, got time.Time, life time.Duration) token {
	life = min(life, maxLife)
	part := func(f float64) time.Time { return got.Add(time.Duration(float64(life) * f)) }
	return token{text: text, got: got, renew: part(renewAfter), expires: part(1 - earlier)}
}

// tokens keeps an access token and fetches the next one ahead of its end, one fetch at a
// time. A fetch belongs to nobody in particular: it has a time limit of its own.
type tokens struct {
	fetch  func(ctx context.Context) (token, error)
	flight singleflight.Group

	mu      sync.Mutex
	have    token
	givenUp string    // the token last given up before its time
	forced  time.Time // when that was
	failed  time.Time
	failure error // of the last fetch; nil when it worked
	cancel  context.CancelFunc
	closed  bool
}

// get is a token that is good as far as its times tell.
func (t *tokens) get(ctx context.Context) (string, error) {
	now := time.Now()
	t.mu.Lock()
	have, failure, failed := t.have, t.failure, t.failed
	t.mu.Unlock()
	switch {
	case now.Before(have.renew):
		return have.text, nil
	case now.Before(have.expires):
		if failure == nil || now.Sub(failed) >= waitAhead {
			t.start(ctx)
		}
		return have.text, nil
	case failure != nil && now.Sub(failed) < waitWithout:
		return "", failure
	}
	return t.wait(ctx)
}

// replace is a token other than the one that was refused, if it is worth to try with one.
func (t *tokens) replace(ctx context.Context, refused string) (string, bool) {
	now := time.Now()
	t.mu.Lock()
	another, enough := t.have.text != refused, false
	switch {
	case another:
	case t.givenUp == refused: // another call has begun to replace it
		enough = t.failure != nil && t.failed.After(t.forced)
	case !t.forced.IsZero() && now.Sub(t.forced) < waitRefused:
		enough = true
	default:
		t.givenUp, t.forced, t.have.renew = refused, now, now
	}
	t.mu.Unlock()
	if enough {
		return "", false
	}
	next := t.wait
	if another {
		next = t.get
	}
	text, err := next(ctx)
	return text, err == nil && text != refused
}

// wait is the token of the fetch that is under way, or of a new one.
func (t *tokens) wait(ctx context.Context) (string, error) {
	select {
	case r := <-t.start(ctx):
		text, _ := r.Val.(string)
		return text, r.Err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (t *tokens) start(ctx context.Context) <-chan singleflight.Result {
	return t.flight.DoChan(theOnlyFlight, func() (any, error) { return t.refresh(context.WithoutCancel(ctx)) })
}

// refresh fetches a token, unless that has just been done.
func (t *tokens) refresh(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	t.mu.Lock()
	have, closed := t.have, t.closed
	t.cancel = cancel
	t.mu.Unlock()
	switch {
	case closed:
		return "", errClosed
	case time.Now().Before(have.renew):
		return have.text, nil
	}
	fetched, err := t.fetch(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failure = err; err != nil {
		t.failed = time.Now()
		return "", err
	}
	t.have = fetched
	return fetched.text, nil
}

// close ends a fetch and waits for its end.
func (t *tokens) close() {
	t.mu.Lock()
	t.closed = true
	cancel := t.cancel
	t.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	<-t.flight.DoChan(theOnlyFlight, func() (any, error) { return "", errClosed })
}
