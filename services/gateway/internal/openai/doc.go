// Package openai is the wire of OpenAI's chat API as the gateway needs it: the
// error body, a request read without changing its bytes, server-sent events, and
// the assembly of a stream into the answer it stands for.
package openai
