-- Who is signed in where. Of the id that the browser holds only the hash stands here.
CREATE TABLE IF NOT EXISTS session (
    id CHAR(64) NOT NULL,
    owner VARCHAR(150) NOT NULL,
    email VARCHAR(320),
    nickname VARCHAR(200),
    -- keyed hashes of the sign-in name and of the e-mail address
    name_hash CHAR(64),
    email_hash CHAR(64),
    -- what the provider is asked with, encrypted
    sealed BLOB NOT NULL,
    agent VARCHAR(200) NOT NULL,
    address VARCHAR(45) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    seen_at DATETIME(6) NOT NULL,
    renewed_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id)
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;
CREATE INDEX session_by_owner ON session (owner);
CREATE INDEX session_by_name ON session (name_hash);
CREATE INDEX session_by_email ON session (email_hash);
CREATE INDEX session_by_created ON session (created_at);
CREATE INDEX session_by_seen ON session (seen_at);
