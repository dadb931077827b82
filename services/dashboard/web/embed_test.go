package web_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"loom.internal/services/dashboard/web"
)

const page = `<!doctype html><base href="/" /><script src="./assets/app-1a2b.js"></script>`

func build() fstest.MapFS {
	return fstest.MapFS{
		".gitkeep":                 {},
		"index.html":               {Data: []byte(page)},
		"theme.js":                 {Data: []byte("plain theme")},
		"assets/app-1a2b.js":       {Data: []byte("plain app")},
		"assets/app-1a2b.js.gz":    {Data: []byte("packed app")},
		"assets/inter-3c4d.woff2":  {Data: []byte("font")},
		"assets/style-5e6f.css":    {Data: []byte("plain style")},
		"assets/style-5e6f.css.gz": {Data: []byte("packed style")},
	}
}

func get(t *testing.T, h http.Handler, path string, header ...string) *http.Response {
	t.Helper()
	return do(t, h, http.MethodGet, path, header...)
}

func do(t *testing.T, h http.Handler, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPaths(t *testing.T) {
	t.Parallel()
	h := web.NewSite(build(), "/")
	for _, tc := range []struct {
		name, path string
		status     int
		body       string
	}{
		{"root", "/", 200, page},
		{"index by name", "/index.html", 200, page},
		{"a page of the UI", "/traces", 200, page},
		{"a trace", "/traces/0196e1d2-7c8b-7d6a-9f00-5a1b2c3d4e5f", 200, page},
		{"a page that only starts like the API", "/apikeys", 200, page},
		{"asset", "/assets/app-1a2b.js", 200, "plain app"},
		{"file beside the page", "/theme.js", 200, "plain theme"},
		{"missing asset", "/assets/app-old.js", 404, ""},
		{"missing asset without extension", "/assets/app", 404, ""},
		{"missing file", "/favicon.ico", 404, ""},
		{"API", "/api/v1/nothing", 404, ""},
		{"API root", "/api", 404, ""},
		{"hidden file", "/.gitkeep", 404, ""},
		{"compressed form by name", "/assets/app-1a2b.js.gz", 404, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := get(t, h, tc.path)
			if r.StatusCode != tc.status {
				t.Fatalf("got status %d, want %d", r.StatusCode, tc.status)
			}
			if got := text(t, r); tc.status == 200 && got != tc.body {
				t.Errorf("got body %q, want %q", got, tc.body)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	h := web.NewSite(build(), "")
	const immutable = "public, max-age=31536000, immutable"
	for _, tc := range []struct{ path, contentType, cache, policy string }{
		{"/", "text/html; charset=utf-8", "no-cache", web.ContentSecurityPolicy},
		{"/overview", "text/html; charset=utf-8", "no-cache", web.ContentSecurityPolicy},
		{"/theme.js", "text/javascript; charset=utf-8", "no-cache", web.ContentSecurityPolicy},
		{"/assets/app-1a2b.js", "text/javascript; charset=utf-8", immutable, web.ContentSecurityPolicy},
		{"/assets/style-5e6f.css", "text/css; charset=utf-8", immutable, ""},
		{"/assets/inter-3c4d.woff2", "font/woff2", immutable, ""},
	} {
		t.Run(tc.path, func(t *testing.T) {
			t.Parallel()
			got := get(t, h, tc.path).Header
			for name, want := range map[string]string{
				"Content-Type": tc.contentType, "Cache-Control": tc.cache,
				"Content-Security-Policy": tc.policy, "X-Content-Type-Options": "nosniff",
			} {
				if got.Get(name) != want {
					t.Errorf("%s: got %q, want %q", name, got.Get(name), want)
				}
			}
		})
	}
}

func TestCompression(t *testing.T) {
	t.Parallel()
	h := web.NewSite(build(), "")
	for _, tc := range []struct{ accept, encoding, body string }{
		{"gzip, deflate, br", "gzip", "packed app"},
		{"br;q=1, GZIP;q=0.5", "gzip", "packed app"},
		{"", "", "plain app"},
		{"br", "", "plain app"},
		{"gzip;q=0", "", "plain app"},
		{"gzip;q=none", "", "plain app"},
	} {
		r := get(t, h, "/assets/app-1a2b.js", "Accept-Encoding", tc.accept)
		if got := r.Header.Get("Content-Encoding"); got != tc.encoding {
			t.Errorf("Accept-Encoding %q: got encoding %q, want %q", tc.accept, got, tc.encoding)
		}
		if got := text(t, r); got != tc.body {
			t.Errorf("Accept-Encoding %q: got body %q, want %q", tc.accept, got, tc.body)
		}
		if got := r.Header.Get("Vary"); got != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: got Vary %q", tc.accept, got)
		}
	}
	packed, err := gzip.NewReader(get(t, h, "/", "Accept-Encoding", "gzip").Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(packed); err != nil || string(got) != page {
		t.Errorf("compressed page: got %q, %v, want %q", got, err, page)
	}
}

func TestUnchangedPageIsNotSentAgain(t *testing.T) {
	t.Parallel()
	h := web.NewSite(build(), "")
	plain := get(t, h, "/").Header.Get("ETag")
	packed := get(t, h, "/", "Accept-Encoding", "gzip").Header.Get("ETag")
	if plain == "" || plain == packed {
		t.Fatalf("got ETags %q and %q, want two", plain, packed)
	}
	if r := get(t, h, "/traces", "If-None-Match", plain); r.StatusCode != http.StatusNotModified {
		t.Errorf("got status %d, want 304", r.StatusCode)
	}
}

func TestBasePath(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"/loom", "loom/", "/loom/"} {
		h := web.NewSite(build(), given)
		if got := text(t, get(t, h, "/loom/traces")); !strings.Contains(got, `<base href="/loom/"`) {
			t.Errorf("%s: got page %q, want its base /loom/", given, got)
		}
		if got := text(t, get(t, h, "/loom/assets/app-1a2b.js")); got != "plain app" {
			t.Errorf("%s: got asset %q", given, got)
		}
		r := get(t, h, "/loom")
		if r.StatusCode != http.StatusPermanentRedirect || r.Header.Get("Location") != "/loom/" {
			t.Errorf("%s: got %d to %q, want a redirect to /loom/", given, r.StatusCode, r.Header.Get("Location"))
		}
		for _, outside := range []string{"/", "/assets/app-1a2b.js", "/loomy", "/loom/api/v1/me"} {
			if r := get(t, h, outside); r.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %s: got status %d, want 404", given, outside, r.StatusCode)
			}
		}
	}
}

func TestOnlyReads(t *testing.T) {
	t.Parallel()
	h := web.NewSite(build(), "")
	r := do(t, h, http.MethodPost, "/")
	if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: got %d, Allow %q", r.StatusCode, r.Header.Get("Allow"))
	}
	if r := do(t, h, http.MethodHead, "/"); r.StatusCode != http.StatusOK || text(t, r) != "" {
		t.Errorf("HEAD: got %d with a body or not 200", r.StatusCode)
	}
}

func TestPlaceholder(t *testing.T) {
	t.Parallel()
	h := web.NewSite(fstest.MapFS{".gitkeep": {}}, "/")
	r := get(t, h, "/overview")
	if got := text(t, r); r.StatusCode != http.StatusOK || !strings.Contains(got, "make web") {
		t.Errorf("got %d %q, want the page that says how to build the UI", r.StatusCode, got)
	}
	if got := r.Header.Get("Content-Security-Policy"); !strings.Contains(got, "style-src 'sha256-") {
		t.Errorf("got policy %q, want one that allows its style", got)
	}
	if r := get(t, h, "/assets/app.js"); r.StatusCode != http.StatusNotFound {
		t.Errorf("asset: got status %d, want 404", r.StatusCode)
	}
}

// The real files. A release sets LOOM_REQUIRE_UI=1, so that it cannot ship without them.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	h := web.Handler("/")
	body := text(t, get(t, h, "/"))
	if !web.Built() {
		if required, _ := os.LookupEnv("LOOM_REQUIRE_UI"); required == "1" {
			t.Fatal("dist/index.html is not there and LOOM_REQUIRE_UI=1: run make web")
		}
		if !strings.Contains(body, "make web") {
			t.Errorf("not built: got %q, want the placeholder", body)
		}
		return
	}
	found := regexp.MustCompile(`(?:src|href)="\./([^"]+)"`).FindAllStringSubmatch(body, -1)
	if len(found) < 3 {
		t.Fatalf("the page names %d files, want its script, its style and its theme at least:\n%s", len(found), body)
	}
	for _, m := range found {
		r := get(t, h, "/"+m[1], "Accept-Encoding", "gzip")
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s: got status %d, want 200: the page names a file that is not embedded", m[1], r.StatusCode)
		}
		if strings.HasPrefix(m[1], "assets/") && r.Header.Get("Content-Encoding") != "gzip" && !strings.HasSuffix(m[1], ".woff2") {
			t.Errorf("%s is not compressed", m[1])
		}
	}
	if strings.Contains(body, "<style") || regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(body) {
		t.Error("the page has inline script or style, which its policy forbids")
	}
}
