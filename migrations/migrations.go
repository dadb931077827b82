// Package migrations holds Loom's database schema as forward-only SQL files.
package migrations

import "embed"

// FS holds every NNNN_what.sql file of the schema at its root, in goose's
// format: each file opens with the line "-- +goose Up".
//
//go:embed *.sql
var FS embed.FS
