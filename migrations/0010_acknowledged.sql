-- +goose Up

-- Numbers of a gateway's that an operator has said will never come, and why. One that
-- comes all the same is recorded like any other.
CREATE TABLE producer_gaps_acknowledged (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    producer_id     text NOT NULL,
    epoch           bigint NOT NULL,
    numbers         int8range NOT NULL CHECK (NOT isempty(numbers) AND lower(numbers) >= 1 AND NOT upper_inf(numbers)),
    reason          text NOT NULL CHECK (reason <> ''),
    actor           text NOT NULL,
    acknowledged_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX producer_gaps_acknowledged_life ON producer_gaps_acknowledged (producer_id, epoch);

-- What is missing below the highest number that has come, until it comes or somebody has
-- said that it will not.
CREATE OR REPLACE VIEW producer_gaps AS
    SELECT producer_id, epoch, lower(gap) AS from_seq, upper(gap) - 1 AS to_seq, updated_at
    FROM producers p,
         unnest(int8multirange(int8range(1, greatest(upper(recorded), upper(given_up)))) - recorded - coalesce((
             SELECT range_agg(a.numbers) FROM producer_gaps_acknowledged a
             WHERE a.producer_id = p.producer_id AND a.epoch = p.epoch), '{}')) AS gap;

GRANT SELECT, INSERT ON producer_gaps_acknowledged TO loom_admin;
