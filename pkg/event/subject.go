package event

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Subjects of the bus. Ids go into headers, never into the subject: the broker keeps
// every distinct subject in memory.
const (
	SubjectPrefix = "loom.trace.v1."
	SubjectAll    = SubjectPrefix + ">"
)

// Headers of a message that carries a trace event.
const (
	HeaderProducer    = "loom-producer" // id/epoch
	HeaderSeq         = "loom-seq"
	HeaderCEID        = "ce-id"
	HeaderCEType      = "ce-type"
	HeaderCESource    = "ce-source"
	HeaderCESubject   = "ce-subject"
	HeaderCETime      = "ce-time"
	HeaderCESpec      = "ce-specversion"
	HeaderContentType = "content-type"
	cloudEventType    = "loom.trace.v1"
)

// Kind is the last token of the event's subject: "completed", "failed", "canceled" or
// "interrupted"; empty for an outcome that is none of them.
func (o Outcome) Kind() string {
	switch o {
	case Outcome_OUTCOME_COMPLETED:
		return "completed"
	case Outcome_OUTCOME_FAILED:
		return "failed"
	case Outcome_OUTCOME_CANCELED:
		return "canceled"
	case Outcome_OUTCOME_INTERRUPTED:
		return "interrupted"
	default:
		return ""
	}
}

// Name is the source in the words of the database and the API: "provider",
// "estimated" or "none".
func (s UsageSource) Name() string {
	switch s {
	case UsageSource_USAGE_SOURCE_PROVIDER:
		return "provider"
	case UsageSource_USAGE_SOURCE_ESTIMATED:
		return "estimated"
	default:
		return "none"
	}
}

// Name is the mode in the words of the database and the API: "full", "metadata" or
// "none".
func (m ContentMode) Name() string {
	switch m {
	case ContentMode_CONTENT_MODE_FULL:
		return "full"
	case ContentMode_CONTENT_MODE_METADATA:
		return "metadata"
	default:
		return "none"
	}
}

// ParseContentMode reads the mode from its name.
func ParseContentMode(name string) (ContentMode, error) {
	switch name {
	case "full":
		return ContentMode_CONTENT_MODE_FULL, nil
	case "metadata":
		return ContentMode_CONTENT_MODE_METADATA, nil
	case "none":
		return ContentMode_CONTENT_MODE_NONE, nil
	default:
		return 0, fmt.Errorf("content mode %q: use full, metadata or none", name)
	}
}

// Subject is where e is published: loom.trace.v1.<tenant>.<kind>.
func Subject(e *TraceEvent) string {
	return SubjectPrefix + e.GetTenantId() + "." + e.GetOutcome().Kind()
}

// ParseSubject takes a subject apart.
func ParseSubject(subject string) (tenantID, kind string, err error) {
	rest, ok := strings.CutPrefix(subject, SubjectPrefix)
	if ok {
		tenantID, kind, ok = strings.Cut(rest, ".")
	}
	if !ok || !ValidTenant(tenantID) || kind == "" || strings.Contains(kind, ".") {
		return "", "", fmt.Errorf("%w: subject %q is not %s<tenant>.<kind>", ErrInvalid, subject, SubjectPrefix)
	}
	return tenantID, kind, nil
}

// ValidTenant reports whether id can be a tenant's: 1 to 63 of a-z, 0-9, '-' and '_',
// the first a letter or digit. Such an id is one token of a subject.
func ValidTenant(id string) bool {
	if id == "" || len(id) > 63 {
		return false
	}
	for i, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '-' || c == '_'):
		default:
			return false
		}
	}
	return true
}

// Headers are the message headers of e, without the dedupe id, which is its TraceId:
// CloudEvents names and the place in the producer's sequence.
func Headers(e *TraceEvent) map[string][]string {
	p := e.GetProducer()
	producer := p.GetId() + "/" + strconv.FormatUint(p.GetEpoch(), 10)
	return map[string][]string{
		HeaderCESpec:      {"1.0"},
		HeaderCEID:        {e.GetTraceId()},
		HeaderCEType:      {cloudEventType},
		HeaderCESource:    {"/loom/gateway/" + producer},
		HeaderCESubject:   {e.GetTenantId()},
		HeaderCETime:      {e.StartedAt().Format(time.RFC3339Nano)},
		HeaderContentType: {"application/protobuf"},
		HeaderProducer:    {producer},
		HeaderSeq:         {strconv.FormatUint(p.GetSeq(), 10)},
	}
}
