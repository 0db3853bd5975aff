-- The course's table as its owner already has it, then what we keep beside it. Text inside /*! */ is read by MySQL alone.
CREATE TABLE IF NOT EXISTS photo (
    object_key VARCHAR(80) NOT NULL,
    labels VARCHAR(2000),
    description VARCHAR(2000),
    cognito_username VARCHAR(150),
    created_datetime DATETIME DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (object_key)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
/*! ALTER TABLE photo CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
/*! ALTER TABLE photo
    MODIFY labels VARCHAR(2000),
    MODIFY description VARCHAR(2000),
    MODIFY created_datetime DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6) */;
ALTER TABLE photo ADD COLUMN id CHAR(36);
ALTER TABLE photo ADD COLUMN timeline_key CHAR(32);
ALTER TABLE photo ADD COLUMN sha256 CHAR(64);
ALTER TABLE photo ADD COLUMN bytes BIGINT;
ALTER TABLE photo ADD COLUMN media_type VARCHAR(40);
ALTER TABLE photo ADD COLUMN file_name VARCHAR(200);
ALTER TABLE photo ADD COLUMN width BIGINT;
ALTER TABLE photo ADD COLUMN height BIGINT;
-- base64
ALTER TABLE photo ADD COLUMN thumbhash VARCHAR(40);
-- UTC
ALTER TABLE photo ADD COLUMN taken_at DATETIME(6);
ALTER TABLE photo ADD COLUMN taken_offset_minutes BIGINT;
ALTER TABLE photo ADD COLUMN offset_known BOOLEAN;
-- JSON
ALTER TABLE photo ADD COLUMN details TEXT;
ALTER TABLE photo ADD COLUMN developed_at DATETIME(6);
ALTER TABLE photo ADD COLUMN labelled_at DATETIME(6);
ALTER TABLE photo ADD COLUMN problem VARCHAR(500);
ALTER TABLE photo ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
-- When a worker may next take it up; NULL once nothing is left to do, so that the index below holds unfinished work alone.
ALTER TABLE photo ADD COLUMN claimed_until DATETIME(6);
CREATE UNIQUE INDEX photo_by_id ON photo (id);
CREATE UNIQUE INDEX photo_by_timeline ON photo (cognito_username, timeline_key);
CREATE UNIQUE INDEX photo_by_sha256 ON photo (cognito_username, sha256);
CREATE INDEX photo_by_claim ON photo (claimed_until);
