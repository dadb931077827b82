package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"loom.internal/pkg/tenant"
	"loom.internal/services/gateway/internal/openai"
)

// model as OpenAI lists it.
type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

type modelList struct {
	Object string  `json:"object"`
	Data   []model `json:"data"`
}

// Models serves GET /v1/models: the models with a route of their own that the key may
// ask for.
func (p *Proxy) Models() http.Handler {
	return p.Shield(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.catalogue(w, r, func(models []model) (any, *openai.Error) {
			return modelList{Object: "list", Data: models}, nil
		})
	}))
}

// Model serves GET /v1/models/{id}; the id may hold slashes.
func (p *Proxy) Model(id func(*http.Request) string) http.Handler {
	return p.Shield(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.catalogue(w, r, func(models []model) (any, *openai.Error) {
			name := strings.TrimSuffix(id(r), "/")
			for _, m := range models {
				if m.ID == name {
					return m, nil
				}
			}
			return nil, openai.ModelNotFound(name)
		})
	}))
}

func (p *Proxy) catalogue(w http.ResponseWriter, r *http.Request, answer func([]model) (any, *openai.Error)) {
	who, fault := p.admit(r, tenant.ScopeModels)
	if fault != nil {
		fault.Write(w)
		return
	}
	c := p.opt.Directory.Catalogue()
	if c == nil {
		openai.Unavailable("The gateway has no models yet. Please try again.").Write(w)
		return
	}
	models := []model{}
	for _, name := range c.Models() {
		if who.Key.MayUse(name) {
			models = append(models, model{ID: name, Object: "model", OwnedBy: c.Owner(name)})
		}
	}
	v, fault := answer(models)
	if fault != nil {
		fault.Write(w)
		return
	}
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // a client that left cannot be told
}
