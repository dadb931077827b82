-- +goose Up

-- What else a provider or route was told, by name, as the catalogue has it; what is
-- not there is as its kind or the gateway has it.
ALTER TABLE providers ADD COLUMN options jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object');
ALTER TABLE routes    ADD COLUMN options jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object');
