package proxy

import (
	"net/http"
	"net/textproto"
	"strings"
)

// requestDrops are what a provider must not see of a client's request: what belongs
// to the one connection, what names or authorises the client towards Loom, where the
// client came from, and what the gateway's own client says for itself.
var requestDrops = set(
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Http2-Settings",
	"Host", "Content-Length", "Cookie", "Authorization", "X-Api-Key", "Api-Key", "Openai-Organization", "Openai-Project",
	"Accept-Encoding", "Forwarded", "Via", "X-Real-Ip", "True-Client-Ip", "X-Client-Ip", "X-Request-Id",
)

// responseDrops are what a client must not see of a provider's answer: what belongs to
// the one connection or host, and what tells whose account it was.
var responseDrops = set(
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Date",
	"Set-Cookie", "Openai-Organization", "Openai-Project", "Alt-Svc", "Strict-Transport-Security", "Server",
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// upstreamHeader is the header to send to a provider, without its credentials.
func upstreamHeader(client http.Header) http.Header {
	out := make(http.Header, len(client))
	copyHeader(out, client, func(name string) bool {
		return requestDrops[name] || strings.HasPrefix(name, "X-Forwarded-")
	})
	return out
}

// clientHeader puts a provider's header into the answer's. The gateway's request id
// gives way to the provider's.
func clientHeader(out, upstream http.Header) {
	copyHeader(out, upstream, func(name string) bool { return responseDrops[name] })
}

func copyHeader(out, in http.Header, drop func(name string) bool) {
	var named []string // by Connection: they belong to the connection too
	for _, line := range in["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			named = append(named, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	for name, values := range in {
		if drop(name) || strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "X-Loom-") {
			continue
		}
		out[name] = append([]string(nil), values...)
	}
	for _, name := range named {
		if name != HeaderRequestID {
			out.Del(name)
		}
	}
}
