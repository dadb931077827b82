-- +goose Up
CREATE TABLE items (id int PRIMARY KEY, tenant text NOT NULL);
ALTER TABLE items ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON items USING (tenant = current_setting('loom.tenant', true));
