-- +goose Up

-- What producers is to the traces, for the ledger: the numbers whose events analytics has
-- accounted for. A gateway lets go of an event when both tables have its number.
CREATE TABLE producers_accounted (LIKE producers INCLUDING ALL);

GRANT SELECT, INSERT, UPDATE ON producers_accounted TO loom_analytics;
