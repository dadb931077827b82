-- +goose Up

-- Where a dead event stands in its producer's sequence, so that it can be published
-- again as what it was; NULL where its headers did not say.
ALTER TABLE dead_events
    ADD COLUMN producer_id    text,
    ADD COLUMN producer_epoch bigint,
    ADD COLUMN producer_seq   bigint,
    ADD CHECK ((producer_id IS NULL) = (producer_epoch IS NULL) AND (producer_id IS NULL) = (producer_seq IS NULL));

-- When the watermark last moved, or the first number beyond it came: since then it
-- waits for what is missing, if anything is.
ALTER TABLE producers ADD COLUMN watermark_at timestamptz NOT NULL DEFAULT now();

-- What traces.recorded_at is to a trace.
ALTER TABLE usage_facts ADD COLUMN accounted_at timestamptz NOT NULL DEFAULT now();

-- The bucket of a duration in microseconds, as pkg/histogram has it. NULL of NULL, and
-- not STRICT all the same: that would keep it from being inlined.
CREATE FUNCTION hist_bucket(us bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN us < 64 THEN greatest(us, 0)
        ELSE (59 - position(B'1' IN us::bit(64))) * 32 + (us >> (59 - position(B'1' IN us::bit(64)))) END;

-- Retention ------------------------------------------------------------------------
-- The first day whose traces are kept; no row: all are. Usage facts and rollups stay.
CREATE TABLE retention (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    kept_from date NOT NULL
);

-- Drops the traces and bodies of the oldest day before the given one, and says how
-- many partitions that were: call it until it says 0. Runs with its owner's rights;
-- bounded so that a wild clock cannot take yesterday, and so that nobody waits long
-- behind it: one day a call, and an error where its locks are not to be had at once.
-- +goose StatementBegin
CREATE FUNCTION loom_drop_partitions(before date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
    SET lock_timeout = '2s'
AS $$
DECLARE
    yesterday date := (now() AT TIME ZONE 'UTC')::date - 1;
    oldest    text;
    parent    text;
    dropped   integer := 0;
BEGIN
    IF before IS NULL OR before > yesterday THEN
        RAISE EXCEPTION 'loom_drop_partitions: before %: nothing from % on may be dropped', before, yesterday;
    END IF;
    INSERT INTO retention (kept_from) VALUES (before)
        ON CONFLICT (one) DO UPDATE SET kept_from = EXCLUDED.kept_from WHERE retention.kept_from < EXCLUDED.kept_from;
    PERFORM pg_advisory_xact_lock(hashtext('loom_ensure_partitions'));
    SELECT min(right(relname, 8)) INTO oldest
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent IN ('public.traces'::regclass, 'public.trace_bodies'::regclass)
          AND relname ~ '^(traces|trace_bodies)_[0-9]{8}$' AND right(relname, 8) < to_char(before, 'YYYYMMDD');
    IF oldest IS NULL THEN
        RETURN 0;
    END IF;
    -- In the order in which writers take their locks.
    FOREACH parent IN ARRAY ARRAY['traces', 'trace_bodies'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_class WHERE relname = parent || '_' || oldest AND relnamespace = 'public'::regnamespace);
        EXECUTE format('DROP TABLE public.%I', parent || '_' || oldest);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION loom_drop_partitions(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loom_drop_partitions(date) TO loom_recorder;

-- As before, but for traces and bodies of a day that retention has dropped: those get
-- no partition, so that an event of such a day is refused and not kept by mistake.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION loom_ensure_partitions(from_day date, days integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
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

-- Rights ----------------------------------------------------------------------------
-- Administration checks that nothing is missing, over all tenants: which traces there
-- are and no more of them, the ledger and its sums. Never a body.
CREATE POLICY verify ON traces FOR SELECT TO loom_admin USING (true);
CREATE POLICY verify ON usage_facts FOR SELECT TO loom_admin USING (true);
CREATE POLICY verify ON rollups FOR SELECT TO loom_admin USING (true);
GRANT SELECT (tenant_id, started_at, trace_id, recorded_at) ON traces TO loom_admin;
GRANT SELECT ON usage_facts, rollups, retention TO loom_admin;
