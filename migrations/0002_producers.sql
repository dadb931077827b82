-- +goose Up

-- How far the events of each gateway process have come. recorded holds the sequence
-- numbers that are in Postgres, as traces or as dead events: one range from 1 on as
-- long as nothing is missing.
CREATE TABLE producers (
    producer_id text NOT NULL,
    epoch       bigint NOT NULL,
    recorded    int8multirange NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (producer_id, epoch)
);
CREATE INDEX producers_updated_at ON producers (updated_at);

-- The highest number with none missing below it; 0 before number 1 has come.
CREATE FUNCTION loom_watermark(recorded int8multirange) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN recorded @> 1::bigint
        THEN (SELECT upper(r) - 1 FROM unnest(recorded) AS r WHERE r @> 1::bigint)
        ELSE 0 END;

-- What is missing below the highest number that has come, until it comes.
CREATE VIEW producer_gaps AS
    SELECT producer_id, epoch, lower(gap) AS from_seq, upper(gap) - 1 AS to_seq, updated_at
    FROM producers,
         unnest(int8multirange(int8range(1, upper(recorded))) - recorded) AS gap;

GRANT SELECT, INSERT, UPDATE ON producers TO loom_recorder;
GRANT SELECT ON producers, producer_gaps TO loom_admin;
