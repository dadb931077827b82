package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/cmd/loom/internal/client"
	"loom.internal/pkg/manifest"
)

// serve is a dashboard that answers every request so, and the client of it.
func serve(t *testing.T, answer http.HandlerFunc) *client.Client {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL+"/", "the-key")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTenantsReadsEveryPage(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-key" || r.URL.Path != "/api/v1/admin/tenants" {
			t.Errorf("got %s %s with %q", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		if r.URL.Query().Get("cursor") == "" {
			fmt.Fprint(w, `{"items":[{"id":"a"},{"id":"b"}],"next_cursor":"b&"}`)
			return
		}
		fmt.Fprintf(w, `{"items":[{"id":"after %s"}],"next_cursor":null}`, r.URL.Query().Get("cursor"))
	})
	got, err := c.Tenants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]client.Tenant{{ID: "a"}, {ID: "b"}, {ID: "after b&"}}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"wrong key", 401, `{"error":{"code":"unauthorized","message":"no"}}`, "does not know this admin key: check LOOM_ADMIN_KEY"},
		{"tenant's key", 403, `{"error":{"code":"forbidden","message":"no"}}`, "this key is not an admin key"},
		{"conflict", 409, `{"error":{"code":"conflict","message":"there is one","request_id":"r1"}}`, "the dashboard answered 409: there is one (request r1)"},
		{"not Loom", 502, `<html>`, "the dashboard answered 502: Bad Gateway"},
		{"redirect", 302, ``, "the dashboard answered 302: Found"},
		{"not JSON", 200, `<html>`, "the answer is not Loom's, check the address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			cl := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				calls++
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			_, err := cl.RevokeKey(t.Context(), "id")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
			if calls != 1 {
				t.Errorf("%d calls, want 1", calls)
			}
		})
	}
}

func TestFaultsOfAManifest(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "dry_run=true" {
			t.Errorf("query: got %s", r.URL.RawQuery)
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":{"code":"invalid_manifest","message":"1 fault"},"faults":[{"path":"routes[0].model","message":"is missing"}]}`)
	})
	_, err := c.Apply(t.Context(), manifest.Manifest{}, true)
	refusal, ok := errors.AsType[*client.Error](err)
	if !ok {
		t.Fatalf("got %v, want a refusal", err)
	}
	if d := cmp.Diff([]manifest.Fault{{Path: "routes[0].model", Message: "is missing"}}, refusal.Faults); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "127.0.0.1:8081", "ftp://h", "http://"} {
		if _, err := client.New(base, "k"); err == nil {
			t.Errorf("%q: got no error", base)
		}
	}
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	c, err := client.New(srv.URL, "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Tenants(t.Context()); !errors.Is(err, client.ErrNotConnected) || !strings.Contains(err.Error(), "--dashboard-url") {
		t.Errorf("got %v, want ErrNotConnected and what to do", err)
	}
}
