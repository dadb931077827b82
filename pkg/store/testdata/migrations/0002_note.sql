-- +goose Up
ALTER TABLE items ADD COLUMN note text;
