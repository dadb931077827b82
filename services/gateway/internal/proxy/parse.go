package proxy

import (
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/form"
	"loom.internal/services/gateway/internal/openai"
)

// request is what is read of a request's body, whatever its shape.
type request interface {
	// Facts are what the gateway acts on and records.
	Facts() openai.Facts
	// Rewrite gives the body to send: for a model, and asking for usage.
	Rewrite(model string, askUsage bool) []byte
	// CanAskUsage reports whether Rewrite can ask for usage where the client did not.
	CanAskUsage() bool
	// Record is the body as the trace has it.
	Record() []byte
}

// parse reads the body by the shape that the endpoint's bodies have, for the model
// named outside of it, if there is one.
func (x *exchange) parse(named string) (request, *openai.Error) {
	if x.op.Body == endpoint.Multipart {
		f, fault := form.Parse(x.r.Header.Get("Content-Type"), x.body, form.Options{ModelElsewhere: named != ""})
		if fault != nil {
			return nil, fault
		}
		if named == "" {
			named = f.Model
		}
		return formRequest{f, named}, openai.CheckModel(named)
	}
	r, fault := openai.ParseRequest(x.body, named)
	if fault != nil {
		return nil, fault // and not a nil of one type in an interface that is none
	}
	return r, nil
}

// formRequest is a request whose body is a form.
type formRequest struct {
	*form.Form
	model string
}

func (r formRequest) Facts() openai.Facts {
	return openai.Facts{Model: r.model, Stream: r.Stream, EndUser: r.User}
}

func (r formRequest) Rewrite(model string, _ bool) []byte { return r.Form.Rewrite(model) }

func (r formRequest) CanAskUsage() bool { return false }

func (r formRequest) Record() []byte { return r.Describe() }
