package azure_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"loom.internal/pkg/catalog"
	"loom.internal/services/gateway/internal/provider/azure"
	"loom.internal/services/gateway/internal/provider/call"
)

// inside is a transport to an Azure and an Entra within a bubble of fake time.
type inside struct {
	expires string        // in seconds, as JSON; empty: not told
	takes   time.Duration // for a token

	mu    sync.Mutex
	down  bool
	asked []time.Time
	used  []string
}

func (s *inside) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.Contains(r.URL.Path, "/oauth2/") {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.used = append(s.used, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		return reply(r, "{}"), nil
	}
	s.mu.Lock()
	s.asked = append(s.asked, time.Now())
	text := fmt.Sprintf(`{"access_token":"t%d"`, len(s.asked))
	s.mu.Unlock()
	select {
	case <-time.After(s.takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down:
		return nil, errAway
	case s.expires != "":
		text += `,"expires_in":` + s.expires
	}
	return reply(r, text+"}"), nil
}

var errAway = errors.New("no route to host")

func reply(r *http.Request, body string) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}
}

func (s *inside) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// tokens is how many were asked for.
func (s *inside) tokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func (s *inside) client(t *testing.T) *azure.Client {
	t.Helper()
	c, err := azure.New(azure.Options{
		Base: parse(t, "https://x.openai.azure.com"), Secret: clientSecret, Transport: s,
		Entra: &catalog.Entra{TenantID: tenantID, ClientID: clientID},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func once(ctx context.Context, c *azure.Client) error {
	resp, err := c.Send(ctx, chat(""))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// A token is renewed ahead of its end, and no call waits for that.
func TestTokenIsRenewedAhead(t *testing.T) {
	t.Parallel()
	for expires, life := range map[string]time.Duration{
		"3599": 3599 * time.Second, `"3599"`: 3599 * time.Second, "60": time.Minute, "": 5 * time.Minute, "999999999": 24 * time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &inside{expires: expires, takes: time.Second}
			c := s.client(t)
			defer c.Close()
			start := time.Now()
			for time.Since(start) < 3*life {
				before := time.Now()
				if err := once(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(before); waited > 0 && !before.Equal(start) {
					t.Fatalf("after %s: a call waited %s", before.Sub(start), waited)
				}
				<-time.After(life / 50)
				synctest.Wait()
			}
			if n := len(s.asked); n < 4 || n > 5 {
				t.Errorf("expires %s: %d tokens in three lives, want 4", expires, n)
			}
			for i, at := range s.asked[1:] {
				if age := at.Sub(s.asked[i]); age < life*7/10 || age > life*9/10 {
					t.Errorf("expires %s: token renewed after %s of %s", expires, age, life)
				}
			}
		})
	}
}

// While Entra is away a good token is used to its end; then calls fail without waiting
// for it each, and go on soon after it is back.
func TestTokenOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &inside{expires: "1000"}
		c := s.client(t)
		defer c.Close()
		start := time.Now()
		var failedAfter, backAfter time.Duration
		for age := time.Duration(0); age < 1200*time.Second; age = time.Since(start) {
			s.set(age >= 10*time.Second && age < 1100*time.Second)
			switch err := once(t.Context(), c); {
			case err != nil && (!errors.Is(err, call.ErrSignIn) || !errors.Is(err, errAway) || errors.Is(err, call.ErrCredentials)):
				t.Fatalf("after %s: %v", age, err)
			case err != nil && failedAfter == 0:
				failedAfter = age
			case err == nil && failedAfter > 0 && backAfter == 0:
				backAfter = age
			}
			<-time.After(100 * time.Millisecond)
			synctest.Wait()
		}
		if failedAfter != 950*time.Second {
			t.Errorf("first failure after %s, want 950s", failedAfter)
		}
		if backAfter < 1100*time.Second || backAfter > 1101*time.Second {
			t.Errorf("back after %s, want within a second of 1100s", backAfter)
		}
		// Each 10 s while the token is good, each second without one.
		if n := s.tokens(); n < 1+20+140 || n > 1+21+160 {
			t.Errorf("Entra asked %d times", n)
		}
	})
}

func TestOneFetchForAllAndNoneOfTheirs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &inside{expires: "3600", takes: 5 * time.Second}
		c := s.client(t)
		defer c.Close()
		impatient, cancel := context.WithTimeoutCause(t.Context(), time.Second, errImpatient)
		defer cancel()
		results := make(chan error, 100)
		go func() { results <- once(impatient, c) }() // the first, whose leaving must not break the fetch off
		synctest.Wait()
		for range 99 {
			go func() { results <- once(t.Context(), c) }()
		}
		start := time.Now()
		if err := <-results; !errors.Is(err, errImpatient) || time.Since(start) != time.Second {
			t.Errorf("who leaves: got %v after %s", err, time.Since(start))
		}
		for range 99 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if s.tokens() != 1 || len(s.used) != 99 {
			t.Errorf("%d tokens for %d calls, want 1 for 99", s.tokens(), len(s.used))
		}
	})
}

var errImpatient = errors.New("no time")

func TestEntraThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &inside{takes: time.Hour}
		c := s.client(t)
		defer c.Close()
		start := time.Now()
		err := once(t.Context(), c)
		timeout, ok := errors.AsType[net.Error](err)
		if !ok || !timeout.Timeout() || !errors.Is(err, call.ErrSignIn) || time.Since(start) != 10*time.Second {
			t.Errorf("after %s: got %v, want a timeout after 10s", time.Since(start), err)
		}
	})
}

func TestCloseEndsTheRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &inside{expires: "100"}
		c := s.client(t)
		if err := once(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		<-time.After(80 * time.Second)
		s.takes = 5 * time.Second
		if err := once(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		_ = c.Close()
		if s.tokens() != 2 || time.Since(start) != 0 {
			t.Errorf("%d tokens asked for, closed after %s; want 2, at once", s.tokens(), time.Since(start))
		}
		<-time.After(80 * time.Second)
		if err := once(t.Context(), c); !errors.Is(err, call.ErrSignIn) {
			t.Errorf("after Close: got %v", err)
		}
	})
}
