package capture

import (
	"strconv"
	"strings"

	"loom.internal/services/gateway/internal/lenient"
	"loom.internal/services/gateway/internal/sse"
)

// mediaEvent is an event of a stream of pictures or of sound.
type mediaEvent struct {
	common
	Picture    span            `json:"b64_json"` // measured, not kept
	Audio      span            `json:"audio"`    // measured, not kept
	CreatedAt  lenient.Integer `json:"created_at"`
	Background lenient.Str     `json:"background"`
	Format     lenient.Str     `json:"output_format"`
	Quality    lenient.Str     `json:"quality"`
	Size       lenient.Str     `json:"size"`
}

// Images reads a stream of pictures that are generated or edited.
type Images struct {
	base
	created                           int64
	background, format, quality, size string
	pictures                          []int // bytes of each that is complete
	drafts                            int   // partial pictures seen
}

// NewImages keeps at most about limit bytes of the answer.
func NewImages(limit int) *Images { return &Images{base: newBase(limit)} }

// Event implements [Stream]. More than one picture may be asked for, so that none is
// known to be the last.
func (a *Images) Event(e sse.Event) (token, last bool) {
	if e.Done() {
		return false, true
	}
	v := new(mediaEvent)
	if !a.read(e, v, &v.common) {
		return false, false
	}
	kind := string(v.Type)
	if kind == "" {
		kind = e.Name
	}
	switch {
	case strings.HasSuffix(kind, ".partial_image"):
		a.drafts++
	case strings.HasSuffix(kind, ".completed"):
		a.ended = true
		switch {
		case len(a.pictures) >= maxIndex:
			a.truncated = true
		case a.charge(entryCost):
			a.pictures = append(a.pictures, v.Picture.size())
		}
	default:
		return false, false
	}
	if a.created == 0 {
		a.created = v.CreatedAt.N
	}
	a.set(&a.background, v.Background)
	a.set(&a.format, v.Format)
	a.set(&a.quality, v.Quality)
	a.set(&a.size, v.Size)
	return v.Picture.size() > 0, false
}

func (a *Images) set(to *string, s lenient.Str) {
	if s != "" && string(s) != *to {
		*to = a.name(s)
	}
}

// JSON implements [Stream]: the answer is in the shape of one that came in one piece,
// with notes for the pictures.
func (a *Images) JSON() (answer []byte, truncated bool) {
	b := strconv.AppendInt([]byte(`{"created":`), a.created, 10)
	b = appendMember(b, "background", a.background)
	b = append(b, `,"data":[`...)
	for i, n := range a.pictures {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(lenient.AppendText(append(b, `{"b64_json":`...), leftOut(n)), '}')
	}
	b = append(b, ']')
	b = appendMember(b, "output_format", a.format)
	b = appendMember(b, "quality", a.quality)
	b = appendMember(b, "size", a.size)
	if a.drafts > 0 {
		b = strconv.AppendInt(append(b, `,"partial_images":`...), int64(a.drafts), 10)
	}
	return a.end(b), a.truncated
}

// Speech reads a stream of spoken text.
type Speech struct {
	base
	pieces, bytes int // of sound
}

// NewSpeech keeps at most about limit bytes of the answer.
func NewSpeech(limit int) *Speech { return &Speech{base: newBase(limit)} }

// Event implements [Stream].
func (a *Speech) Event(e sse.Event) (token, last bool) {
	if e.Done() {
		return false, true
	}
	v := new(mediaEvent)
	if !a.read(e, v, &v.common) {
		return false, false
	}
	kind := string(v.Type)
	if kind == "" {
		kind = e.Name
	}
	switch kind {
	case "speech.audio.delta":
		a.pieces++
		a.bytes += v.Audio.size()
		return v.Audio.size() > 0, false
	case "speech.audio.done":
		a.ended = true
		return false, true
	}
	return false, false
}

// JSON implements [Stream]: a note of how much sound there was. Without streaming the
// answer would have been the sound alone.
func (a *Speech) JSON() (answer []byte, truncated bool) {
	b := lenient.AppendText([]byte(`{"audio":`), leftOut(a.bytes))
	b = strconv.AppendInt(append(b, `,"pieces":`...), int64(a.pieces), 10)
	return a.end(b), a.truncated
}
