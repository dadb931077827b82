-- +goose Up

-- The data keys that bodies are sealed with: one active for each tenant, the ones before
-- it, and what is left of those that were shredded. A key is here only wrapped with a
-- master key, which the database never sees.
CREATE TABLE tenant_keys (
    tenant_id      text NOT NULL REFERENCES tenants (id),
    epoch          integer NOT NULL CHECK (epoch > 0),   -- trace_bodies.encryption_key_version
    state          text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'retired', 'shredded')),
    master_version integer CHECK (master_version > 0),
    wrapped        bytea,
    iv             bytea CHECK (length(iv) = 12),
    created_at     timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz,   -- since when it seals no more
    PRIMARY KEY (tenant_id, epoch),
    CHECK ((state = 'active') = (ended_at IS NULL)),
    CHECK ((state = 'shredded') = (wrapped IS NULL) AND (wrapped IS NULL) = (iv IS NULL) AND (wrapped IS NULL) = (master_version IS NULL))
);
CREATE UNIQUE INDEX tenant_keys_active ON tenant_keys (tenant_id) WHERE state = 'active';

-- Keys of the installation, wrapped likewise.
CREATE TABLE system_keys (
    purpose        text PRIMARY KEY,
    master_version integer NOT NULL CHECK (master_version > 0),
    wrapped        bytea NOT NULL,
    iv             bytea NOT NULL CHECK (length(iv) = 12),
    revision       bigint NOT NULL
);

-- A provider's secret names the version of the master key that wrapped it.
ALTER TABLE providers RENAME COLUMN secret_key_version TO secret_master_version;

-- What a tenant has taken out of bodies before they are sealed.
ALTER TABLE tenants ADD COLUMN redact jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(redact) = 'object');

-- What traces of a key keep of bodies; never more than its tenant's do.
ALTER TABLE api_keys ADD COLUMN content_mode text NOT NULL DEFAULT 'full' CHECK (content_mode IN ('full', 'metadata', 'none'));

ALTER TABLE tenant_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenant_keys FOR SELECT TO loom_dashboard USING (tenant_id = loom_tenant());
CREATE POLICY administer ON tenant_keys TO loom_admin USING (true) WITH CHECK (true);
GRANT SELECT ON tenant_keys TO loom_dashboard;
GRANT SELECT, INSERT, UPDATE ON tenant_keys, system_keys TO loom_admin;

-- Sealing bodies anew takes reading and changing them, of one tenant at a time.
CREATE POLICY reencrypt_read ON trace_bodies FOR SELECT TO loom_admin USING (tenant_id = loom_tenant());
CREATE POLICY reencrypt ON trace_bodies FOR UPDATE TO loom_admin USING (tenant_id = loom_tenant()) WITH CHECK (tenant_id = loom_tenant());
GRANT SELECT, UPDATE (encryption_suite, encryption_key_version, request_body, request_iv, request_codec, request_sha256,
    response_body, response_iv, response_codec, response_sha256) ON trace_bodies TO loom_admin;

-- The same on tables that a replay makes.
ALTER FUNCTION loom_make_projections(text, text[]) RENAME TO loom_make_projections_1;
-- +goose StatementBegin
CREATE FUNCTION loom_make_projections(target text, which text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM loom_make_projections_1(target, which);
    IF 'trace_bodies' = ANY (which) THEN
        EXECUTE format('CREATE POLICY reencrypt_read ON %I.trace_bodies FOR SELECT TO loom_admin USING (tenant_id = loom_tenant())', target);
        EXECUTE format('CREATE POLICY reencrypt ON %I.trace_bodies FOR UPDATE TO loom_admin USING (tenant_id = loom_tenant()) WITH CHECK (tenant_id = loom_tenant())', target);
        EXECUTE format('GRANT SELECT, UPDATE (encryption_suite, encryption_key_version, request_body, request_iv, request_codec, request_sha256, '
            'response_body, response_iv, response_codec, response_sha256) ON %I.trace_bodies TO loom_admin', target);
    END IF;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION loom_make_projections(text, text[]) FROM PUBLIC;
