-- By which words a photo is found: every search and label filter walks this primary key.
CREATE TABLE IF NOT EXISTS photo_term (
    owner VARCHAR(150) NOT NULL,
    term VARCHAR(101) NOT NULL,
    timeline_key CHAR(32) NOT NULL,
    PRIMARY KEY (owner, term, timeline_key)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin # */ WITHOUT ROWID /*
*/;
CREATE INDEX photo_term_by_photo ON photo_term (timeline_key, owner);
