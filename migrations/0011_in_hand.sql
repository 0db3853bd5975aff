-- The mark of the worker that has the photo in hand; it is still there when that worker died over it.
ALTER TABLE photo ADD COLUMN in_hand CHAR(32);
-- How many workers died over it.
ALTER TABLE photo ADD COLUMN crashes BIGINT NOT NULL DEFAULT 0;
