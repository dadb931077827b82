-- +goose Up

-- What traces say of usage where the provider reported none: nothing, or an estimate.
ALTER TABLE tenants ADD COLUMN missing_usage text NOT NULL DEFAULT 'none' CHECK (missing_usage IN ('none', 'estimated'));
