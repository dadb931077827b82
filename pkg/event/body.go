package event

import "crypto/sha256"

// maxSealed bounds the ciphertext of a body: room for MaxBody, the tag, and a codec that
// makes things worse.
const maxSealed = MaxBody + 64<<10

// Body is a sealed body of an event and the name of the object that holds its ciphertext
// when it is detached.
type Body struct {
	Object string // <trace id>.request or <trace id>.response
	*SealedBody
}

// Bodies lists the bodies that e has, detached or not.
func (e *TraceEvent) Bodies() []Body {
	list := make([]Body, 0, 2)
	if b := e.GetRequestBody(); b != nil {
		list = append(list, Body{e.GetTraceId() + ".request", b})
	}
	if b := e.GetResponseBody(); b != nil {
		list = append(list, Body{e.GetTraceId() + ".response", b})
	}
	return list
}

// Digest is the SHA-256 of the ciphertext of a body that is not detached.
func (b *SealedBody) Digest() []byte {
	sum := sha256.Sum256(b.GetCiphertext())
	return sum[:]
}

// Detach leaves b without its ciphertext, which is then to be found in the object; a
// digest is left in its place and tells whether it is the right one.
func (b *SealedBody) Detach() { b.Ciphertext, b.Sha256, b.Detached = nil, b.Digest(), true }

// Drop takes a body out of e, as if it had not been captured.
func (e *TraceEvent) Drop(b Body) {
	switch b.SealedBody {
	case e.RequestBody:
		e.RequestBody = nil
	case e.ResponseBody:
		e.ResponseBody = nil
	}
}

// Attach puts the ciphertext back.
func (b *SealedBody) Attach(ciphertext []byte) {
	b.Ciphertext, b.Sha256, b.Detached = ciphertext, nil, false
}

// MaxLength bounds the ciphertext that belongs to b, in bytes, also while it is detached.
func (b *SealedBody) MaxLength() int64 {
	const worse = 1 << 10 // the tag, and what a codec adds at worst beside a 256th
	return min(b.GetPlainLength()+b.GetPlainLength()/256+worse, maxSealed)
}

// DetachedBytes bounds what the bodies of e come to that are not in it.
func (e *TraceEvent) DetachedBytes() (n int64) {
	for _, b := range e.Bodies() {
		if b.GetDetached() {
			n += b.MaxLength()
		}
	}
	return n
}
