-- +goose Up

-- What requests can be told apart by beside the dimensions of rollups; as in traces.
ALTER TABLE usage_facts
    ADD COLUMN tags       jsonb   NOT NULL DEFAULT '{}',
    ADD COLUMN session_id text    NOT NULL DEFAULT '',
    ADD COLUMN attempts   integer NOT NULL DEFAULT 0;   -- calls of a provider

-- What was recorded lately, for those who watch. Rows lie in the order of their recording,
-- so that an index of ranges is enough, and costs the recorder next to nothing.
CREATE INDEX traces_recorded_at ON traces USING brin (recorded_at) WITH (pages_per_range = 16, autosummarize = on);

-- Tables that a replay makes anew get all of this too, and there is one more of them.
ALTER FUNCTION loom_make_projections(text, text[]) RENAME TO loom_make_projections_2;
-- +goose StatementBegin
CREATE FUNCTION loom_make_projections(target text, which text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM loom_make_projections_2(target, array_remove(which, 'tag_rollups'));
    PERFORM set_config('search_path', quote_ident(target) || ', public, pg_temp', true);
    IF 'traces' = ANY (which) THEN
        CREATE INDEX traces_recorded_at ON traces USING brin (recorded_at) WITH (pages_per_range = 16, autosummarize = on);
    END IF;
    IF 'usage_facts' = ANY (which) THEN
        ALTER TABLE usage_facts
            ADD COLUMN tags       jsonb   NOT NULL DEFAULT '{}',
            ADD COLUMN session_id text    NOT NULL DEFAULT '',
            ADD COLUMN attempts   integer NOT NULL DEFAULT 0;
    END IF;
    IF 'tag_rollups' = ANY (which) THEN
        -- What rollups is, once for each tag of a request: a request with three tags is in
        -- three rows of each grain. There is no minute: most of its rows would stand for one
        -- request, and the ledger says the same.
        CREATE TABLE tag_rollups (
            tenant_id      text NOT NULL,
            grain          text NOT NULL CHECK (grain IN ('hour', 'day')),
            tag            text NOT NULL CHECK (tag <> ''),
            bucket         timestamptz NOT NULL,
            value          text NOT NULL,
            key_id         text NOT NULL,
            provider       text NOT NULL,
            model          text NOT NULL,
            route          text NOT NULL,
            outcome        text NOT NULL,
            requests       bigint NOT NULL,
            unpriced       bigint NOT NULL,
            no_usage       bigint NOT NULL,
            input_uncached numeric NOT NULL,
            cache_read     numeric NOT NULL,
            cache_write    numeric NOT NULL,
            output         numeric NOT NULL,
            reasoning      numeric NOT NULL,
            cost           numeric NOT NULL,
            duration_us    numeric NOT NULL,
            duration_hist  bigint[] NOT NULL,
            ttft_hist      bigint[] NOT NULL,
            PRIMARY KEY (tenant_id, grain, tag, bucket, value, key_id, provider, model, route, outcome)
        );
        ALTER TABLE tag_rollups ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY own_tenant ON tag_rollups FOR SELECT TO loom_dashboard USING (tenant_id = loom_tenant());
        CREATE POLICY account ON tag_rollups TO loom_analytics USING (true) WITH CHECK (true);
        CREATE POLICY verify ON tag_rollups FOR SELECT TO loom_admin USING (true);
        CREATE POLICY replay ON tag_rollups TO CURRENT_USER USING (loom_replaying()) WITH CHECK (loom_replaying());
        GRANT SELECT, INSERT, UPDATE ON tag_rollups TO loom_analytics;
        GRANT SELECT ON tag_rollups TO loom_dashboard, loom_admin;
    END IF;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION loom_make_projections(text, text[]) FROM PUBLIC;

SELECT loom_make_projections('public', '{tag_rollups}');

-- How far the ledger is with each gateway, for those who operate Loom.
GRANT SELECT ON producers_accounted TO loom_admin;
