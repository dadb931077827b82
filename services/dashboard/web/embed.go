// Package web serves the dashboard's browser UI, which the binary carries. The UI is
// built from app/ into dist/; a binary built without it serves a page that says so.
package web

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed all:dist
var dist embed.FS

//go:embed placeholder.html
var placeholder []byte

// ContentSecurityPolicy is what the UI runs under: nothing inline, nothing from
// elsewhere. Handler sends it with every page.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"font-src 'self'; connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"

// Built says whether this binary carries the UI.
func Built() bool {
	_, err := fs.Stat(files(), index)
	return err == nil
}

// Handler serves the UI under basePath ("" or "/" is the root): its files, and the
// one page for every other path, since the browser routes. Paths below api/ and files
// that are not there are 404. It answers GET and HEAD only.
func Handler(basePath string) http.Handler {
	return newSite(files(), basePath)
}

// files is dist without its folder name.
func files() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	return sub
}
