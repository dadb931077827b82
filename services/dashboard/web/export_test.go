package web

// NewSite lets tests bring their own files.
var NewSite = newSite
