package balance

import (
	"net/http"
	"time"

	"loom.internal/services/gateway/internal/failure"
)

// Result is how a call came out.
type Result struct {
	Class      string        // of package failure; empty is success
	Status     int           // the provider's; 0 when it sent none
	RetryAfter time.Duration // what the provider asked for, as RetryAfter reads it; 0 is nothing
	Begun      bool          // the client has got a part of this answer: it can be given no other
}

// guessedLimit is how long a provider that refuses calls for their rate, and names no
// time, is left alone while there is another.
const guessedLimit = time.Second

// next is what may follow a result.
type next int

const (
	stop      next = iota // the answer stands
	elsewhere             // another target; the same one would do the same again
	lastly                // another target, else the same one
	again                 // the same target, then another
)

// verdict is what follows from a result.
type verdict struct {
	counts  error // for the circuit
	next    next
	cool    time.Duration // for which the target is left alone
	guessed bool
}

// judge is the one table of what follows from what.
func judge(r Result) verdict {
	v := verdict{counts: errFailure}
	switch r.Class {
	case "":
		return verdict{}
	case failure.Unreachable, failure.Cut:
		v.next = again
	case failure.Timeout, failure.Idle:
		v.next = elsewhere // the provider may still be at work on it
	case failure.Credentials:
		v.next = elsewhere
	case failure.Upstream:
		v.next, v.cool = again, r.RetryAfter
	case failure.Truncated:
		v.next = stop
	case failure.RateLimited:
		v = verdict{errNothing, lastly, r.RetryAfter, false}
		if v.cool <= 0 {
			v.cool, v.guessed = guessedLimit, true
		}
	case failure.Unavailable:
		v = verdict{counts: errNothing, next: elsewhere}
	case failure.Rejected:
		v = rejected(r)
	default:
		// The client's or the gateway's own doing, or an error in an answer, of which
		// nobody can tell whose fault it is.
		v = verdict{counts: errNothing}
	}
	if r.Begun {
		v.next = stop
	}
	return v
}

// rejected is for statuses 400 to 499: most are the client's fault, everywhere.
func rejected(r Result) verdict {
	switch r.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return verdict{counts: errFailure, next: again, cool: r.RetryAfter}
	case http.StatusConflict: // held up by another request, as SDKs read it
		return verdict{counts: errNothing, next: again, cool: r.RetryAfter}
	case http.StatusPaymentRequired: // from the gateway's account, not from the client
		return verdict{counts: errFailure, next: elsewhere}
	default:
		return verdict{counts: errNothing}
	}
}
