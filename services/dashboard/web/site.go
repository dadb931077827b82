package web

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

const (
	index  = "index.html"
	assets = "assets/" // file names here carry a hash of their content
)

// site is the UI in memory, ready to be sent.
type site struct {
	base  string // ends in a slash
	page  file
	files map[string]file // by path under base, without index.html
}

// file is one answer. gz is nil where compressing does not pay.
type file struct {
	body, gz []byte
	etag     string
	header   map[string]string
}

// newSite reads all of fsys once. A file name.gz is the compressed form of name.
func newSite(fsys fs.FS, basePath string) *site {
	s := &site{base: "/", files: make(map[string]file)}
	if trimmed := strings.Trim(basePath, "/"); trimmed != "" {
		s.base = "/" + trimmed + "/"
	}
	page, err := fs.ReadFile(fsys, index)
	if err != nil {
		s.page = newPage(placeholder, "default-src 'none'; style-src "+styleHash(placeholder))
		return s
	}
	// The page names its files relative to its base, so only the base changes.
	page = bytes.Replace(page, []byte(`<base href="/"`), []byte(`<base href="`+s.base+`"`), 1)
	s.page = newPage(page, ContentSecurityPolicy)
	_ = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == index || path.Ext(name) == ".gz" || path.Base(name)[0] == '.' {
			return err
		}
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		gz, _ := fs.ReadFile(fsys, name+".gz")
		s.files[name] = newFile(name, body, gz)
		return nil
	})
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path+"/" == s.base {
		http.Redirect(w, r, s.base, http.StatusPermanentRedirect)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, s.base)
	if !ok {
		http.NotFound(w, r)
		return
	}
	f, ok := s.files[name]
	switch {
	case ok:
	case name != index && isFile(name):
		http.NotFound(w, r)
		return
	default:
		f = s.page
	}
	f.serve(w, r)
}

// isFile says that the path can only mean a file or the API, never a page of the UI.
func isFile(name string) bool {
	return name == "api" || strings.HasPrefix(name, "api/") || strings.HasPrefix(name, assets) || path.Ext(name) != ""
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for k, v := range f.header {
		h.Set(k, v)
	}
	body, etag := f.body, f.etag
	if f.gz != nil {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			body, etag = f.gz, f.etag+"-gz"
		}
	}
	h.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func newFile(name string, body, gz []byte) file {
	sum := sha256.Sum256(body)
	cache := "no-cache"
	if strings.HasPrefix(name, assets) {
		cache = "public, max-age=31536000, immutable"
	}
	f := file{body: body, gz: gz, etag: hex.EncodeToString(sum[:8]), header: map[string]string{
		"Content-Type":           contentType(name),
		"Cache-Control":          cache,
		"X-Content-Type-Options": "nosniff",
	}}
	if path.Ext(name) == ".js" {
		// A worker lives under the policy of its own file, not the page's.
		f.header["Content-Security-Policy"] = ContentSecurityPolicy
	}
	return f
}

func newPage(body []byte, policy string) file {
	f := newFile(index, body, compress(body))
	f.header["Content-Security-Policy"] = policy
	f.header["Referrer-Policy"] = "same-origin"
	return f
}

// contentType knows what a build makes; the machine's own table is not asked, so the
// answer is the same everywhere.
func contentType(name string) string {
	known := map[string]string{
		".html":  "text/html; charset=utf-8",
		".js":    "text/javascript; charset=utf-8",
		".css":   "text/css; charset=utf-8",
		".json":  "application/json",
		".txt":   "text/plain; charset=utf-8",
		".svg":   "image/svg+xml",
		".woff2": "font/woff2",
	}
	return cmp.Or(known[path.Ext(name)], "application/octet-stream")
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body) // a bytes.Buffer never fails
	_ = w.Close()
	return b.Bytes()
}

// acceptsGzip reads an Accept-Encoding header; q=0 refuses.
func acceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, found := strings.CutPrefix(strings.TrimSpace(params), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return !found || err == nil && weight > 0
	}
	return false
}

// styleHash is the policy source that allows exactly the page's one <style>.
func styleHash(page []byte) string {
	_, rest, _ := bytes.Cut(page, []byte("<style>"))
	style, _, _ := bytes.Cut(rest, []byte("</style>"))
	sum := sha256.Sum256(style)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
