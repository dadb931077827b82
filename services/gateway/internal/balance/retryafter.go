package balance

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAsked bounds what a provider can ask for.
const maxAsked = 24 * time.Hour

// RetryAfter is how long the header asks callers to wait: retry-after-ms where there is
// one, else Retry-After in seconds or as a date. What cannot be read, or is over, is 0.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	if wait := number(h.Get("Retry-After-Ms"), time.Millisecond); wait > 0 {
		return wait
	}
	after := strings.TrimSpace(h.Get("Retry-After"))
	if wait := number(after, time.Second); wait > 0 {
		return wait
	}
	date, err := http.ParseTime(after)
	if err != nil {
		return 0
	}
	return min(max(0, date.Sub(now)), maxAsked)
}

// number reads a count of units, which some providers send with a fraction.
func number(s string, unit time.Duration) time.Duration {
	s = strings.TrimSpace(s)
	if strings.Trim(s, "0123456789.") != "" { // nor what else Go takes for a number
		return 0
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return time.Duration(min(n, float64(maxAsked/unit)) * float64(unit))
}
