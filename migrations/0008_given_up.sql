-- +goose Up

-- Numbers that are not recorded and that nobody has any more: not the spool of their
-- gateway, and not the stream. A database that lost its last commits leaves such. The
-- watermark passes them, so that a gateway is not held up for ever; they stay gaps.
ALTER TABLE producers ADD COLUMN given_up int8multirange NOT NULL DEFAULT '{}';
ALTER TABLE producers_accounted ADD COLUMN given_up int8multirange NOT NULL DEFAULT '{}';

-- As before, and with those above the highest number that has come that are given up.
CREATE OR REPLACE VIEW producer_gaps AS
    SELECT producer_id, epoch, lower(gap) AS from_seq, upper(gap) - 1 AS to_seq, updated_at
    FROM producers,
         unnest(int8multirange(int8range(1, greatest(upper(recorded), upper(given_up)))) - recorded) AS gap;
