package proxy

import (
	"loom.internal/services/gateway/internal/endpoint"
	"loom.internal/services/gateway/internal/openai"
)

// parse reads the body by the shape that the endpoint's bodies have.
func (x *exchange) parse(named string) (request, *openai.Error) {
	switch x.op.Body {
	case endpoint.JSON:
		return asRequest(openai.ParseRequest(x.body, named))
	default:
		return nil, openai.Internal()
	}
}

// asRequest keeps a nil of one type from becoming an interface that is not nil.
func asRequest[R request](r R, fault *openai.Error) (request, *openai.Error) {
	if fault != nil {
		return nil, fault
	}
	return r, nil
}
