package api_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"loom.internal/services/dashboard/api"
)

func TestSpecIsValid(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
}
