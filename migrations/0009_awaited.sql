-- +goose Up

-- The trace that a dead event is of, where its gateway is expected to send the event again
-- since its number does not count as recorded; NULL of all others. One row a trace: it may
-- die again before it arrives.
ALTER TABLE dead_events ADD COLUMN awaits uuid;
CREATE UNIQUE INDEX dead_events_awaits ON dead_events (consumer, awaits) WHERE awaits IS NOT NULL;

-- Lets go of what was set aside of traces that have come now. The recorder calls it in the
-- transaction that stores them: it may delete nothing else.
-- +goose StatementBegin
CREATE FUNCTION loom_arrived(traces uuid[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
    DELETE FROM dead_events WHERE id IN (
        SELECT id FROM dead_events WHERE consumer = 'recorder' AND awaits = ANY (traces)
        ORDER BY id FOR UPDATE SKIP LOCKED)
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION loom_arrived(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loom_arrived(uuid[]) TO loom_recorder;
