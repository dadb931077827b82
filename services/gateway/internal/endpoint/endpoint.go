// Package endpoint is the table of operations that Loom serves: what providers call
// them, who may use them, and how their requests are shaped.
package endpoint

import (
	"slices"

	"loom.internal/pkg/tenant"
)

// Dialect is whose API an operation belongs to; it decides the shape of errors.
type Dialect uint8

// The dialects clients speak.
const (
	OpenAI Dialect = iota
	Anthropic
)

// Body is the shape of a request's body.
type Body uint8

// The shapes of bodies.
const (
	JSON Body = iota
	Multipart
	None
)

// Endpoint is an operation of a model API.
type Endpoint struct {
	Name    string // in traces
	Path    string // below a base URL, without a slash at either end
	Scope   tenant.Scope
	Dialect Dialect
	Body    Body
}

// The operations that make a trace.
var (
	Chat             = Endpoint{Name: "chat.completions", Path: "chat/completions", Scope: tenant.ScopeChat}
	Completions      = Endpoint{Name: "completions", Path: "completions", Scope: tenant.ScopeChat}
	Responses        = Endpoint{Name: "responses", Path: "responses", Scope: tenant.ScopeChat}
	Embeddings       = Endpoint{Name: "embeddings", Path: "embeddings", Scope: tenant.ScopeEmbeddings}
	Moderations      = Endpoint{Name: "moderations", Path: "moderations", Scope: tenant.ScopeChat}
	Speech           = Endpoint{Name: "audio.speech", Path: "audio/speech", Scope: tenant.ScopeAudio}
	Transcriptions   = Endpoint{Name: "audio.transcriptions", Path: "audio/transcriptions", Scope: tenant.ScopeAudio, Body: Multipart}
	Translations     = Endpoint{Name: "audio.translations", Path: "audio/translations", Scope: tenant.ScopeAudio, Body: Multipart}
	ImageGenerations = Endpoint{Name: "images.generations", Path: "images/generations", Scope: tenant.ScopeImages}
	ImageEdits       = Endpoint{Name: "images.edits", Path: "images/edits", Scope: tenant.ScopeImages, Body: Multipart}
	Messages         = Endpoint{Name: "messages", Path: "messages", Scope: tenant.ScopeChat, Dialect: Anthropic}
	CountTokens      = Endpoint{Name: "messages.count_tokens", Path: "messages/count_tokens", Scope: tenant.ScopeChat, Dialect: Anthropic}
)

// Calls about stored responses; they are asked of whoever made the response.
var (
	RetrieveResponse = Endpoint{Name: "responses.retrieve", Path: "responses", Scope: tenant.ScopeChat, Body: None}
	DeleteResponse   = Endpoint{Name: "responses.delete", Path: "responses", Scope: tenant.ScopeChat, Body: None}
	CancelResponse   = Endpoint{Name: "responses.cancel", Path: "responses", Scope: tenant.ScopeChat, Body: None}
	ListInputItems   = Endpoint{Name: "responses.input_items", Path: "responses", Scope: tenant.ScopeChat, Body: None}
)

// All lists those that are posted to.
func All() []Endpoint {
	return []Endpoint{
		Chat, Completions, Responses, Embeddings, Moderations, Speech, Transcriptions, Translations, ImageGenerations, ImageEdits,
		Messages, CountTokens,
	}
}

// OpenAIs lists those of OpenAI's API.
func OpenAIs() []Endpoint {
	return slices.DeleteFunc(All(), func(e Endpoint) bool { return e.Dialect != OpenAI })
}

// Deployed lists those that Azure has under a deployment.
func Deployed() []Endpoint {
	return slices.DeleteFunc(OpenAIs(), func(e Endpoint) bool { return e == Responses || e == Moderations })
}
