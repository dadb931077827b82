-- +goose Up

-- What becomes of an answer whose client has left: its call is ended, or it is read to
-- its end, so that the usage is known.
ALTER TABLE routes ADD COLUMN on_disconnect text NOT NULL DEFAULT 'cancel' CHECK (on_disconnect IN ('cancel', 'finish'));
