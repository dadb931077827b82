// Package api holds the contract of the dashboard's HTTP API.
package api

import _ "embed"

// Spec is the OpenAPI document, as YAML.
//
//go:embed openapi.yaml
var Spec []byte
