-- +goose Up

-- Roles -----------------------------------------------------------------------
-- One role a service; none owns a table, none bypasses row security. They are
-- made without a password: whoever deploys Loom gives them one. Roles belong to
-- the whole server, so a second database on it finds them already there.
-- +goose StatementBegin
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['loom_recorder', 'loom_analytics', 'loom_dashboard', 'loom_admin'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO loom_recorder, loom_analytics, loom_dashboard, loom_admin;

-- The tenant a transaction acts for; NULL, which matches no row, when unset.
CREATE FUNCTION loom_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('loom.tenant', true), '');

-- Control plane: written by the dashboard's admin API ---------------------------
-- Every change takes its number from this sequence under one advisory lock, so
-- "all rows above revision N" is exactly "all that changed since N was read".
CREATE SEQUENCE config_revision;

CREATE TABLE tenants (
    id           text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name         text NOT NULL,
    status       text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    content_mode text NOT NULL DEFAULT 'full' CHECK (content_mode IN ('full', 'metadata', 'none')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    revision     bigint NOT NULL
);

CREATE TABLE api_keys (
    id         text PRIMARY KEY CHECK (length(id) = 8),
    tenant_id  text NOT NULL REFERENCES tenants (id),
    name       text NOT NULL,
    hash       bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    last4      text NOT NULL,
    scopes     text[] NOT NULL,
    models     text[] NOT NULL DEFAULT '{}',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    revision   bigint NOT NULL
);
CREATE UNIQUE INDEX api_keys_live_name ON api_keys (tenant_id, name) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_revision ON api_keys (revision);
CREATE INDEX tenants_revision ON tenants (revision);

CREATE TABLE admin_keys (
    id         text PRIMARY KEY CHECK (length(id) = 8),
    name       text NOT NULL,
    hash       bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    last4      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE TABLE providers (
    name               text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    kind               text NOT NULL,
    base_url           text NOT NULL,
    secret             bytea,   -- sealed with the provider's origin as associated data
    secret_iv          bytea CHECK (length(secret_iv) = 12),
    secret_key_version integer,
    revision           bigint NOT NULL,
    CHECK ((secret IS NULL) = (secret_iv IS NULL) AND (secret IS NULL) = (secret_key_version IS NULL))
);

CREATE TABLE routes (
    model    text PRIMARY KEY,
    targets  jsonb NOT NULL CHECK (jsonb_typeof(targets) = 'array'),
    revision bigint NOT NULL
);

-- Prices the operator gave; rates are picodollars (1 USD = 10^12) a token.
CREATE TABLE prices (
    provider       text NOT NULL,
    model          text NOT NULL,
    from_date      date NOT NULL,
    input          bigint NOT NULL CHECK (input >= 0),
    cached_input   bigint CHECK (cached_input >= 0),
    cache_write    bigint CHECK (cache_write >= 0),
    cache_write_1h bigint CHECK (cache_write_1h >= 0),
    output         bigint NOT NULL CHECK (output >= 0),
    revision       bigint NOT NULL,
    PRIMARY KEY (provider, model, from_date)
);

CREATE TABLE sessions (
    hash       bytea PRIMARY KEY CHECK (length(hash) = 32),
    key_id     text NOT NULL,
    admin      boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- Who read which body, and who changed what: written before the deed.
CREATE TABLE access_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant_id  text NOT NULL,
    actor      text NOT NULL,   -- key id, or "adm:" + admin key id
    action     text NOT NULL,   -- such as "trace.decrypt"
    trace_id   uuid,
    detail     jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX access_log_tenant_at ON access_log (tenant_id, at DESC);

-- Traces: written by the recorder -----------------------------------------------
CREATE TABLE traces (
    tenant_id       text NOT NULL,
    started_at      timestamptz NOT NULL,
    trace_id        uuid NOT NULL,
    key_id          text NOT NULL,
    endpoint        text NOT NULL,
    route           text NOT NULL,
    model_requested text NOT NULL,
    model_upstream  text NOT NULL,
    model_answered  text NOT NULL,
    provider        text NOT NULL,
    provider_kind   text NOT NULL,
    stream          boolean NOT NULL,
    outcome         text NOT NULL CHECK (outcome IN ('completed', 'failed', 'canceled', 'interrupted')),
    http_status     integer NOT NULL,
    error_class     text NOT NULL,
    duration_us     bigint NOT NULL,
    ttft_us         bigint,          -- NULL: no token came
    gap_p50_us      bigint,
    gap_p99_us      bigint,
    request_bytes   bigint NOT NULL,
    response_bytes  bigint NOT NULL,
    chunks          integer NOT NULL,
    finish_reasons  text[] NOT NULL,
    tool_names      text[] NOT NULL,
    usage_raw       json,            -- the provider's bytes; NULL: nobody reported usage
    usage_source    text NOT NULL CHECK (usage_source IN ('provider', 'estimated', 'none')),
    service_tier    text NOT NULL,
    region          text NOT NULL,
    tags            jsonb NOT NULL,
    end_user        text NOT NULL,
    session_id      text NOT NULL,
    content_mode    text NOT NULL CHECK (content_mode IN ('full', 'metadata', 'none')),
    attempts        jsonb NOT NULL,
    producer_id     text NOT NULL,
    producer_epoch  bigint NOT NULL,
    producer_seq    bigint NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, started_at, trace_id)
) PARTITION BY RANGE (started_at);
CREATE INDEX traces_trace_id ON traces (trace_id);

-- Sealed bodies, apart from the rows that lists read. NULL body = not captured;
-- an empty body is sealed like any other.
CREATE TABLE trace_bodies (
    tenant_id              text NOT NULL,
    started_at             timestamptz NOT NULL,
    trace_id               uuid NOT NULL,
    encryption_suite       smallint NOT NULL,
    encryption_key_version integer NOT NULL,
    request_body           bytea,
    request_iv             bytea CHECK (length(request_iv) = 12),
    request_codec          smallint,
    request_length         bigint,   -- plain bytes as sealed
    request_truncated      boolean NOT NULL DEFAULT false,
    request_sha256         bytea CHECK (length(request_sha256) = 32),   -- of the ciphertext
    response_body          bytea,
    response_iv            bytea CHECK (length(response_iv) = 12),
    response_codec         smallint,
    response_length        bigint,
    response_truncated     boolean NOT NULL DEFAULT false,
    response_sha256        bytea CHECK (length(response_sha256) = 32),
    PRIMARY KEY (tenant_id, started_at, trace_id)
) PARTITION BY RANGE (started_at);
-- Ciphertext does not shrink: spare Postgres the attempt.
ALTER TABLE trace_bodies ALTER COLUMN request_body SET STORAGE EXTERNAL, ALTER COLUMN response_body SET STORAGE EXTERNAL;

-- Events no consumer could take, kept as they came, with the reason.
CREATE TABLE dead_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer   text NOT NULL,
    stream_seq bigint NOT NULL,
    subject    text NOT NULL,
    msg_id     text NOT NULL,
    data       bytea NOT NULL,
    reason     text NOT NULL,
    died_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (consumer, stream_seq, msg_id)
);

-- Usage and cost: written by analytics -------------------------------------------
-- The ledger: one row a trace, whatever is delivered how often.
CREATE TABLE usage_facts (
    tenant_id      text NOT NULL,
    started_at     timestamptz NOT NULL,
    trace_id       uuid NOT NULL,
    key_id         text NOT NULL,
    route          text NOT NULL,
    endpoint       text NOT NULL,
    provider       text NOT NULL,
    provider_kind  text NOT NULL,
    model          text NOT NULL,   -- as answered, else as asked of the provider, else as requested
    outcome        text NOT NULL,
    http_status    integer NOT NULL,
    stream         boolean NOT NULL,
    duration_us    bigint NOT NULL,
    ttft_us        bigint,
    usage_source   text NOT NULL,
    input_uncached bigint NOT NULL,
    cache_read     bigint NOT NULL,
    cache_write    bigint NOT NULL,
    cache_write_1h bigint NOT NULL,
    output         bigint NOT NULL,
    reasoning      bigint NOT NULL,  -- part of output
    cost           bigint,           -- picodollars; NULL unless cost_status = 'priced'
    cost_status    text NOT NULL CHECK (cost_status IN ('priced', 'unpriced', 'no_usage')),
    -- Why there is a usage and no cost. The counts of an unreadable usage are 0
    -- here; traces.usage_raw has it as it came.
    unpriced_why   text NOT NULL DEFAULT '' CHECK (unpriced_why IN ('', 'usage_unreadable', 'no_price', 'no_rate', 'overflow')),
    price_version  text NOT NULL,   -- the price's book or revision; '' unless priced
    PRIMARY KEY (tenant_id, started_at, trace_id),
    CHECK ((cost IS NOT NULL) = (cost_status = 'priced')),
    CHECK ((unpriced_why <> '') = (cost_status = 'unpriced'))
) PARTITION BY RANGE (started_at);

-- Sums of usage_facts by minute, hour and day. A histogram is a flat array of
-- (bucket, count) pairs in bucket order; see hist_add.
CREATE TABLE rollups (
    tenant_id      text NOT NULL,
    grain          text NOT NULL CHECK (grain IN ('minute', 'hour', 'day')),
    bucket         timestamptz NOT NULL,   -- start of the minute, hour or day, UTC
    key_id         text NOT NULL,
    provider       text NOT NULL,
    model          text NOT NULL,
    route          text NOT NULL,
    outcome        text NOT NULL,
    requests       bigint NOT NULL,
    unpriced       bigint NOT NULL,        -- requests with usage and no price
    no_usage       bigint NOT NULL,        -- requests nobody reported usage of
    input_uncached numeric NOT NULL,
    cache_read     numeric NOT NULL,
    cache_write    numeric NOT NULL,       -- both kinds of cache write
    output         numeric NOT NULL,
    reasoning      numeric NOT NULL,
    cost           numeric NOT NULL,       -- picodollars, of the priced requests
    duration_us    numeric NOT NULL,
    duration_hist  bigint[] NOT NULL,
    ttft_hist      bigint[] NOT NULL,
    PRIMARY KEY (tenant_id, grain, bucket, key_id, provider, model, route, outcome)
);

-- hist_add merges two histograms: counts of equal buckets are added.
-- +goose StatementBegin
CREATE FUNCTION hist_add(a bigint[], b bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT coalesce(array_agg(v ORDER BY bucket, part), '{}')
    FROM (
        SELECT bucket, sum(n)::bigint AS total
        FROM (
            SELECT a[i] AS bucket, a[i + 1] AS n FROM generate_series(1, coalesce(array_length(a, 1), 0), 2) AS i
            UNION ALL
            SELECT b[i], b[i + 1] FROM generate_series(1, coalesce(array_length(b, 1), 0), 2) AS i
        ) pairs
        GROUP BY bucket
    ) merged
    CROSS JOIN LATERAL (VALUES (1, bucket), (2, total)) AS flat (part, v)
$$;
-- +goose StatementEnd

-- Partitions ----------------------------------------------------------------------
-- Makes the day partitions [from_day, from_day + days) of the traces, their bodies
-- and the facts. Runs with its owner's rights, for services that may not create
-- tables; bounded so that a wild date cannot make thousands.
-- +goose StatementBegin
CREATE FUNCTION loom_ensure_partitions(from_day date, days integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
DECLARE
    parent    text;
    part      text;
    day       date;
    made      integer := 0;
BEGIN
    IF days < 1 OR days > 400 THEN
        RAISE EXCEPTION 'loom_ensure_partitions: % days: between 1 and 400 allowed', days;
    END IF;
    FOR day IN SELECT from_day + n FROM generate_series(0, days - 1) AS n LOOP
        FOREACH parent IN ARRAY ARRAY['traces', 'trace_bodies', 'usage_facts'] LOOP
            part := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
            CONTINUE WHEN to_regclass('public.' || part) IS NOT NULL;
            PERFORM pg_advisory_xact_lock(hashtext('loom_ensure_partitions'));
            -- Again, of the table itself: to_regclass may remember that there was none.
            CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace);
            -- Attached, not made as PARTITION OF: that would lock readers and writers out.
            EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part);
            EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                parent, part, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION loom_ensure_partitions(date, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loom_ensure_partitions(date, integer) TO loom_recorder, loom_analytics;

-- Row security ---------------------------------------------------------------------
-- +goose StatementBegin
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['api_keys', 'access_log', 'traces', 'trace_bodies', 'usage_facts', 'rollups'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY own_tenant ON %I FOR SELECT TO loom_dashboard USING (tenant_id = loom_tenant())', t);
    END LOOP;
END
$$;
-- +goose StatementEnd
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenants FOR SELECT TO loom_dashboard USING (id = loom_tenant());

CREATE POLICY record ON traces FOR INSERT TO loom_recorder WITH CHECK (true);
CREATE POLICY record ON trace_bodies FOR INSERT TO loom_recorder WITH CHECK (true);
CREATE POLICY account ON usage_facts TO loom_analytics USING (true) WITH CHECK (true);
CREATE POLICY account ON rollups TO loom_analytics USING (true) WITH CHECK (true);
CREATE POLICY audit ON access_log FOR INSERT TO loom_dashboard WITH CHECK (tenant_id = loom_tenant());
CREATE POLICY administer ON access_log TO loom_admin USING (true) WITH CHECK (true);
CREATE POLICY administer ON tenants TO loom_admin USING (true) WITH CHECK (true);
CREATE POLICY administer ON api_keys TO loom_admin USING (true) WITH CHECK (true);

GRANT INSERT ON traces, trace_bodies, dead_events TO loom_recorder;
GRANT INSERT ON dead_events TO loom_analytics;
GRANT SELECT, INSERT ON usage_facts TO loom_analytics;
GRANT SELECT, INSERT, UPDATE ON rollups TO loom_analytics;
GRANT SELECT ON prices TO loom_analytics, loom_dashboard;
GRANT SELECT ON tenants, api_keys, access_log, traces, trace_bodies, usage_facts, rollups TO loom_dashboard;
GRANT INSERT ON access_log TO loom_dashboard;
GRANT SELECT, INSERT, UPDATE, DELETE ON tenants, api_keys, admin_keys, providers, routes, prices, sessions TO loom_admin;
GRANT SELECT, INSERT ON access_log TO loom_admin;
GRANT SELECT, DELETE ON dead_events TO loom_admin;
GRANT USAGE ON SEQUENCE config_revision TO loom_admin;
