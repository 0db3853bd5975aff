-- How far a photo is from being finished: 1 waits for a worker or is in its hands, 2 has failed; NULL once all is done. The index is how its
-- owner sees that; SQLite alone reads the line's end and keeps only unfinished photos in it.
ALTER TABLE photo ADD COLUMN unfinished BIGINT GENERATED ALWAYS AS (CASE WHEN problem IS NOT NULL THEN 2 WHEN claimed_until IS NOT NULL THEN 1 END) VIRTUAL;
CREATE INDEX photo_by_unfinished ON photo (cognito_username, unfinished, timeline_key) /*! # */ WHERE unfinished IS NOT NULL /*
*/;
