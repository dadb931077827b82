package anthropic_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func files(t *testing.T, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: no files (%v)", pattern, err)
	}
	contents := make(map[string][]byte)
	for _, p := range paths {
		b, err := os.ReadFile(filepath.Clean(p))
		if err != nil {
			t.Fatal(err)
		}
		contents[strings.TrimSuffix(p, filepath.Ext(p))] = b
	}
	return contents
}

// indented is JSON for people to read; digits, order and escapes stay.
func indented(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return append(out.Bytes(), '\n')
}

func TestGoldenRequests(t *testing.T) {
	t.Parallel()
	for name, body := range files(t, "testdata/requests/*.json") {
		u := &upstream{}
		if _, fault := chat(t, u, string(body)); fault != nil {
			t.Errorf("%s: %v", name, fault)
			continue
		}
		golden(t, name+".golden", indented(t, u.sent))
	}
}

func TestGoldenAnswers(t *testing.T) {
	t.Parallel()
	for name, body := range files(t, "testdata/answers/*.json") {
		u := &upstream{body: bytes.NewReader(body), header: map[string][]string{"Content-Type": {"application/json"}, "Content-Length": {"9"}}}
		resp, got, err := translated(t, u, plain)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden(t, name+".completion.golden", indented(t, got))
		if h := resp.Header; h.Get("Content-Length") != "" || h.Get("Content-Type") != "application/json" || resp.ContentLength != -1 {
			t.Errorf("%s: header %v, length %d", name, h, resp.ContentLength)
		}
	}
}

func TestGoldenStreams(t *testing.T) {
	t.Parallel()
	for name, body := range files(t, "testdata/answers/*.sse") {
		_, got, err := translated(t, sseOf(body), streaming)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden(t, name+".chunks.golden", got)
	}
}
