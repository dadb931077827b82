-- +goose Up

-- loom replay builds the projections of the stream anew beside the live ones, in the
-- schema loom_replay, and puts them in their place in one transaction.

-- The owner of the tables, whom forced row security keeps out like anyone, sees rows
-- where it says that it replays; a superuser is let in anyway.
CREATE FUNCTION loom_replaying() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('loom.replay', true) = 'on', false);

CREATE POLICY replay ON traces TO CURRENT_USER USING (loom_replaying()) WITH CHECK (loom_replaying());
CREATE POLICY replay ON trace_bodies TO CURRENT_USER USING (loom_replaying()) WITH CHECK (loom_replaying());
CREATE POLICY replay ON usage_facts TO CURRENT_USER USING (loom_replaying()) WITH CHECK (loom_replaying());
CREATE POLICY replay ON rollups TO CURRENT_USER USING (loom_replaying()) WITH CHECK (loom_replaying());

-- What loom_ensure_partitions does, in any schema. A table that is not there gets none.
-- +goose StatementBegin
CREATE FUNCTION loom_make_partitions(target text, from_day date, days integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
AS $$
DECLARE
    parent    text;
    part      text;
    day       date;
    made      integer := 0;
    kept      date := coalesce((SELECT kept_from FROM retention), '-infinity');
BEGIN
    IF days < 1 OR days > 400 THEN
        RAISE EXCEPTION 'loom_ensure_partitions: % days: between 1 and 400 allowed', days;
    END IF;
    FOR day IN SELECT from_day + n FROM generate_series(0, days - 1) AS n LOOP
        FOREACH parent IN ARRAY ARRAY['traces', 'trace_bodies', 'usage_facts'] LOOP
            CONTINUE WHEN day < kept AND parent <> 'usage_facts';
            part := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
            CONTINUE WHEN to_regclass(format('%I.%I', target, part)) IS NOT NULL OR to_regclass(format('%I.%I', target, parent)) IS NULL;
            -- A lock a schema: who fills a shadow must not wait for those who wait for its swap.
            PERFORM pg_advisory_xact_lock(hashtext('loom_ensure_partitions' || CASE target WHEN 'public' THEN '' ELSE ' ' || target END));
            -- Again, of the table itself: to_regclass may remember that there was none.
            CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = target::regnamespace);
            -- Attached, not made as PARTITION OF: that would lock readers and writers out.
            EXECUTE format('CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING ALL)', target, part, parent);
            EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target, part);
            EXECUTE format('ALTER TABLE %1$I.%2$I ATTACH PARTITION %1$I.%3$I FOR VALUES FROM (%4$L) TO (%5$L)',
                target, parent, part, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION loom_make_partitions(text, date, integer) FROM PUBLIC;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION loom_ensure_partitions(from_day date, days integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
BEGIN
    RETURN loom_make_partitions('public', from_day, days);
END
$$;
-- +goose StatementEnd

-- Makes the tables of the projections that are named in which, empty and without a
-- partition, in the schema target: all that the migrations say of them by now. In a schema
-- that is not public it also makes the function loom_ensure_partitions, for writers whose
-- search path begins there.
-- +goose StatementBegin
CREATE FUNCTION loom_make_projections(target text, which text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
AS $$
DECLARE
    t text;
BEGIN
    IF NOT which <@ ARRAY['traces', 'trace_bodies', 'usage_facts', 'rollups'] THEN
        RAISE EXCEPTION 'loom_make_projections: % are not all projections', which;
    END IF;
    PERFORM set_config('search_path', quote_ident(target) || ', public, pg_temp', true);
    IF target <> 'public' THEN
        EXECUTE format($fn$
            CREATE FUNCTION %I.loom_ensure_partitions(from_day date, days integer) RETURNS integer
                LANGUAGE sql RETURN public.loom_make_partitions(%1$L, from_day, days) $fn$, target);
    END IF;
    IF 'traces' = ANY (which) THEN
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
            ttft_us         bigint,
            gap_p50_us      bigint,
            gap_p99_us      bigint,
            request_bytes   bigint NOT NULL,
            response_bytes  bigint NOT NULL,
            chunks          integer NOT NULL,
            finish_reasons  text[] NOT NULL,
            tool_names      text[] NOT NULL,
            usage_raw       json,
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
        CREATE POLICY record ON traces FOR INSERT TO loom_recorder WITH CHECK (true);
        CREATE POLICY verify ON traces FOR SELECT TO loom_admin USING (true);
        GRANT INSERT ON traces TO loom_recorder;
        GRANT SELECT ON traces TO loom_dashboard;
        GRANT SELECT (tenant_id, started_at, trace_id, recorded_at) ON traces TO loom_admin;
    END IF;
    IF 'trace_bodies' = ANY (which) THEN
        CREATE TABLE trace_bodies (
            tenant_id              text NOT NULL,
            started_at             timestamptz NOT NULL,
            trace_id               uuid NOT NULL,
            encryption_suite       smallint NOT NULL,
            encryption_key_version integer NOT NULL,
            request_body           bytea,
            request_iv             bytea CHECK (length(request_iv) = 12),
            request_codec          smallint,
            request_length         bigint,
            request_truncated      boolean NOT NULL DEFAULT false,
            request_sha256         bytea CHECK (length(request_sha256) = 32),
            response_body          bytea,
            response_iv            bytea CHECK (length(response_iv) = 12),
            response_codec         smallint,
            response_length        bigint,
            response_truncated     boolean NOT NULL DEFAULT false,
            response_sha256        bytea CHECK (length(response_sha256) = 32),
            PRIMARY KEY (tenant_id, started_at, trace_id)
        ) PARTITION BY RANGE (started_at);
        ALTER TABLE trace_bodies ALTER COLUMN request_body SET STORAGE EXTERNAL, ALTER COLUMN response_body SET STORAGE EXTERNAL;
        CREATE POLICY record ON trace_bodies FOR INSERT TO loom_recorder WITH CHECK (true);
        GRANT INSERT ON trace_bodies TO loom_recorder;
        GRANT SELECT ON trace_bodies TO loom_dashboard;
    END IF;
    IF 'usage_facts' = ANY (which) THEN
        CREATE TABLE usage_facts (
            tenant_id      text NOT NULL,
            started_at     timestamptz NOT NULL,
            trace_id       uuid NOT NULL,
            key_id         text NOT NULL,
            route          text NOT NULL,
            endpoint       text NOT NULL,
            provider       text NOT NULL,
            provider_kind  text NOT NULL,
            model          text NOT NULL,
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
            reasoning      bigint NOT NULL,
            cost           bigint,
            cost_status    text NOT NULL CHECK (cost_status IN ('priced', 'unpriced', 'no_usage')),
            unpriced_why   text NOT NULL DEFAULT '' CHECK (unpriced_why IN ('', 'usage_unreadable', 'no_price', 'no_rate', 'overflow')),
            price_version  text NOT NULL,
            accounted_at   timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant_id, started_at, trace_id),
            CHECK ((cost IS NOT NULL) = (cost_status = 'priced')),
            CHECK ((unpriced_why <> '') = (cost_status = 'unpriced'))
        ) PARTITION BY RANGE (started_at);
        CREATE POLICY account ON usage_facts TO loom_analytics USING (true) WITH CHECK (true);
        CREATE POLICY verify ON usage_facts FOR SELECT TO loom_admin USING (true);
        GRANT SELECT, INSERT ON usage_facts TO loom_analytics;
        GRANT SELECT ON usage_facts TO loom_dashboard, loom_admin;
    END IF;
    IF 'rollups' = ANY (which) THEN
        CREATE TABLE rollups (
            tenant_id      text NOT NULL,
            grain          text NOT NULL CHECK (grain IN ('minute', 'hour', 'day')),
            bucket         timestamptz NOT NULL,
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
            PRIMARY KEY (tenant_id, grain, bucket, key_id, provider, model, route, outcome)
        );
        CREATE POLICY account ON rollups TO loom_analytics USING (true) WITH CHECK (true);
        CREATE POLICY verify ON rollups FOR SELECT TO loom_admin USING (true);
        GRANT SELECT, INSERT, UPDATE ON rollups TO loom_analytics;
        GRANT SELECT ON rollups TO loom_dashboard, loom_admin;
    END IF;
    FOREACH t IN ARRAY which LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY own_tenant ON %I FOR SELECT TO loom_dashboard USING (tenant_id = loom_tenant())', t);
        EXECUTE format('CREATE POLICY replay ON %I TO CURRENT_USER USING (loom_replaying()) WITH CHECK (loom_replaying())', t);
    END LOOP;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION loom_make_projections(text, text[]) FROM PUBLIC;

-- Puts the tables named in which, as they are in the schema source, in the place of those
-- in public, which go; and drops the schema. Whoever calls it holds the locks that keep
-- writers away. No day is lost: one that only the old table has a partition of gets one,
-- or an event of it would be refused as if it were at fault. Nor does one come back that
-- retention has dropped meanwhile.
-- +goose StatementBegin
CREATE FUNCTION loom_swap_projections(source text, which text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = public, pg_temp
AS $$
DECLARE
    parent text;
    part   record;
    kept   date := coalesce((SELECT kept_from FROM retention), '-infinity');
BEGIN
    FOREACH parent IN ARRAY which LOOP
        FOR part IN SELECT to_date(substring(relname FROM '_([0-9]{8})$'), 'YYYYMMDD') AS day
            FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = to_regclass('public.' || parent)
        LOOP
            PERFORM loom_make_partitions(source, part.day, 1);
        END LOOP;
        EXECUTE format('DROP TABLE IF EXISTS public.%I', parent);
        EXECUTE format('ALTER TABLE %I.%I SET SCHEMA public', source, parent);
        FOR part IN SELECT relname, to_date(substring(relname FROM '_([0-9]{8})$'), 'YYYYMMDD') AS day
            FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = to_regclass('public.' || parent)
        LOOP
            IF part.day < kept AND parent <> 'usage_facts' THEN
                EXECUTE format('DROP TABLE %I.%I', source, part.relname);
            ELSE
                EXECUTE format('ALTER TABLE %I.%I SET SCHEMA public', source, part.relname);
            END IF;
        END LOOP;
    END LOOP;
    EXECUTE format('DROP SCHEMA %I CASCADE', source);
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION loom_swap_projections(text, text[]) FROM PUBLIC;
